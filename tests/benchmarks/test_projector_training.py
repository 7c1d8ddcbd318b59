"""Both ways of training a projector are the same training: one loss, one gradient, whatever the padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import curves
from benchmarks.cached_training import Ours, rows
from benchmarks.curves import Listed, Trained, alike, any_order
from benchmarks.plain_recogniser import Collator, prepared
from benchmarks.projector_training import again, plain_of, recogniser_of
from benchmarks.speech_models import Said, clips, librispeech_lengths


@pytest.fixture(scope="module")
def said() -> list[Said]:
    return clips([1.3, 4.0, 2.1, 0.9])


def both(folder: Path, said: list[Said]) -> Any:
    from transformers import WhisperFeatureExtractor

    recogniser, tokenizer = recogniser_of(folder)
    plain = plain_of(folder, recogniser.projector, tokenizer, recogniser.prompt)
    extractor = WhisperFeatureExtractor.from_pretrained(folder / "whisper")
    return recogniser, plain, prepared(said, extractor, tokenizer, recogniser.end[0])


def of_locution(recogniser: Any, said: list[Said], frames: list[torch.Tensor]) -> torch.Tensor:
    from locution.speech.recogniser import transcript_objective
    from locution.speech.utterances import Utterances

    utterances = Utterances.of(recogniser, frames, [clip.text for clip in said], batch_size=4)
    _, loss = transcript_objective(recogniser, utterances.batch([2, 0, 3, 1]))
    loss.backward()
    return loss.detach()


def test_both_ways_have_one_loss_and_one_gradient(folder: Path, said: list[Said]) -> None:
    recogniser, plain, listed = both(folder, said)
    batch = Collator(recogniser.end[0])(listed)
    theirs = plain(**batch)["loss"]
    theirs.backward()
    with torch.no_grad():
        heard = plain.encoder(batch["input_features"]).last_hidden_state
    frames = [clip[:count] for clip, count in zip(heard, batch["frames"].tolist(), strict=True)]
    loss = of_locution(recogniser, said, frames)
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-5)
    for one, other in zip(recogniser.projector.parameters(), plain.projector.parameters(), strict=True):
        assert one.grad is not None
        assert (one.grad - other.grad).norm() < 1e-4 * other.grad.norm()


def test_both_ways_hear_the_same(folder: Path, said: list[Said]) -> None:
    from locution.speech.encode import encode_clips

    recogniser, plain, listed = both(folder, said)
    with torch.no_grad():
        theirs = plain(**Collator(recogniser.end[0])(listed))["loss"]
    frames = dict(encode_clips(recogniser.encoder, lambda i: said[i].sound, [clip.seconds for clip in said]))
    loss = of_locution(recogniser, said, [frames[i].clone() for i in range(4)])
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-3)  # the last window of each clip ends in other silence


def test_the_plain_ways_padding_does_not_count(folder: Path, said: list[Said]) -> None:
    recogniser, plain, listed = both(folder, said)
    collate = Collator(recogniser.end[0])
    with torch.no_grad():
        whole = plain(**collate(listed))["loss"].item()
        alone = [(plain(**collate([row]))["loss"].item(), len(row["tokens"])) for row in listed]
    assert whole == pytest.approx(sum(loss * n for loss, n in alone) / sum(n for _, n in alone), abs=1e-4)
    assert collate.order == [[0, 1, 2, 3], [0], [1], [2], [3]]


def test_locutions_way_hears_once_and_learns(folder: Path, said: list[Said], tmp_path: Path) -> None:
    recogniser, _ = recogniser_of(folder)
    ours = Ours(recogniser, said, tmp_path, "cpu", batch=2)
    ours.epoch()
    heard = ours.found.heard
    for _ in range(9):
        ours.epoch()
    assert 0 < heard == ours.found.heard < ours.found.seconds[0]
    assert len(ours.found.seconds) == 10
    assert len(ours.found.losses) == 20
    assert sum(ours.found.losses[-4:]) < sum(ours.found.losses[:4]) - 0.1


def test_given_batches_are_trained_on_in_their_order(folder: Path, said: list[Said]) -> None:
    class Utterances:
        def steps(self) -> int:
            return 2

        def batch(self, rows: list[int]) -> list[int]:
            return rows

    order = [[0, 1], [2, 3], [3, 0], [1, 2]]
    listed = Listed(Utterances(), order)
    assert [list(listed.epoch(number, seed=0)) for number in range(2)] == [order[:2], order[2:]]
    assert list(listed.epoch(1, seed=0, skip=1)) == [[1, 2]]
    one, other = (again(folder, said, 2, [[0, 1, 2, 3]] * 2) for _ in range(2))
    assert one.losses == other.losses


def test_any_order_has_each_clip_once_an_epoch() -> None:
    order = any_order(10, batch=4, epochs=3, seed=1)
    assert [len(rows) for rows in order] == [4, 4, 2] * 3
    for epoch in range(3):
        assert sorted(row for rows in order[3 * epoch : 3 * epoch + 3] for row in rows) == list(range(10))
    assert order[:3] != order[3:6]


def trained(losses: list[float], epochs: int = 2) -> Trained:
    return Trained(seconds=[1.0] * epochs, losses=losses)


def test_curves_are_alike_only_within_noise() -> None:
    ours, same, other = trained([4.0, 3.0, 2.0, 1.0]), trained([4.1, 3.1, 2.1, 1.1]), trained([4.2, 3.2, 2.2, 1.2])
    assert alike(ours, trained([4.1, 3.1, 2.1, 1.1]), same, [other])[1]
    assert not alike(ours, trained([4.5, 3.5, 2.5, 1.5]), same, [other])[1]
    assert not alike(ours, trained([4.1, 3.1, 2.1, 1.2]), same, [other])[1]  # the same batches, another loss
    rising = trained([1.0, 2.0, 3.0, 4.0])
    assert not alike(rising, rising, rising, [other])[1]


def test_a_curve_is_apart_from_another_by_its_running_means() -> None:
    assert curves.smoothed([3.0, 1.0, 2.0], 2) == [2.0, 1.5]
    assert curves.apart([3.0, 1.0, 2.0], [1.0, 1.0, 2.0], 2) == pytest.approx(0.5)


def test_the_rows_count_the_first_epoch_and_the_whole() -> None:
    found = rows(Trained(seconds=[3.0, 1.0, 1.0]), Trained(seconds=[6.0, 4.0, 5.0]), audio=100.0)
    assert [round(ratio.median, 3) for ratio in found] == [1.0, 0.225, 0.5, 0.333]
    assert found[1].goal == pytest.approx(1 / 3)
    assert found[1].microseconds == pytest.approx(1e4)


def test_lengths_are_those_of_read_books() -> None:
    lengths = librispeech_lengths(400)
    assert sum(12 <= one <= 16.5 for one in lengths) == 240
    assert sum(lengths) / 400 == pytest.approx(11.8, abs=0.3)
    assert librispeech_lengths(5) == librispeech_lengths(5) != librispeech_lengths(5, seed=1)


def test_clips_say_as_many_words_as_their_length_allows() -> None:
    for clip in clips([2.0, 6.0]):
        assert len(clip.text.split()) == round(2.7 * clip.seconds)
        assert 0.005 < clip.sound.std() < 0.3
