"""Pictures that stand in no page: files of their own, with the colours of the report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from locution.engine.durable import write_bytes
from locution.reporting.charts import letters, rule
from locution.reporting.drawn import enlarged, graph, sheet
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, png
from locution.reporting.report import STYLE
from locution.reporting.results import Gallery, RunResults

KEY, LETTER = 18, 6.2  # the height of a key, and how wide a letter of it is, about
PICTURES = re.compile(r"/\* pictures: \*/(.*)/\* :pictures \*/", re.DOTALL)


def standing_alone(picture: Html) -> str:
    """Give a drawing (SVG) of the report the colours and the name of its language, for a file of its own.

    >>> from locution.reporting.charts import svg
    >>> standing_alone(svg(10, 10, "a picture")).startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    True
    """
    css = STYLE.read_text(encoding="utf-8")
    found = PICTURES.search(css)
    variables = css[: css.index("* {")]
    rules = f"{variables}{found.group(1) if found else ''}svg {{ background: var(--paper); }}"
    opening, _, rest = picture.partition(">")
    head = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}>{tag('style', Html(rules))}{rest}\n"


def with_key(picture: Html, names: Sequence[str]) -> Html:
    """Write above a graph of several lines what each of them is: a page says so beside it, a file cannot.

    >>> from locution.reporting.charts import svg
    >>> made = with_key(svg(460, 240, "two lines"), ["true", "model"])
    >>> 'viewBox="0 -18 460 258"' in made, made.count("<text")
    (True, 2)
    """
    if len(names) < 2:
        return picture
    place, parts = 8.0, []
    for number, name in enumerate(names):
        parts += [rule(place, -8, place + 18, -8, f"line c{number % 5}"), letters(place + 23, -4, name)]
        place += 23 + LETTER * len(name) + 16
    frame = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')

    def higher(found: re.Match[str]) -> str:
        return f'viewBox="0 -{KEY} {max(float(found[1]), place):g} {float(found[2]) + KEY:g}"'

    opened = frame.sub(higher, picture, count=1)
    return Html(opened.removesuffix("</svg>") + "".join(parts) + "</svg>")


def gallery_png(one: Gallery) -> bytes:
    """Set small pictures into one file (PNG), each pixel drawn large enough to be seen.

    >>> gallery_png(Gallery("samples", np.zeros((1, 1, 2, 2))))[:4]
    b'\\x89PNG'
    """
    whole = sheet(one)
    times = enlarged(whole.shape[1])
    return png(np.kron(whole, np.ones((times, times), dtype=np.uint8)), INK)


def pictures(results: RunResults) -> Iterator[tuple[str, str, bytes]]:
    """Give what a run drew as files: title, the ending of the file's name, and what stands in it.

    >>> from locution.reporting.results import Graph
    >>> made = list(pictures(RunResults("a run", graphs=[Graph("a wave", {"true": ([0.0, 1.0], [0.0, 2.0])})])))
    >>> [(title, ending) for title, ending, _ in made]
    [('a wave', 'svg')]
    """
    for one in results.drawings:
        if one.picture.startswith("<svg"):
            yield one.title, "svg", standing_alone(one.picture).encode()
    for each in results.graphs:
        yield each.title, "svg", standing_alone(with_key(graph(each), list(each.lines))).encode()
    for some in results.galleries:
        yield some.title, "png", gallery_png(some)


def file_name(title: str) -> str:
    """Write a title as the name of a file.

    >>> file_name("Filters, as they were learnt")
    'filters-as-they-were-learnt'
    """
    return "-".join(re.findall(r"[a-z0-9]+", title.lower())) or "picture"


def write_pictures(folder: Path, results: RunResults) -> list[Path]:
    """Write what a run drew into its folder `pictures`, a file each, by its title; say which."""
    written: list[Path] = []
    given: Counter[str] = Counter()
    for title, ending, content in pictures(results):
        name = file_name(title)
        given[name] += 1
        written.append(folder / "pictures" / f"{name}{f'-{given[name]}' if given[name] > 1 else ''}.{ending}")
        write_bytes(written[-1], content)
    return written
