"""The task of predicting sound: which sample comes next, out of all there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.evaluation.intervals import bootstrap
from locution.models.dilated import DilatedNet
from locution.models.dilated_steps import draw_sequences
from locution.reporting.results import Metric, RunResults, Table
from locution.speech.audio import write_flac
from locution.speech.linear_prediction import baselines
from locution.speech.mu_law import LEVELS, from_mu_law
from locution.speech.own_sounds import RATE
from locution.tasks.abilities import Samples
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.sound_pictures import judged_bits, sound_pictures, waveforms
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

LONGEST, SHOWN = 60.0, 4  # seconds that can be asked for; sounds in the report


@dataclass(frozen=True)
class SoundSampling:
    """How sound is drawn: for how long, and how boldly.

    `seconds` at 8000 samples each. `temperature`: below 1 takes likelier samples more often than the network expects
    them, 0 always the likeliest. `begin` is a sound file, or test:3 as an example of the data, to go on with.

    >>> SoundSampling(seconds=0)
    Traceback (most recent call last):
    locution.errors.UserError: sampling.seconds is 0; allowed: a number above 0, up to 60.
    """

    seconds: float = 0.5
    temperature: float = 1.0
    begin: str = ""

    def __post_init__(self) -> None:
        require(0 < self.seconds <= LONGEST, "sampling.seconds", self.seconds, f"a number above 0, up to {LONGEST:g}")
        require(self.temperature >= 0, "sampling.temperature", self.temperature, "a number from 0, usually 0.9 to 1")


class NextSample(WeightsKept):
    """Next-sample prediction says of each sample of a sound how likely it is after all that came before.

    What predicts sound can make it: a sample is drawn from what is expected, and the next is predicted from that. It is
    judged in bits a sample, held out, beside those who know only how often each number comes, what follows the last
    sample, or what follows the guess of linear prediction.

    >>> from locution.recipe import resolve
    >>> few = ["data.train=3", "data.development=1", "data.test=1"]
    >>> job = NextSample().prepare(resolve("speech/next_sample", few), quiet=True)
    >>> job.model.reach
    511

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", section 2.
    """

    sampling: type = SoundSampling

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Speak the sentences and build the model."""
        data: Dataset = recipe.part("data").load(recipe.seed)
        if data.outputs != LEVELS or not isinstance(data.train, TensorBatches) or data.train.targets.dim() != 2:
            raise UserError(f"{recipe.name}: the data are no sound in {LEVELS} numbers; allowed: data sound.")
        job = Supervised().job(recipe, data, quiet=quiet)
        if not isinstance(job.model, DilatedNet) or job.model.reads != "all":
            raise UserError(f"model '{recipe.model.get('name')}' does not answer after each sample; allowed: dilated.")
        job.unit, job.per_example = "samples", float(data.inputs[0])
        return job

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on voices and sentences that it never heard."""
        assert isinstance(model, DilatedNet)
        data: Dataset = job.data
        held = data.test
        assert held is not None
        assert isinstance(data.train, TensorBatches)
        heard = int((held.targets[0] < 0).sum())
        note = f"{len(held)} held-out pieces, {held.targets.shape[1] - heard} samples of each, in bits"
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()}, notes=list(data.notes))
        bits = judged_bits(model, held)
        results.metrics.append(bits_metric("bits_per_sample", "the network", bits, note))
        others = baselines(data.train.inputs, data.train.targets, held.inputs, held.targets)
        best = min((name for name in others if name.startswith("linear")), key=lambda name: float(others[name].mean()))
        rows = [(name, f"{float(values.mean()):.3f}") for name, values in others.items()]
        for name, label in (("frequency", "frequencies alone"), ("previous", "after the last sample"), (best, best)):
            plain = "linear_prediction" if name == best else name
            results.metrics.append(bits_metric(plain, label, others[name], note))
        gain = bootstrap(others[best] - bits)
        said = f"bits fewer than {best}"
        results.metrics.append(Metric("gain", **gain, label=said, group="", better="higher", note=note))
        results.tables.append(Table("Bits a sample, without the network", ("what is known", "bits"), rows))
        begun = held.inputs[:SHOWN, -model.reach :]
        drawn = draw_sounds(model, len(begun), SoundSampling(seconds=0.125), generator(0, "sound"), begun)
        results.graphs, results.galleries = sound_pictures(model, held, drawn)
        results.limits.append(f"It was trained on {data.source}, one sample at a time.")
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say of each sound, a file or test:3, how surprising the model finds it, and what it expects next."""
        job = self.prepare(recipe, quiet=True)
        model: Any = self.load(recipe, job, folder)
        lines = []
        for text in inputs:
            codes = read_input(text, job.data)
            require(len(codes) >= 2, text, f"{len(codes)} samples long", "two samples or more")
            sound = TensorBatches(codes[None, :-1], codes[None, 1:])
            with torch.no_grad():
                expected = int(model(codes[None])[0, -1].argmax())
            said = f"{float(judged_bits(model, sound)[0]):.2f} bits a sample over {len(codes) / RATE:.2f} s"
            lines.append(f"{said}; next {float(from_mu_law(torch.tensor(expected))):+.4f}")
        return lines

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: SoundSampling) -> Samples:
        """Draw sounds, as waveforms (N, T); samples.flac in the run's folder has them one after another."""
        job = self.prepare(recipe, quiet=True)
        model: Any = self.load(recipe, job, folder)
        begin = read_input(wishes.begin, job.data)[None].expand(count, -1) if wishes.begin else LEVELS // 2
        drawn = draw_sounds(model, count, wishes, generator(seed, "sound"), begin)
        pause = torch.zeros(RATE // 10)
        sounds = torch.cat([torch.cat([one, pause]) for one in drawn])
        write_flac(folder / "samples.flac", sounds.numpy(), RATE)
        shown = waveforms("Sounds that were drawn", drawn[:SHOWN])
        return Samples(drawn, graphs=[shown], lines=[f"written: {folder / 'samples.flac'}"])


def draw_sounds(
    model: DilatedNet, count: int, wishes: SoundSampling, stream: torch.Generator, begin: Tensor | int = LEVELS // 2
) -> Tensor:
    """Draw sounds (count, T) from -1 to 1, behind a sound or behind a single sample of silence."""
    length = max(1, round(wishes.seconds * RATE))
    return from_mu_law(draw_sequences(model, count, length, stream, begin=begin, temperature=wishes.temperature))


def bits_metric(name: str, label: str, bits: Tensor, note: str) -> Metric:
    """Write down bits a sample of each held-out sentence (N,)."""
    return Metric(name, **bootstrap(bits), label=label, group="bits a sample", better="lower", note=note)
