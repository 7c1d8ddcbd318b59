"""Words that sound the same: errors that no ear could avoid."""

from __future__ import annotations

_GROUPS = """
to two too 2|for four fore 4|one won 1|eight ate 8|there their they're|your you're yore|its it's|hear here
no know|new knew gnu|see sea|be bee b|by buy bye|right write rite wright|read red|reed read|week weak
meet meat|mail male|male mail|sun son|sale sail|tail tale|wait weight|way weigh whey|wear where ware
which witch|whole hole|wood would|hour our|flour flower|fair fare|hair hare|heir air|bare bear
pair pear pare|peace piece|plain plane|pray prey|rain reign rein|road rode rowed|role roll|sell cell
cent scent sent|sight site cite|some sum|steal steel|stair stare|there's theirs|threw through|throne thrown
tide tied|time thyme|toe tow|vain vane vein|waist waste|war wore|warn worn|wave waive|whether weather
who's whose|i eye aye|knight night|knot not|knows nose|lead led|lesson lessen|loan lone|made maid|main mane
mite might|missed mist|morning mourning|none nun|oar or ore|paws pause|pail pale|past passed|peak peek pique
poor pour pore|principal principle|root route|sauce source|scene seen|seam seem|shore sure|sole soul
soar sore saw|stake steak|stationary stationery|tea tee t|team teem|board bored|boy buoy|brake break
bread bred|ceiling sealing|cereal serial|check cheque|choose chews|chord cord|coarse course|creak creek
dear deer|die dye|dew due|feat feet|find fined|fir fur|flew flu flue|forth fourth|genes jeans|great grate
groan grown|guessed guest|hall haul|heal heel|higher hire|him hymn|idle idol|key quay|leak leek|lie lye
links lynx|packed pact|patience patients|blue blew|allowed aloud|are r|see c sea|you u|why y|oh o owe
queue q cue|jay j|pea p|gee g|ex x|okay ok
"""


def _table() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, group in enumerate(_GROUPS.replace("\n", "|").split("|")):
        for word in group.split():
            groups.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in groups.items()}


_SOUNDS = _table()


def homophones(one: str, other: str) -> bool:
    """Homophones are words that sound the same and are spelt differently; only sense tells them apart.

    The list is small and ours, English, and pronounced as in the south of England; it misses many.

    >>> homophones("their", "there"), homophones("their", "then"), homophones("to", "to")
    (True, False, False)

    Reference: A. C. Gimson, 1962, "An Introduction to the Pronunciation of English".
    """
    return one != other and bool(_SOUNDS.get(one, frozenset()) & _SOUNDS.get(other, frozenset()))
