"""How fast speech is written down: locution's recogniser against transformers' own pipeline on the same Whisper folder.

    python -m benchmarks.transcription [--quick] [--device cuda]

Both start from samples in memory and end with text, greedily. The pipeline is Whisper with its own decoder; locution
puts a projector and a SmolLM3 behind the same encoder. Their two decoders have as many weights, within two in a
hundred, and as many layers. Random weights never end a sentence, so both are nudged, logit by logit, to write the same
words and then the end mark. One thread, processor time, everyone in turn; the real-time factor is the seconds spent on
a second of audio. locution hears thirty seconds as the pipeline does, or (`unpadded`) only what is there. Exit code 1
when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.projector_training import recogniser_of
from benchmarks.side_by_side import AUDIO, Ratio, compare, finish, interleave, show
from benchmarks.speech_models import RATE, Said, clips, quiet_transformers

PIPELINE, PADDED, UNPADDED = "transformers' pipeline", "locution, hearing 30 s", "locution, unpadded"
TOKENS_PER_SECOND = 3.3
LOUD = 1e4  # a logit that wins


class Script:
    """A script says which token comes next, whatever the model thinks: words, then the end mark.

    Hung behind a model, it counts the places that the model has written since it last read more than one token.
    """

    def __init__(self, count: int, end: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.tokens = [*torch.randint(300, 1400, (count,), generator=draw).tolist(), end]  # words, no marks
        self.place = self.calls = 0

    def __call__(self, model: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        """Nudge the logits of the last place of (B, n, V)."""
        token = kwargs.get("input_ids", kwargs.get("decoder_input_ids"))
        goes_on = token is not None and token.shape[1] == 1
        self.place, self.calls = (self.place + 1 if goes_on else 0), self.calls + goes_on
        output.logits[:, -1, self.tokens[min(self.place, len(self.tokens) - 1)]] += LOUD
        return output

    def text(self, tokenizer: Any) -> str:
        """Say what it makes a model write."""
        return " ".join(tokenizer.decode(self.tokens[:-1], skip_special_tokens=True).split())

    def followed(self, texts: list[str], tokenizer: Any, batches: int) -> list[str]:
        """Check that every clip was written as told, and once: a token a call."""
        assert [" ".join(text.split()) for text in texts] == [self.text(tokenizer)] * len(texts), "another text"
        assert self.calls == batches * (len(self.tokens) - 1), "tokens were written more than once"
        self.calls = 0
        return texts


def ours(folder: Path, count: int, device: str, batch: int, *, unpadded: bool) -> Callable[[list[Said]], list[str]]:
    """Build locution's transcription of samples: its text for each clip."""
    from locution.speech.hear import write_audio

    recogniser, tokenizer = recogniser_of(folder, unpadded=unpadded)
    recogniser.to(device).eval()
    script = Script(count, recogniser.end[0])
    recogniser.language_model.register_forward_hook(script, with_kwargs=True)

    def run(said: list[Said]) -> list[str]:
        texts = [one.text for one in write_audio(recogniser, [clip.sound for clip in said], batch_size=batch)]
        return script.followed(texts, tokenizer, -(-len(said) // batch))

    return run


def pipeline(folder: Path, count: int, device: str, batch: int) -> Callable[[list[Said]], list[str]]:
    """Build transformers' pipeline on the same folder."""
    import transformers

    where = folder / "whisper"
    recogniser = transformers.pipeline("automatic-speech-recognition", model=str(where), device=device)
    script = Script(count, recogniser.model.config.eos_token_id)
    recogniser.model.register_forward_hook(script, with_kwargs=True)

    def run(said: list[Said]) -> list[str]:
        inputs = [{"raw": clip.sound, "sampling_rate": RATE} for clip in said]
        found = recogniser(inputs, batch_size=batch, generate_kwargs={"num_beams": 1, "do_sample": False})
        return script.followed([one["text"] for one in found], recogniser.tokenizer, -(-len(said) // batch))

    return run


def round_of(folder: Path, seconds: float, batch: int, rounds: int, device: str) -> list[Ratio]:
    """Compare all three on a batch of clips of one length."""
    count, said = round(seconds * TOKENS_PER_SECOND), clips([seconds] * batch)
    three = {
        PIPELINE: pipeline(folder, count, device, batch),
        PADDED: ours(folder, count, device, batch, unpadded=False),
        UNPADDED: ours(folder, count, device, batch, unpadded=True),
    }
    times = interleave({name: partial(run, said) for name, run in three.items()}, rounds, device)
    goals = {PIPELINE: None, PADDED: None, UNPADDED: 1.0}
    audio = seconds * batch
    return [compare(times, name, PIPELINE, audio, goal, AUDIO) for name, goal in goals.items()]


def weights(folder: Path) -> str:
    """Say how many weights each side's decoder has."""
    from transformers import WhisperForConditionalGeneration

    recogniser, _ = recogniser_of(folder)
    whisper = WhisperForConditionalGeneration.from_pretrained(folder / "whisper")
    own = sum(weight.numel() for weight in whisper.model.decoder.parameters())
    other = sum(weight.numel() for weight in recogniser.language_model.parameters())
    between = sum(weight.numel() for weight in recogniser.projector.parameters())
    return (
        f"Whisper's own decoder has {own / 1e6:.1f} million weights; SmolLM3 has {other / 1e6:.1f} million and the "
        f"projector {between / 1e6:.1f} million. Both write {TOKENS_PER_SECOND:g} tokens a second of audio."
    )


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and lengths, same goals")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    quiet_transformers()
    lengths, rounds = ((4.0,), 1) if chosen.quick else ((4.0, 12.0), 5)
    tables: dict[str, list[Ratio]] = {}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        note = weights(folder)
        for seconds in lengths:
            for batch in (1, 16):
                title = f"clips of {seconds:g} s, {batch} at a time"
                tables[title] = round_of(folder, seconds, batch, rounds if batch > 1 else 4 * rounds, chosen.device)
                show(title, tables[title])
    facts = [note, ""]
    for title, ratios in tables.items():
        factors = ", ".join(f"{ratio.name} {ratio.microseconds / 1e6:.4f}" for ratio in ratios)
        facts.append(f"- real-time factor, {title}: {factors}")
    return finish("transcription", tables, quick=chosen.quick, facts=[*facts, ""])


if __name__ == "__main__":
    sys.exit(main())
