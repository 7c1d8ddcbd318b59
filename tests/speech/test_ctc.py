"""CTC: the loss against a sum over all paths, greedy decoding, micro-batches, a network that learns by it."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch

from locution.engine import Engine, Turn
from locution.errors import UserError
from locution.speech.ctc import CHARACTERS, collapse, ctc_loss, ctc_objective, greedy, spell, unspell
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.spoken import ctc_batch

SMALL = EncoderConfig(stem=8, width=32, blocks=1, heads=2, feed_forward=32, kernel=3)


def brute_force(scores: torch.Tensor, letters: list[int]) -> float:
    """Add up the probability of every path that collapses to the letters."""
    frames, classes = scores.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=frames):
        if collapse(list(path)) == letters:
            total += math.exp(sum(scores[frame, number].item() for frame, number in enumerate(path)))
    return -math.log(total)


@pytest.mark.parametrize("letters", [[1], [1, 1], [2, 1], [1, 2, 1], []])
def test_the_loss_is_the_sum_over_all_paths(letters: list[int]) -> None:
    scores = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(len(letters))).log_softmax(-1)
    padded = torch.tensor([[*letters, 0]])
    loss = ctc_loss(scores, torch.tensor([5]), padded, torch.tensor([len(letters)]))
    assert loss.item() == pytest.approx(brute_force(scores[0], letters), abs=1e-5)


def test_frames_behind_the_end_and_hopeless_clips_count_nothing() -> None:
    scores = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(9)).log_softmax(-1)
    letters, counts = torch.tensor([[1, 2], [1, 1]]), torch.tensor([2, 2])
    both = ctc_loss(scores, torch.tensor([4, 1]), letters, counts)  # one frame cannot say two letters
    assert both.item() == pytest.approx(brute_force(scores[0, :4], [1, 2]), abs=1e-5)


def test_greedy_reads_merges_and_trims() -> None:
    path = [0, *spell("h"), *spell("h"), 0, *spell("i"), *spell(" "), *spell(" "), 0, 0]
    scores = torch.nn.functional.one_hot(torch.tensor([path, path]), 29).float()
    assert greedy(scores, torch.tensor([len(path), 3])) == ["hi", "h"]
    assert greedy(scores, torch.tensor([0, 1])) == ["", ""]


def test_spelling_goes_there_and_back_and_refuses_the_rest() -> None:
    assert unspell(spell(CHARACTERS)) == CHARACTERS
    assert sorted(spell(CHARACTERS)) == list(range(1, 29))
    with pytest.raises(UserError, match="'7' in 'room 7'"):
        spell("room 7")


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    draw = torch.Generator().manual_seed(5)
    mels = [torch.randn(length, 80, generator=draw) for length in (60, 80, 44, 90, 71)]
    batch = ctc_batch(mels, ["a", "long one", "b", "the longest of them", ""])
    gradients = []
    for parts in (1, 2, 5):
        torch.manual_seed(0)
        model = SpeechEncoder(SMALL)
        for piece, share in batch.split(parts):
            (ctc_objective(model, piece)[1] * share).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)
    assert torch.allclose(gradients[0], gradients[2], atol=1e-5)


def test_a_small_encoder_learns_to_spell_what_it_hears() -> None:
    draw = torch.Generator().manual_seed(6)
    texts = ["ab", "ba", "a b"]
    mels = [torch.randn(48, 80, generator=draw) for _ in texts]
    batch = ctc_batch(mels, texts)
    torch.manual_seed(0)
    turn = Turn(ctc_objective, partial(torch.optim.AdamW, lr=0.01))
    model = Engine(SpeechEncoder(SMALL), turn, device="cpu").fit([batch], steps=60).trained()
    assert greedy(*model(batch.inputs["mel"], batch.inputs["lengths"])) == texts
