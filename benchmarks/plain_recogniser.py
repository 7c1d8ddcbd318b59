"""Training a projector the plain way, as one writes it with transformers alone: its Trainer, a module, a collator.

Every step the encoder hears all 30 seconds of every clip again, all clips of a batch are padded to the longest of it,
and logits are computed everywhere. In its favour: log-mel spectrograms are made once, as transformers' own tutorials
do (`Dataset.map`), and the language model sees no more of the encoder's 30 seconds than the longest clip of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speech_models import RATE, Said

FRAMES_A_SECOND = 50
Prompt = tuple[Sequence[int], Sequence[int]]


class PlainRecogniser(nn.Module):
    """Whisper's encoder, a projector, a causal language model: what a module around them looks like in short."""

    def __init__(self, encoder: Any, projector: nn.Module, writer: Any, prompt: Prompt) -> None:
        super().__init__()
        self.encoder, self.projector, self.writer = encoder, projector, writer
        self.encoder.requires_grad_(False)
        self.writer.requires_grad_(False)
        self.before, self.after = (torch.tensor(list(part)) for part in prompt)

    def forward(self, input_features: Tensor, frames: Tensor, labels: Tensor, text: Tensor) -> dict[str, Tensor]:
        """input_features (B, M, 3000), frames (B,) of each clip, text (B, L) and labels (B, L), padded on the right."""
        with torch.no_grad():
            heard = self.encoder(input_features.to(self.encoder.dtype)).last_hidden_state  # (B, 1500, D)
        heard = heard[:, : int(frames.max())]
        audio, lengths = self.projector(heard.to(next(self.projector.parameters()).dtype), frames)  # (B, T', H)
        look_up, batch, device = self.writer.get_input_embeddings(), len(text), text.device
        marks = [part.to(device).expand(batch, -1) for part in (self.before, self.after)]
        pieces = [look_up(marks[0]), audio.to(self.writer.dtype), look_up(marks[1]), look_up(text)]
        there = torch.arange(audio.shape[1], device=device) < lengths[:, None]
        full = [torch.ones_like(mark, dtype=torch.bool) for mark in marks]
        mask = torch.cat([full[0], there, full[1], labels >= 0], 1)  # (B, S)
        ignored = mask.new_full((batch, mask.shape[1] - labels.shape[1]), -100, dtype=torch.long)
        output = self.writer(
            inputs_embeds=torch.cat(pieces, 1),
            attention_mask=mask.long(),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            labels=torch.cat([ignored, labels], 1),
        )
        return {"loss": output.loss}  # the Trainer would gather whatever else is given


class Collator:
    """Pad a batch: features as they are, all 30 seconds of them; texts to the longest. `order` keeps who was in it."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.order: list[list[int]] = []

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        self.order.append([row["row"] for row in rows])
        pad = torch.nn.utils.rnn.pad_sequence
        texts = [torch.tensor(row["tokens"]) for row in rows]
        return {
            "input_features": torch.stack([row["input_features"] for row in rows]),
            "frames": torch.tensor([row["frames"] for row in rows]),
            "text": pad(texts, batch_first=True, padding_value=self.end),
            "labels": pad(texts, batch_first=True, padding_value=-100),
        }


def prepared(clips: Sequence[Said], extractor: Any, tokenizer: Any, end: int) -> list[dict[str, Any]]:
    """Make what `Dataset.map` would make of the clips: features of 30 seconds, and tokens."""
    rows = []
    for number, clip in enumerate(clips):
        features = extractor(clip.sound, sampling_rate=RATE, return_tensors="pt")["input_features"][0]  # (M, 3000)
        tokens = [*tokenizer(clip.text, add_special_tokens=False)["input_ids"], end]
        frames = (len(clip.sound) // 160 + 1) // 2
        rows.append({"row": number, "input_features": features, "frames": frames, "tokens": tokens})
    return rows


def trainer(
    model: nn.Module,
    rows: list[dict[str, Any]],
    end: int,
    folder: Path,
    *,
    epochs: int,
    batch: int,
    lr: float,
    device: str = "cpu",
    between: Callable[[], None] | None = None,
    seconds: list[float] | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Any:
    """Make the Trainer; `seconds` receives what each epoch took, `between` is called after each."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    class Turns(TrainerCallback):  # type: ignore[misc]
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.begun = clock()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            if seconds is not None:
                seconds.append(clock() - self.begun)
            if between is not None:
                between()

    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=batch, use_cpu=device == "cpu",
        learning_rate=lr, lr_scheduler_type="constant", weight_decay=0.0, adam_beta2=0.95, max_grad_norm=1.0,
        bf16=device != "cpu", report_to=[], logging_steps=1, save_strategy="no", disable_tqdm=True, seed=0,
        remove_unused_columns=False, dataloader_pin_memory=device != "cpu",
    )  # fmt: skip
    found = Trainer(model, arguments, train_dataset=rows, data_collator=Collator(end), callbacks=[Turns()])
    found.remove_callback(PrinterCallback)
    return found
