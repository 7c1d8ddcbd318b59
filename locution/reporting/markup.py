"""HTML built so that nothing can slip through: every text is escaped unless this file itself made it."""

from __future__ import annotations

import html
import re
from typing import Any

NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
# controls, lone surrogates and non-characters: a browser may drop them, and with them a reader's attention
ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# the attributes that could fetch or restyle something, and all that they may hold
SAFE = {
    "href": re.compile(r"#[a-z0-9-]+|data:image/png;base64,[A-Za-z0-9+/=]+"),
    "src": re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+"),
    "style": re.compile(r"--v:[0-9.]+%?"),
}
VOID = {"img", "meta", "br", "hr"}


def clean(value: object) -> str:
    """Write a value as text without characters that command a terminal or that a browser drops.

    >>> clean("a" + chr(27) + "[31mb")
    'a\N{REPLACEMENT CHARACTER}[31mb'
    """
    return ODD.sub("\N{REPLACEMENT CHARACTER}", str(value))


class Html(str):
    """Text that is HTML already, made by `tag` or `text` and by nothing else."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escape a value for HTML: what came from outside is shown, never obeyed.

    >>> text('<script>alert("1")</script>')
    '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;'
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(clean(value), quote=True))


def tag(name: str, *children: object, **attributes: Any) -> Html:
    """Make an element; children and the values of attributes are escaped unless they are Html.

    An attribute that is a word of Python ends in an underscore; inner underscores become hyphens. An
    attribute that is None or False is left out, as is a child that is None. Raises ValueError for one that
    could run or fetch anything.

    >>> tag("p", "1 < 2", tag("b", "!"), class_="x", data_name='"')
    '<p class="x" data-name="&quot;">1 &lt; 2<b>!</b></p>'
    """
    written = [name]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if not NAME.fullmatch(attribute) or attribute.lower().startswith("on"):
            raise ValueError(f"{attribute!r} is no attribute that a report may have")
        if attribute in SAFE and not SAFE[attribute].fullmatch(str(value)):
            raise ValueError(f"{value!r} is no {attribute} that a report may have")
        if value is True:
            written.append(attribute)
        elif value is not None and value is not False:
            written.append(f'{attribute}="{text(value)}"')
    opening = f"<{' '.join(written)}>"
    if name in VOID:
        return Html(opening)
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Put pieces one behind the other.

    >>> join("a", None, tag("br"), "<")
    'a<br>&lt;'
    """
    return Html("".join(text(child) for child in children if child is not None))
