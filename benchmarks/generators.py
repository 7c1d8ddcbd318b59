"""Digits made by a VAE, a GAN, a diffusion model and a flow, all judged by the same judge.

    python -m benchmarks.generators [--quick] [--seeds N ...] [--show]

Each recipe is trained as `locution train` trains it, and makes a thousand digits as `locution sample` does. One judge,
which learnt from the digits that all of them learnt from, says of each thousand what share is recognised (lifelike, and
a classifier is sure of the class), its precision, recall and coverage of the held-out digits, whether they are copies,
and how far they lie from the real ones. Beside them stand three that cheat or know better: held-out digits, digits that
were learnt from, handed out again, and draws from a Gaussian fitted to the pixels; and makers with one thing changed: a
GAN that is told no class, a diffusion model without averaged weights, one that says the velocity, a flow that factors
half of the channels out. Shown are means over the seeds; bits are those per dimension of held-out digits, where a
likelihood is known.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.side_by_side import RESULTS, machine
from locution.data.digits import DigitsData
from locution.evaluation.generated import PictureJudge, gaussian_fit, some_of
from locution.runs import train

SEEDS = (0, 1, 2)
MADE = 1000
GREY = ("digits/vae", "objective.likelihood=gaussian", "objective.spread=0.15")  # as the others, not black and white
MAKERS: dict[str, tuple[tuple[str, ...], dict[str, dict[str, Any]]]] = {  # words of a run, and ways to draw from it
    "VAE": (GREY, {"": {}}),
    "GAN": (("digits/gan",), {"": {}}),
    "GAN, told no class": (("digits/gan", "model.conditional=false"), {"": {}}),
    "diffusion": (("digits/diffusion",), {"": {"guidance": 0.0}, ", guidance 2": {"guidance": 2.0}}),
    "diffusion, weights not averaged": (("digits/diffusion", "-averaging"), {"": {"guidance": 0.0}}),
    "diffusion, velocity": (("digits/diffusion", "model.predicts=velocity"), {"": {"guidance": 0.0}}),
    "flow": (("digits/flow",), {"": {}, ", temperature 0.8": {"temperature": 0.8}}),
    "flow, multiscale": (("digits/flow", "model.multiscale=true"), {"": {}}),
}
SHOWN = ("recognised", "precision", "recall", "coverage", "data_copying", "frechet", "energy_distance")
Figures = dict[str, float]


def judged(judge: PictureJudge, pictures: Tensor) -> Figures:
    """Judge pictures, kept between 0 and 1."""
    return {name: figure["value"] for name, figure in judge(pictures.clamp(0, 1)).figures.items()}


def made(judge: PictureJudge, name: str, folder: Path, seed: int, *, quick: bool) -> Mapping[str, Figures]:
    """Train one of the makers, let it make digits in each of its ways, and judge them."""
    (recipe, *words), ways = MAKERS[name]
    short = ("epochs=null", "steps=5") if quick else ()
    begun = time.process_time()
    run: Any = train(recipe, *words, *short, f"seed={seed}", f"run_dir={folder / f'{name}-{seed}'}", quiet=True)
    seconds = time.process_time() - begun
    more = {"seconds": seconds}
    if "bits_per_dimension" in run.results["metrics"]:
        more["bits"] = run.results["metrics"]["bits_per_dimension"]["value"]
    found = {}
    for way, wishes in ways.items():
        samples = run.task.sample(run.recipe, run.folder, MADE, seed, run.task.sampling(**wishes))
        found[f"{name}{way}"] = judged(judge, samples.values) | more
    return found


def beside(judge: PictureJudge) -> dict[str, Figures]:
    """Judge those that stand beside the makers."""
    return {
        "held out": judged(judge, judge.held),
        "learnt from": judged(judge, some_of(judge.known, MADE)),
        "Gaussian fit": judged(judge, gaussian_fit(judge.known, MADE)),
    }


def mean(figures: list[Figures], name: str, form: str = "{:.3f}") -> str:
    """Write the mean of a figure over the seeds, or nothing where there is none."""
    values = [one[name] for one in figures if name in one]
    return form.format(sum(values) / len(values)) if values else ""


def table(found: Mapping[str, list[Figures]]) -> list[str]:
    """Lay out the means as Markdown; of what is held out, nearness to itself says nothing."""
    names = [name.replace("_", " ") for name in SHOWN]
    lines = [f"| digits | {' | '.join(names)} | bits | training, CPU |", "|---|" + "---:|" * (len(SHOWN) + 2)]
    for maker, figures in found.items():
        hidden = ("recall", "coverage") if maker == "held out" else ()
        cells = ["" if name in hidden else mean(figures, name) for name in SHOWN]
        cells += [mean(figures, "bits"), mean(figures, "seconds", "{:.0f} s")]
        lines.append(f"| {maker} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps each, one seed: does it run?")
    parser.add_argument("--seeds", type=int, nargs="+", default=None)
    parser.add_argument("--show", action="store_true", help="print the table of the last full run")
    chosen = parser.parse_args()
    kept = RESULTS / "generators.json"
    if chosen.show:
        print("\n".join(json.loads(kept.read_text(encoding="utf-8"))["table"]))
        return 0
    seeds = tuple(chosen.seeds or (SEEDS[:1] if chosen.quick else SEEDS))
    data: Any = DigitsData().load(0)
    judge = PictureJudge(data.train.inputs, data.train.targets, data.test.inputs)
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            for name in MAKERS:
                for maker, figures in made(judge, name, Path(folder), seed, quick=chosen.quick).items():
                    found.setdefault(maker, []).append(figures)
                    print(f"seed {seed}, {maker}: {figures}", flush=True)
    found |= {name: [figures] for name, figures in beside(judge).items()}
    lines = table(found)
    print("\n".join(lines))
    if (seeds, chosen.quick) == (SEEDS, False):
        record = {"benchmark": "generators", "machine": machine(), "seeds": seeds, "found": found, "table": lines}
        kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
