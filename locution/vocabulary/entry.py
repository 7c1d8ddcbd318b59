"""A term in full: its definition, example and source, read from the docstring of the code it names."""

from __future__ import annotations

import doctest
import inspect
import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from locution.vocabulary.lookup import Term
from locution.vocabulary.measured import Stored, read

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SENTENCE = re.compile(r"(.+?[.!?])(?=\s|$)", re.DOTALL)
REFERENCE = re.compile(r"^References?:\s*(.+?)(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)


NUMBER_IN_TEXT = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?:e[-+]?\d+)?|(?<![\w.])[-+]?\d+e[-+]?\d+")


class Near(doctest.OutputChecker):
    """Compares what an example printed with what it promises, each number to the digits that were promised."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Say whether an output is the one that was promised."""
        wanted, printed = NUMBER_IN_TEXT.findall(want), NUMBER_IN_TEXT.findall(got)
        if len(wanted) == len(printed):
            for asked, came in zip(wanted, printed, strict=True):
                digits = len(asked.lower().split("e")[0].partition(".")[2])
                power = int(asked.lower().partition("e")[2] or 0)
                if abs(float(asked) - float(came)) <= 10.0 ** (power - digits):
                    got = got.replace(came, asked, 1)
        return super().check_output(want, got, optionflags)


@dataclass(frozen=True)
class Entry:
    """An entry of the vocabulary: nothing in it is written twice.

    >>> from locution.vocabulary.lookup import find
    >>> Entry(find("batch")).definition
    'A batch is the handful of examples that the model sees before its weights move once.'
    """

    term: Term

    @cached_property
    def part(self) -> Any:
        """The code that the term names."""
        return self.term.load()

    @cached_property
    def text(self) -> str:
        """The docstring of that code."""
        return inspect.cleandoc(getattr(self.part, "__doc__", None) or "")

    @property
    def definition(self) -> str:
        """What the term means: the docstring's first sentence."""
        found = SENTENCE.match(self.text)
        return " ".join(found.group(1).split()) if found else ""

    @property
    def source(self) -> str:
        """Where it comes from: the docstring's Reference."""
        found = REFERENCE.search(self.text)
        return " ".join(found.group(1).split()) if found else ""

    @cached_property
    def examples(self) -> list[doctest.Example]:
        """The worked example: the docstring's doctest."""
        return doctest.DocTestParser().get_examples(self.text)

    @property
    def body(self) -> str:
        """The docstring between its first sentence and its example."""
        rest = REFERENCE.sub("", SENTENCE.sub("", self.text, count=1))
        return rest.split(">>>")[0].strip()

    @property
    def paragraphs(self) -> list[str]:
        """The body's paragraphs, each one line; what stands under an underlined heading keeps its lines."""
        found = []
        for paragraph in re.split(r"\n\s*\n", self.body):
            lines = [line.strip() for line in paragraph.splitlines()]
            heading = len(lines) > 1 and set(lines[1]) == {"-"}
            if heading:
                found.append(lines[0])
                lines = lines[2:]
            found.append(" ".join(line for line in lines if line))
        return [paragraph for paragraph in found if paragraph]

    @property
    def example(self) -> str:
        """The example as it is typed and what it prints."""
        lines = []
        for example in self.examples:
            first, *more = example.source.rstrip().split("\n")
            lines += [f">>> {first}", *(f"... {line}" for line in more)]
            lines += example.want.rstrip().split("\n") if example.want else []
        return "\n".join(lines)

    @cached_property
    def measured(self) -> Stored | None:
        """What it was measured to be worth, if it was."""
        return read(self.term.name)

    def run_example(self) -> tuple[int, int, str]:
        """Run the example: how many lines of it failed, how many ran, and what was said about the failures."""
        module = inspect.getmodule(self.part)
        names = dict(vars(module)) if module else {}
        test = doctest.DocTest(self.examples, names, self.term.name, None, 0, None)
        said = io.StringIO()
        with redirect_stdout(said):
            outcome = doctest.DocTestRunner(Near(), optionflags=FLAGS).run(test, out=said.write)
        return outcome.failed, outcome.attempted, said.getvalue()

    def as_dict(self) -> dict[str, Any]:
        """The entry as plain data."""
        term = self.term
        return {
            "name": term.name,
            "row": term.row,
            "title": term.title,
            "aliases": list(term.aliases),
            "kind": term.kind,
            "definition": self.definition,
            "example": self.example,
            "source": self.source,
            "code": term.code,
            "recipe": term.recipe,
            "effect": term.effect,
            "measured": self.measured,
        }
