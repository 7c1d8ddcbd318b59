"""English words and their forms: what the everyday grammar and the number reader are made of."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *(
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ),
)
TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
IRREGULAR_PLURALS = {
    "man": "men", "woman": "women", "child": "children", "foot": "feet", "tooth": "teeth", "mouse": "mice",
    "goose": "geese", "fish": "fish", "sheep": "sheep", "deer": "deer", "knife": "knives", "wife": "wives",
    "life": "lives", "leaf": "leaves", "half": "halves", "shelf": "shelves", "wolf": "wolves",
    "thief": "thieves", "gentleman": "gentlemen", "fisherman": "fishermen", "hero": "heroes",
    "potato": "potatoes", "loaf": "loaves",
    "tomato": "tomatoes", "crisis": "crises", "series": "series", "calf": "calves", "mosquito": "mosquitoes",
}  # fmt: skip
IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip


def spell_number(number: int) -> str:
    """Spell a whole number below ten thousand as it is spoken, in lower-case words.

    >>> spell_number(0), spell_number(21), spell_number(1907)
    ('zero', 'twenty one', 'one thousand nine hundred seven')
    """
    if number < 20:
        return ONES[number]
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            high, low = divmod(number, size)
            return f"{spell_number(high)} {name}" + (f" {spell_number(low)}" if low else "")
    ten, one = divmod(number, 10)
    return TENS[ten] + (f" {ONES[one]}" if one else "")


def spell_ordinal(number: int) -> str:
    """Spell a place in an order: first, second, third.

    >>> spell_ordinal(1), spell_ordinal(20), spell_ordinal(32)
    ('first', 'twentieth', 'thirty second')
    """
    *before, last = spell_number(number).split()
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    else:
        last = (last[:-1] + "ie" if last.endswith("y") else last) + "th"
    return " ".join([*before, last])


def plural(noun: str) -> str:
    """Form the plural of a noun.

    >>> plural("box"), plural("city"), plural("key"), plural("child")
    ('boxes', 'cities', 'keys', 'children')
    """
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|ch|sh)$", noun) and noun != "stomach" else "s")


def verb_forms(entry: str) -> tuple[str, str, str, str, str]:
    """Form a verb: base, third person, past, participle, ing-form. A star doubles the last letter.

    >>> verb_forms("stop"), verb_forms("admit*")[2], verb_forms("carry")[1:3]
    (('stop', 'stops', 'stopped', 'stopped', 'stopping'), 'admitted', ('carries', 'carried'))
    >>> verb_forms("write_wrote_written")
    ('write', 'writes', 'wrote', 'written', 'writing')
    """
    base, *irregular = entry.rstrip("*").split("_")
    third = {"have": "has", "do": "does", "go": "goes"}.get(base, plural(base) if base != "leaf" else "leafs")
    one_syllable = len(re.findall(r"[aeiouy]+", base)) == 1
    double = entry.endswith("*") or (one_syllable and re.search(r"[^aeiou][aeiou][^aeiouwxy]$", base) is not None)
    double = double or base in ("forget", "begin", "quit")
    stem = base + base[-1] if double else base
    if base.endswith("ie"):
        ing = base[:-2] + "ying"
    else:
        ing = (stem[:-1] if re.search(r"[^eo]e$", base) and base != "be" else stem) + "ing"
    past = base[:-1] + "ied" if re.search(r"[^aeiou]y$", base) else stem + "ed"
    past = base + "d" if base.endswith("e") else past
    return base, third, *(irregular if irregular else (past, past)), ing


@cache
def word_classes() -> dict[str, tuple[str, ...]]:
    """Read the word list into classes of word forms, keyed by the names that the everyday grammar uses.

    >>> classes = word_classes()
    >>> "children" in classes["NS"], "wrote" in classes["VD"], len(classes["ANY"]) > 4000
    (True, True, True)
    """
    raw: dict[str, list[str]] = {}
    section: list[str] = []
    for line in resources.files("locution.speech").joinpath("wordlist.txt").read_text("ascii").splitlines():
        if line.startswith("["):
            section = raw.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            section.extend(line.split())
    nouns = [word for name in ("person", "animal", "thing", "thing", "idea") for word in raw[name]]
    classes: dict[str, list[str]] = {"N": nouns, "NS": [plural(noun) for noun in nouns], "M": raw["mass"]}
    for prefix, name in (("V", "transitive"), ("I", "intransitive")):
        forms = list(zip(*map(verb_forms, raw[name]), strict=True))
        for suffix, form in zip(("", "Z", "D", "N", "G"), forms, strict=True):
            classes[prefix + suffix] = list(form)
    classes |= {"ADJ": raw["adjective"], "ADV": raw["adverb"], "NAME": raw["name"], "CITY": raw["city"]}
    classes |= {"COUNTRY": raw["country"], "PLACE": raw["place"], "PERSON": raw["person"]}
    classes["FUNCTION"] = raw["function"]
    classes["ANY"] = sorted({word for name in classes for word in classes[name]} | set(ONES) | set(TENS))
    return {name: tuple(words) for name, words in classes.items()}
