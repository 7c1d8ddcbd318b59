"""The cards of the embedded halves: `python -m locution.tasks.card` judges the weights and writes them down.

Beside each half of `locution/speech/weights` stand `card.json`, with all that was measured and what is known of the
training, and `README.md`, made from it alone.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from locution.config import to_yaml
from locution.errors import unknown
from locution.recipe import Recipe, resolve
from locution.reporting.card import escape
from locution.reporting.results import Metric
from locution.reporting.units import figure
from locution.speech.babble import Texts
from locution.speech.frozen import EMBEDDED, load_encoder, load_language_model, weights_digest
from locution.tasks.hearing import Hearing
from locution.tasks.repeating import Repeating
from locution.tasks.task import Job

FACTS, CARD, TRAINING = "card.json", "README.md", "training.json"


@dataclass(frozen=True)
class Half:
    """What a card says of a half that is not measured: its title, what it is, what it was raised on."""

    title: str
    recipe: str
    what: str
    data: str


HALVES = {
    "encoder": Half(
        "The embedded speech encoder",
        "speech/encoder",
        "A small encoder: 80 log-mel bands, two convolutions of stride two, then blocks of gated "
        "convolution, attention over a window, and feed-forward. It gives 25 vectors a second; a linear "
        "head spells them (CTC on 28 characters). It is the frozen half that hears in the recipe `speech`.",
        "Sentences read aloud by espeak-ng: commands (a grammar of few words, some in random order), "
        "everyday sentences (a grammar over many words) and sentences of Python's manual, by voice variants "
        "and accents of English, at changing rates and pitches. In training, loudness changes, and some "
        "clips get noise or masks. Test sentences and test voices are in none of it.",
    ),
    "decoder": Half(
        "The embedded language model",
        "speech/decoder",
        "A small causal language model of SmolLM3's architecture that reads and writes single letters. It "
        "was raised by noisy repetition: to write again a text that stands before it, laid out in time and "
        "damaged as a poor listener would hear it. It is the frozen half that writes in the recipe "
        "`speech`.",
        "Sentences of three grammars, the same words in random order, made-up words and random letters. "
        "Test sentences are in none of it, in whatever word order.",
    ),
}


def judge(half: str, folder: Path) -> dict[str, Any]:
    """Judge the weights in a folder as the recipe's own evaluation does, and collect what its card says."""
    recipe = resolve(HALVES[half].recipe)
    task, model, job = (encoder if half == "encoder" else decoder)(recipe, folder)
    results = task.evaluate(recipe, job, model)
    training = folder / TRAINING
    return {
        "half": half,
        "weights": {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "bytes": (folder / "model.safetensors").stat().st_size,
            "digest": weights_digest(model),
        },
        "training": json.loads(training.read_text(encoding="utf-8")) if training.is_file() else {},
        "recipe": recipe.settings(),
        "metrics": [vars(metric) for metric in results.metrics],
        "limits": results.limits,
        "measured with": {"torch": torch.__version__, "python": platform.python_version(), "on": platform.machine()},
    }


def encoder(recipe: Recipe, folder: Path) -> tuple[Any, Any, Job]:
    """Load an encoder and the speech that it is judged on."""
    model = load_encoder(folder)
    return Hearing(), model, Job(model, [], None, data=recipe.part("data").stores(only="test"))


def decoder(recipe: Recipe, folder: Path) -> tuple[Any, Any, Job]:
    """Load a language model; the texts that it is judged on are drawn anew."""
    model, _ = load_language_model(folder)
    return Repeating(), model, Job(model, [], None, data=Texts(["no text to learn from"]))


def render(facts: dict[str, Any]) -> str:
    """Make the text of a card from what `judge` collected, and from nothing else."""
    half, weights, recipe = HALVES[facts["half"]], facts["weights"], facts["recipe"]
    command = f"locution train {half.recipe}"
    rows = [_row(Metric(**metric)) for metric in facts["metrics"]]
    made = [f"- {escape(name)}: {escape(value)}" for name, value in facts["training"].items()]
    size = f"{weights['parameters']:,} parameters in bf16, {weights['bytes'] / 1e6:.1f} MB"
    parts = [
        f"# {half.title}",
        half.what,
        f"{size}; hash of the weights `{weights['digest']}`.",
        "## What it does not understand",
        "\n".join(f"- {escape(line)}" for line in facts["limits"]),
        "## How good it is",
        "\n".join(["| figure | value | 95 % interval | measured on |", "|---|---:|---|---|", *rows]),
        f"Measured by `python -m locution.tasks.card {facts['half']}` (greedy; bootstrap intervals), with "
        + ", ".join(f"{name} {version}" for name, version in facts["measured with"].items())
        + ".",
        "## What it was raised on",
        half.data,
        "## How it was made",
        f"`{command}`, which runs without an accelerator:",
        f"```yaml\n{to_yaml(recipe).rstrip()}\n```",
        "\n".join(made),
        "Apache-2.0, like the package. The sound was made by espeak-ng (GPL-3), of which nothing is in here.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(metric: Metric) -> str:
    cells = (escape(metric.title), figure(metric.value), escape(metric.interval), escape(metric.note))
    return "| " + " | ".join(cells) + " |"


def main(words: Sequence[str]) -> None:
    """Judge the halves that are named, or both, and write their cards."""
    for half in words or HALVES:
        if half not in HALVES:
            raise unknown("embedded half", half, HALVES)
        folder = EMBEDDED / half
        facts = judge(half, folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / CARD).write_text(render(facts), encoding="utf-8")
        print(folder / CARD)


if __name__ == "__main__":
    main(sys.argv[1:])
