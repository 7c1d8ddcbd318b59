"""Training the projector at the true sizes on an accelerator: Whisper-large-v3-turbo and SmolLM3-3B, random weights.

Called by `python -m benchmarks.projector_training --device cuda`. Both ways share the frozen halves, in bf16, and
train copies of one projector under autocast. Beside the throughput: the share of the chip's peak that the arithmetic
makes of it, and the peak memory beside what was forecast.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.arithmetic import PROMPT, TOKENS_PER_SECOND, TRUE, Pair, clip_step, memory_forecast
from benchmarks.cached_training import LR, Ours, rows
from benchmarks.curves import Trained
from benchmarks.speech_models import Said, clips, librispeech_lengths, save_writer, whisper_config, writer_config

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10": 125e12, "L4": 121e12, "T4": 65e12}
DEVICE = "cuda"  # dense bf16 products a second above, from the makers' sheets (T4: fp16)


def peak(device: str) -> float | None:
    """Say how many operations a second the maker promises of a device in bf16, None where that is not known here.

    >>> peak("NVIDIA H200"), peak("abacus")
    (989000000000000.0, None)
    """
    return next((value for name, value in PEAKS.items() if name in device), None)


def build(folder: Path, pair: Pair = TRUE, device: str = DEVICE, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Draw both halves on the device and put a projector between them."""
    import transformers

    from locution.speech.checkpoint import build_recogniser
    from locution.speech.frozen import freeze
    from locution.speech.whisper import WhisperFrames

    tokenizer = transformers.AutoTokenizer.from_pretrained(save_writer(folder / "small"), trust_remote_code=False)
    torch.manual_seed(0)
    with torch.device(device):
        hears = whisper_config(pair.encoder, 2000, (1, 16), pad_token_id=0, bos_token_id=0, eos_token_id=0)
        whisper = transformers.AutoModel.from_config(hears, dtype=dtype)
        writes = writer_config(pair.writer, tokenizer.eos_token_id)
        writer = transformers.AutoModelForCausalLM.from_config(writes, dtype=dtype)
    encoder = freeze(WhisperFrames(whisper.encoder))
    return build_recogniser(encoder, freeze(writer), tokenizer).to(device)


def measured(train: Any, device: str = DEVICE) -> int:
    """Train, and say how much memory was in use at most, the weights included, in bytes."""
    if device == "cpu":
        train()
        return 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    train()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def one_after_the_other(
    folder: Path, said: list[Said], epochs: int, batch: int, pair: Pair = TRUE, device: str = DEVICE
) -> tuple[dict[str, Trained], dict[str, int]]:
    """Train locution's way, then the plain way: what each took, and its peak memory."""
    import copy

    from transformers import WhisperFeatureExtractor

    from benchmarks.plain_recogniser import PlainRecogniser, prepared, trainer
    from benchmarks.side_by_side import clock_of

    recogniser = build(folder, pair, device)
    projector = copy.deepcopy(recogniser.projector)
    marks = recogniser.before.tolist(), recogniser.after.tolist()
    ours = Ours(recogniser, said, folder / "frames", device, batch=batch)

    def first() -> None:
        for _ in range(epochs):
            ours.epoch()

    peaks = {"ours": measured(first, device)}
    plain = PlainRecogniser(recogniser.encoder.encoder, projector, recogniser.language_model, marks).to(device)
    extractor, theirs = WhisperFeatureExtractor(feature_size=pair.encoder.mels), Trained()
    rows = prepared(said, extractor, recogniser.tokenizer, recogniser.end[0])
    settings: Any = {"epochs": epochs, "batch": batch, "lr": LR, "device": device, "clock": clock_of(device)}
    run = trainer(plain, rows, recogniser.end[0], folder / "trainer", seconds=theirs.seconds, **settings)
    peaks["plain"] = measured(run.train, device)
    theirs.losses += [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    return {"ours": ours.found, "plain": theirs}, peaks


def facts(found: dict[str, Trained], peaks: dict[str, int], said: list[Said], batch: int, name: str) -> list[str]:
    """Say what share of the chip's peak each reached, and how its memory compares with the forecast."""
    import statistics

    lines, limit = [], peak(name)
    longest = max(clip.seconds for clip in said)
    for way, title in (("ours", "locution"), ("plain", "the plain way")):
        cached, everywhere = way == "ours", way == "plain"
        steps = [clip_step(TRUE, clip.seconds, cached=cached, everywhere=everywhere) for clip in said]
        rate = sum(step.total for step in steps) / statistics.median(found[way].seconds[1:])
        share = f", {rate / limit:.0%} of the chip's peak" if limit else ""
        tokens = round(longest * TOKENS_PER_SECOND)
        places = PROMPT + int(longest * 50) // TRUE.stack + tokens
        forecast = memory_forecast(TRUE, batch, places, places if everywhere else tokens + 1)
        lines.append(
            f"- {title}: {rate / 1e12:,.0f} x 10^12 operations a second of its own arithmetic{share}; peak memory "
            f"{peaks[way] / 1e9:.1f} GB (forecast {forecast / 1e9:.1f} GB); last loss {found[way].losses[-1]:.3f}."
        )
    return lines


def train_both(*, quick: bool) -> int:
    """Run it and write the results down."""
    from benchmarks.side_by_side import finish, show

    if not torch.cuda.is_available():
        print("not run: no CUDA device is here; the small sizes run on a processor: leave out --device.")
        return 1
    count, epochs, batch = (64, 3, 16) if quick else (256, 5, 16)
    said = clips(librispeech_lengths(count))
    audio = sum(clip.seconds for clip in said)
    with tempfile.TemporaryDirectory() as home:
        found, peaks = one_after_the_other(Path(home), said, epochs, batch)
    title = f"training a projector at the true sizes, {count} clips of {audio / count:.1f} s, batches of {batch}"
    tables = {title: rows(found["ours"], found["plain"], audio)}
    show(title, tables[title])
    lines = facts(found, peaks, said, batch, torch.cuda.get_device_name())
    return finish("projector_training_true_sizes", tables, quick=quick, facts=lines)
