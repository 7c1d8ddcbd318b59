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
aisle isle|ail ale|air ere|all awl|altar alter|arc ark|ascent assent|aunt ant|away aweigh|bail bale|ball bawl
band banned|bald bawled|baron barren|base bass|bean been|beach beech|beat beet|beer bier|bell belle|berry bury
berth birth|billed build|bite byte bight|bizarre bazaar|bolder boulder|border boarder|bough bow|bridal bridle
broach brooch|brews bruise|cache cash|canon cannon|canvas canvass|capital capitol|carat carrot karat
cast caste|caught court|caulk cork|cause caws|chili chilly|chute shoot|clause claws
climb clime|colonel kernel|complement compliment|coral choral|core corps|council counsel|councillor counsellor
cruise crews|currant current|cygnet signet|cymbal symbol|days daze|desert dessert|discreet discrete|doe dough
draft draught|dual duel|earn urn|ewe yew you|faint feint|fate fete|faun fawn|fort fought|foul fowl
frees freeze frieze|gait gate|gamble gambol|gilt guilt|gorilla guerrilla|grays graze|grease greece|grisly grizzly
hail hale|hart heart|hay hey|heard herd|he'll heel heal|hoard horde|hoarse horse|hold holed
holy wholly|hoes hose|humerus humorous|idle idyll|in inn|jam jamb|kneed need knead|knit nit|lacks lax
lain lane|laps lapse|law lore|leased least|lessen lesson|levee levy|liar lyre|licence license
lo low|loot lute|manner manor|marshal martial|mask masque|maze maize|medal meddle|metal mettle|mews muse
miner minor|moan mown|moose mousse|mince mints|mode mowed|moor more maw|muscle mussel|mustard mustered|naval navel
nay neigh|ought aught|paced paste|packs pax|pain pane|palate palette pallet|passed past
patience patients|pause paws pores pours|pedal peddle|peer pier|pi pie|pole poll|practice practise
presence presents|prince prints|prize pries|profit prophet|quarts quartz|rack wrack|raise rays raze|rap wrap
rapped rapt wrapped|raw roar|reek wreak|rest wrest|retch wretch|review revue|ring wring|rite right|roe row
rough ruff|rouse rows|rude rood|rung wrung|rye wry|sack sac|sawed soared sword|seas sees seize|sealing ceiling
sear seer|sects sex|serf surf|serge surge|session cession|sew so sow|shake sheikh|shoe shoo|side sighed|sink sync
slay sleigh|sloe slow|spade spayed|staid stayed|step steppe|storey story|straight strait|suite sweet|sundae sunday
swap swop|sort sought|taught taut torque|tacks tax|tare tear|team teem|teas tease tees|tents tense|tern turn
thyme time|tic tick|tire tyre|toad towed|told tolled|tracked tract|trooper trouper|troop troupe
use ewes|vale veil|vial vile|wail whale|waits weights|ware wear where|watt what|wax whacks
we wee|weld welled|we'll wheel|we're weir|weave we've|wet whet|whine wine|whirled world|whit wit|white wight
whoa woe|won't wont|yoke yolk|yaw yore your|you'll yule|they're there|i'll aisle isle
he'd heed|we'd weed|hi high|bye buy|flee flea|fill phil|pleas please|pray prey|rheum room
rain rein|sachet sashay|knead need|nose knows|knight night|lens lends|links lynx|mail male|main mane
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

    The list is ours, of some seven hundred English words, pronounced as in the south of England; it misses many. What
    is only spelt as it sounds is no homophone: `sound_alike` finds that too.

    >>> homophones("their", "there"), homophones("their", "then"), homophones("to", "to")
    (True, False, False)

    Reference: A. C. Gimson, 1962, "An Introduction to the Pronunciation of English".
    """
    return one != other and bool(_SOUNDS.get(one, frozenset()) & _SOUNDS.get(other, frozenset()))
