"""The sections of a report that say where a run comes from: data, methods, recipe, versions, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from locution.reporting.markup import Html, join, tag
from locution.reporting.results import RunResults
from locution.reporting.sections import Section, facts

KEY = re.compile(r"^(\s*(?:- )?)([^\s:'\"][^:]*)(:)(?= |$)(.*)$")


def methods(results: RunResults) -> Section | None:
    """The methods that were switched on, and what each of them is."""
    if not results.methods:
        return None
    items = []
    for method in results.methods:
        settings = [tag("code", f"{key} = {plain(value)}") for key, value in method.settings.items()]
        name = tag("p", tag("b", f"+{method.name}"), " ", *settings, class_="user")
        items.append(tag("li", name, tag("p", method.sentence, class_="quiet user") if method.sentence else None))
    return Section("methods", "Methods", tag("ul", *items, class_="methods"))


def data(results: RunResults) -> Section | None:
    """What the run learnt from and was judged by."""
    return Section("data", "Data", facts(results.data)) if results.data else None


def recipe(results: RunResults) -> Section | None:
    """The recipe with every value resolved: the same recipe gives the same weights."""
    if not results.recipe:
        return None
    lines = [_line(line) for line in as_yaml(results.recipe).splitlines()]
    return Section("recipe", "Recipe", tag("pre", tag("code", *lines), tabindex="0"))


def as_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings as YAML.

    >>> as_yaml({"task": "regression", "optimizer": {"name": "sgd", "lr": 0.05}}).splitlines()
    ['task: regression', 'optimizer: {name: sgd, lr: 0.05}']
    """
    written: str = yaml.safe_dump(
        _plain_tree(settings), sort_keys=False, allow_unicode=True, width=96, default_flow_style=None
    )
    return written


def _plain_tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain_tree(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_tree(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def plain(value: Any) -> str:
    """Write one setting the way it is typed.

    >>> plain(True), plain(0.1), plain(None), plain((1, 2))
    ('true', '0.1', 'null', '[1, 2]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _line(line: str) -> Html:
    found = KEY.match(line)
    if found is None:
        return join(line, "\n")
    return join(found.group(1), tag("span", found.group(2) + found.group(3), class_="key"), found.group(4), "\n")


def environment(results: RunResults) -> Section | None:
    """The versions that the figures depend on."""
    return Section("environment", "Environment", facts(results.environment)) if results.environment else None


def limits(results: RunResults) -> Section | None:
    """What the model is no good for."""
    if not results.limits:
        return None
    items = [tag("li", line, class_="user") for line in results.limits]
    return Section("limits", "Limits", tag("ul", *items, class_="limits"))
