"""What a user types becomes a resolved recipe: the only file that imports Hydra.

`+sam` switches a method on, `+sam.rho=0.1` sets one of its fields, `-sam` switches it off, and `key=value` is Hydra's
own grammar. Nothing in a recipe can name an import path: `_target_` is refused, names are looked up among the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from locution.errors import UserError, unknown

OWN = ("data.path", "data.target", "data.text", "data.time", "data.group")
RECIPES = Path(__file__).with_name("recipes")
NAMED = re.compile(r"^[\w.]+=\{(?:.*[,\s])?\s*name\s*:", re.DOTALL)
METHOD = re.compile(r"^\+([A-Za-z][\w-]*)(?:\.([\w.]+)=(.*))?$", re.DOTALL)


def recipes() -> list[str]:
    """List the recipes that come with the library, by the names `train` takes.

    >>> "digits" in recipes()
    True
    """
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml"))


def locate(recipe: str) -> Path:
    """Find a recipe: one of the library's by name, or a YAML file of one's own by path."""
    own = Path(recipe)
    if own.suffix in (".yaml", ".yml"):
        if not own.is_file():
            raise UserError(
                f"there is no recipe file {recipe}; allowed: a YAML file, or {', '.join(recipes())}."
            )
        return own.resolve()
    if recipe not in recipes():
        raise unknown("recipe", recipe, recipes())
    return RECIPES / f"{recipe}.yaml"


def translate(overrides: Iterable[str]) -> tuple[list[str], list[str]]:
    """Turn what a user types into Hydra's grammar, and name the methods that are switched off.

    >>> translate(["+sam", "+mixup.alpha=0.4", "-clipping", "optimizer.lr=0.1"])
    (['++methods.sam={}', '++methods.mixup.alpha=0.4', '++optimizer.lr=0.1'], ['clipping'])
    """
    switched: dict[str, str] = {}
    settings, off = [], []
    for word in map(quoted, overrides):
        method = METHOD.match(word)
        if method:
            name, field, value = method.groups()
            name = name.replace("-", "_")
            if field is None:
                switched.setdefault(name, f"++methods.{name}={{}}")
            else:
                settings.append(f"++methods.{name}.{field}={value}")
        elif re.fullmatch(r"[-~][A-Za-z]\w*", word):
            off.append(word[1:])
        elif "=" in word and not word.startswith(("+", "~", "-")):
            if NAMED.match(word):  # another part: nothing of the recipe's own is left in it
                settings.append(f"++{word.split('=')[0]}=null")
            settings.append(f"++{own_data(word)}")
        else:
            raise UserError(f"'{word}' is no override; allowed: key=value, +method, +method.setting=value, -method.")
    fields = [s for s in settings if s.startswith("++methods.")]
    rest = [s for s in settings if not s.startswith("++methods.")]
    return [*switched.values(), *fields, *rest], off


def quoted(word: str) -> str:
    """Let a value with blanks in it be one text, such as a recipe's name with words behind it.

    >>> quoted("start=digits model.widths=[64]"), quoted("model.widths=[64, 32]")
    ("start='digits model.widths=[64]'", 'model.widths=[64, 32]')
    """
    key, sign, value = word.partition("=")
    if not sign or " " not in value.strip() or value.strip()[0] in "'\"[{":
        return word
    text = value.strip().replace("'", "\\'").replace("${", "\\${")
    return f"{key}='{text}'"


def own_data(word: str) -> str:
    """Let data=PATH say where one's own data are: a path that is there becomes a whole one, and no part of a grammar.

    target=COLUMN and text=COLUMN name columns of them, as data.target and data.text do; so do data.time and
    data.group: whatever their names, they are no part of a grammar either. A value in braces stays the mapping that
    it is.

    >>> own_data("data=hf:mine/speech"), own_data("data={name: line}"), own_data("data.path=none/such")
    ("data.path='hf:mine/speech'", 'data={name: line}', "data.path='none/such'")
    >>> own_data("target=churn (yes/no)"), own_data("data.time=sold on")
    ("data.target='churn (yes/no)'", "data.time='sold on'")
    """
    key, _, value = word.partition("=")
    key = f"data.{key}" if key in ("target", "text") else "data.path" if key == "data" else key
    if key not in OWN or value.startswith("{") or value in ("", "null"):
        return word
    plain = value.strip("'\"")
    place = Path(plain).expanduser()
    if key == "data.path" and place.exists():
        plain = str(place.resolve())
    quoted = plain.replace("'", "\\'").replace("${", "\\${")
    return f"{key}='{quoted}'"


def compose(recipe: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Hydra composes a recipe from files and from what was typed behind its name, into one set of plain settings.

    Errors: UserError for an unknown recipe, for YAML that is none, for an override that Hydra cannot read, and for
    any `_target_`.

    >>> compose("line", ["steps=3"])["steps"]
    3

    Reference: O. Yadan, 2019, "Hydra - a framework for elegantly configuring complex applications".
    """
    path = locate(recipe)
    words, off = translate(overrides)
    settings = _compose(path, words)
    settings.pop("hydra", None)
    methods = settings.get("methods") or {}
    for name in off:
        if name not in methods:
            raise unknown("method that this recipe has switched on", name, methods)
        del methods[name]
    refuse_targets(settings)
    return settings


def _compose(path: Path, words: list[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    try:
        # from its own folder: named as speech/encoder, Hydra would put its keys under "speech"
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            composed = hydra_compose(path.stem, overrides=words)
            settings = OmegaConf.to_container(composed, resolve=True)
    except Exception as error:  # Hydra and OmegaConf raise many kinds, and hide the useful text in __cause__
        word = getattr(error, "override", None)
        came = f"'{str(word).removeprefix('++')}' cannot be read: " if word else ""
        raise UserError(f"{path.name}: {came}{one_line(error)}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path.name} is no recipe; allowed: a YAML mapping of keys.")
    return {str(key): value for key, value in settings.items()}


def one_line(error: BaseException) -> str:
    """Find the deepest cause of an error and say it in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("See http")]
    return " ".join(lines) if lines else type(error).__name__


def refuse_targets(settings: Any, where: str = "") -> None:
    """Refuse any key that asks for code by an import path.

    >>> refuse_targets({"model": {"_target_": "os.system"}})
    Traceback (most recent call last):
    locution.errors.UserError: model._target_ asks for code by its import path; allowed: the name of a part.
    """
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                raise UserError(f"{where}{key} asks for code by its import path; allowed: the name of a part.")
            refuse_targets(value, f"{where}{key}.")
    elif isinstance(settings, (list, tuple)):
        for item in settings:
            refuse_targets(item, where)


def to_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings as YAML that `train` takes again."""
    import yaml

    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
