"""The vocabulary as pages to read: a Markdown file a term, made from the code, and an index."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from locution.vocabulary.entry import Entry
from locution.vocabulary.lookup import Term, terms
from locution.vocabulary.measured import markdown, pictures

HEADINGS = ("Parameters", "Settings", "Returns", "Raises", "Notes")


def drawn(words: str, folder: Path | None) -> list[str]:
    """Show what a recipe drew, if it was kept with the pages: the words and the title make the name of the file."""
    name = recipe_name(words)
    found = sorted(folder.glob(f"pictures/{name}--*")) if folder and name else []
    return [f"![{path.stem.partition('--')[2].replace('-', ' ')}](pictures/{path.name})" for path in found]


def recipe_name(words: str) -> str:
    """Write the words of a recipe as the name of a file.

    >>> recipe_name("digits/categorical_vae +gumbel_softmax model.widths=[8,8]")
    'digits-categorical_vae-gumbel_softmax-model-widths-8-8'
    """
    return "-".join(re.findall(r"[a-z0-9_]+", words.lower()))


def page(term: Term, folder: Path | None = None) -> str:
    """Write the page of a term: what it is, an example that runs, where it comes from, where it lives.

    >>> from locution.vocabulary.lookup import find
    >>> print(page(find("batch")).splitlines()[0])
    # batch
    """
    entry = Entry(term)
    module, _, attribute = term.code.partition(":")
    path = f"{module.replace('.', '/')}.py"
    parts = [f"# {term.title}", entry.definition]
    parts += [f"**{text}**" if text in HEADINGS else text for text in entry.paragraphs]
    parts += ["## Example", f"```pycon\n{entry.example}\n```"]
    if term.recipe:
        parts += ["## See it run", f"```bash\nlocution train {term.recipe}\n```"]
        parts += drawn(term.recipe, folder)
    if entry.measured is not None:
        parts += markdown(term, entry.measured)
    parts += ["## Where", f"- code: [`{attribute}` in `{path}`](../../{path})", f"- source: {entry.source}"]
    if term.aliases:
        parts.append(f"- also called: {', '.join(term.aliases)}")
    parts.append(f"- in the terminal: `locution term {term.name} --run`")
    text = "\n\n".join(parts)
    return text.replace("\n\n- ", "\n- ").replace("## Where\n- ", "## Where\n\n- ") + "\n"


def index() -> str:
    """Write the list of all terms."""
    rows = [f"| {t.row} | [{t.title}]({t.name}.md) | {t.kind} | {Entry(t).definition} |" for t in terms().values()]
    head = "# The vocabulary\n\nEvery term is a part that runs. `locution term NAME --run` shows and runs one."
    return "\n".join([head, "", "| row | term | kind | what it is |", "|---|---|---|---|", *rows]) + "\n"


def pages(folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """Make all pages: name of the file, text. Pictures that lie in `folder` are shown by the recipe they are of."""
    yield "README.md", index()
    for term in terms().values():
        yield f"{term.name}.md", page(term, folder)
        measured = Entry(term).measured
        if measured is not None:
            yield from pictures(term, measured)


def write(folder: Path) -> int:
    """Write all pages into a folder, remove those of terms that are gone, and count the pages."""
    made = dict(pages(folder))
    for name in gone(folder, made):
        (folder / name).unlink()
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return sum(name.endswith(".md") for name in made)


def gone(folder: Path, made: Collection[str]) -> list[str]:
    """Name the files of an earlier making that no term has any more: pages, and pictures of what was measured."""
    old = [*folder.glob("*.md"), *folder.glob("effects/*.svg")]
    return [name for name in (path.relative_to(folder).as_posix() for path in old) if name not in made]


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/vocabulary")
    print(f"{write(place)} pages in {place}")
