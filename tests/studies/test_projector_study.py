"""The comparison of projectors is fair: what its page tells to run builds projectors of equally many parameters.

Run as a program it prints the page's table of sizes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from locution.recipe import Recipe, resolve
from locution.speech.frozen import EMBEDDED
from locution.speech.projectors import build_projector
from locution.studies.effects import fewest
from locution.studies.variants import read_words

PAGE = (Path(__file__).parents[2] / "docs" / "studies" / "projectors.md").read_text(encoding="utf-8")
BUDGET, SHARE = 900_000, 0.03
KINDS = {"mlp", "linear", "mosa", "shared_moe", "smear", "qformer"}


def split(line: str) -> list[str]:
    """Split a command as a shell does, a line that goes on behind a backslash included."""
    return shlex.split(line.replace("\\\n", " "))


def command() -> list[str]:
    """The words of the page's command, those of `compare` alone."""
    found = re.search(r"```bash\n(locution compare speech .*?)```", PAGE, re.DOTALL)
    assert found is not None
    return split(found[1])[3:]


def recipes() -> dict[str, Recipe]:
    """Each variant of the command with the recipe that it trains."""
    words = command()
    shared, variants = read_words(words[: words.index("--against")])
    return {one.name: resolve("speech", (*shared, *one.words)) for one in variants}


def widths() -> tuple[int, int]:
    """The widths of the embedded halves: the encoder's and the language model's."""
    configs = (json.loads((EMBEDDED / part / "config.json").read_text()) for part in ("encoder", "decoder"))
    hears, writes = configs
    return hears["width"], writes["hidden_size"]


def built(recipe: Recipe) -> torch.nn.Module:
    """The projector that a recipe trains."""
    settings: Mapping[str, Any] = recipe.model["projector"]
    rest = {key: value for key, value in settings.items() if key != "name"}
    return build_projector(settings["name"], *widths(), gain=0.02, **rest)


def parameters(projector: torch.nn.Module) -> int:
    """Count what is trained."""
    return sum(weights.numel() for weights in projector.parameters() if weights.requires_grad)


def test_the_command_names_every_projector() -> None:
    words = command()
    assert recipes().keys() == KINDS
    assert words[words.index("--against") + 1] == "mlp"
    seeds, needed = int(words[words.index("--seeds") + 1]), fewest(len(KINDS) - 1)
    assert seeds >= 5
    assert seeds >= needed or f"A verdict would need {needed} seeds" in PAGE, "the page says what its seeds cannot"


def test_all_have_equally_many_parameters() -> None:
    sizes = {name: parameters(built(recipe)) for name, recipe in recipes().items()}
    assert max(sizes.values()) <= (1 + SHARE) * min(sizes.values()), sizes
    assert all(abs(size - BUDGET) <= SHARE * BUDGET for size in sizes.values()), sizes


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_makes_half_as_many_embeddings_and_every_weight_can_learn(name: str) -> None:
    inputs, outputs = widths()
    torch.manual_seed(0)
    frames, lengths = torch.randn(8, 40, inputs), torch.tensor([40, 24] * 4)
    projector = built(recipes()[name])
    embeddings, kept = projector(frames, lengths)
    assert embeddings.shape == (8, 20, outputs)
    assert kept.tolist() == [20, 12] * 4
    (embeddings * torch.randn_like(embeddings)).sum().backward()
    asleep = [
        weight
        for weight, values in projector.named_parameters()
        if not weight.endswith("key.bias")  # adds the same to every score of a question, which a softmax does not see
        and (values.grad is None or values.grad.abs().max() < 1e-5)
    ]
    assert not asleep, "counted, but nothing trains them"


def test_nothing_else_differs() -> None:
    """The same data, steps, optimizer and methods for all: only the projector is another."""
    others = []
    for recipe in recipes().values():
        settings = recipe.settings()
        others.append(settings | {"model": {**settings["model"], "projector": None}})
    assert all(one == others[0] for one in others)
    shared, _ = read_words(command()[: command().index("--against")])
    assert others[0] == {**resolve("speech", shared).settings(), "model": others[0]["model"]}


def test_what_is_printed_is_what_is_shown() -> None:
    """The hidden commands that fill the page are the one that is shown, with another figure at most."""
    printed = [split(one) for one in re.findall(r"<!-- prints: (.*?) -->", PAGE, re.DOTALL)]
    assert [words[:4] for words in printed] == [["COLUMNS=110", ".venv/bin/locution", "compare", "speech"]] * 2
    assert [words[4:] for words in printed] == [command(), [*command(), "--metric", "wer/everyday"]]


def test_the_table_of_the_page_is_up_to_date() -> None:
    shown = re.search(r"<!-- table: .*?test_projector_study.py -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == table().strip(), "run: python docs/refresh.py docs/studies/projectors.md test_projector"


def table() -> str:
    """The sizes as a Markdown table."""
    lines = ["| projector | settings | trained parameters | beside the MLP's |", "|---|---|---:|---:|"]
    found = {name: built(recipe) for name, recipe in recipes().items()}
    base = parameters(found["mlp"])
    for name, recipe in recipes().items():
        settings = [f"{key} {str(value).lower()}" for key, value in recipe.model["projector"].items() if key != "name"]
        size = parameters(found[name])
        lines.append(f"| {name} | {', '.join(settings)} | {size:,} | {round(size / base - 1, 3) + 0.0:+.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
