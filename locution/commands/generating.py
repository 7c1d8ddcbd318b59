"""Commands that let a generative run make something new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from locution.commands.numbers import Whole


def sample(
    run: str,
    *settings: str,
    count: Annotated[Whole, Parameter(name=["--count", "-n"])] = 16,
    seed: Whole = 0,
    out: str = "",
) -> None:
    """Draw new examples from a generative run: locution sample runs/digits/diffusion/latest -n 16 guidance=2

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    settings
        setting=value, where the run's way of drawing has any.
    count
        how many.
    seed
        the same seed draws the same examples.
    out
        NAME of the files: NAME.npy, and NAME.png or NAME.svg with their picture; samples in the run's folder if empty.
    """
    from locution.runs import Run
    from locution.tasks.drawing import draw, write_samples

    opened = Run.open(run)
    drawn = draw(opened.task, opened.recipe, opened.folder, count, seed, settings)
    for line in write_samples(drawn, opened.recipe.name, Path(out) if out else opened.folder / "samples"):
        print(line)


def generate(
    run: str,
    *prompts: str,
    length: Whole = 100,
    temperature: float = 0.8,
    top_k: Whole = 0,
    top_p: float = 1.0,
    seed: Whole = 0,
    cache: bool = True,
) -> None:
    """Let a language model go on with a text: locution generate runs/texts/causal/latest "The for statement"

    The text appears as it is drawn.

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    prompts
        texts to go on with.
    length
        tokens to add at most.
    temperature
        above 1 flattens what the model expects, below 1 sharpens it, 0 takes the likeliest.
    top_k
        leave so many of the likeliest tokens; 0 for all.
    top_p
        leave the fewest tokens that hold this share of the probability.
    seed
        the same seed gives the same text.
    cache
        keep keys and values of what was read; without, the same text, only slower.
    """
    from locution.errors import UserError
    from locution.runs import Run
    from locution.tasks.abilities import Generation, able

    opened = Run.open(run)
    task = able(opened.task, "generate", opened.folder)
    if not prompts:
        raise UserError('generate came without a text; allowed: locution generate RUN "a text to go on with".')
    wishes = Generation(length, temperature, top_k, top_p, seed, cache)
    for piece in task.stream(opened.recipe, opened.folder, prompts, wishes):
        print(piece, end="", flush=True)


def export(run: str, folder: str) -> None:
    """Write a language model as a folder that transformers loads: locution export runs/texts/causal/latest my-model

    AutoModelForCausalLM.from_pretrained and AutoTokenizer.from_pretrained take the folder as it is.

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    folder
        where to write; what is there already, and is none of these files, stays.
    """
    from locution.runs import Run
    from locution.tasks.abilities import able

    opened = Run.open(run)
    for path in able(opened.task, "export", opened.folder).export(opened.recipe, opened.folder, Path(folder)):
        print(f"written: {path}")
