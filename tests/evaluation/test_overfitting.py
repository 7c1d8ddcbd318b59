"""A large MLP on 200 digits overfits, and it is said; a small regularised one does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.data.digits import DigitsData
from locution.engine import Batch, Engine, Record, Turn
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting, mean_loss, overfitting, underfitting
from locution.losses.basic import MSE, CrossEntropy
from locution.models.mlp import MLPModel
from locution.optimizers.basic import AdamW


def train(widths: tuple[int, ...], dropout: float, decay: float, epochs: int, stop: bool = False) -> Overfitting:
    data = DigitsData(limit=200).load(seed=0)
    torch.manual_seed(0)
    model = MLPModel(widths=widths, dropout=dropout).build(data.inputs, data.outputs)
    watcher = Overfitting(CrossEntropy(), data.development, stop=stop, say=lambda text: None)
    turn = Turn(CrossEntropy(), AdamW(lr=0.003, weight_decay=decay).build)
    Engine(model, turn, observers=[watcher], device="cpu").fit(data.train, epochs=epochs)
    return watcher


def test_a_large_mlp_on_200_digits_is_flagged() -> None:
    watcher = train((512, 512), dropout=0.0, decay=0.0, epochs=30)
    assert watcher.since is not None
    assert watcher.held_out[-1] > 1.05 * min(watcher.held_out)
    assert len(watcher.notes) == 1
    assert watcher.notes[0].startswith(f"overfitting since epoch {watcher.since}: the held-out loss rose from ")


def test_a_small_regularised_mlp_is_not_flagged() -> None:
    watcher = train((32,), dropout=0.3, decay=0.1, epochs=45)
    assert watcher.since is None
    assert watcher.notes == []
    assert watcher.held_out[-1] < watcher.held_out[0] / 2
    assert not underfitting(watcher.training, watcher.held_out, unlearnt=2.3026)


def test_what_was_said_is_taken_back_where_it_goes_on_learning() -> None:
    said: list[str] = []
    watcher = Overfitting(CrossEntropy(), [], patience=2, say=said.append)
    losses = [1.0, 0.5, 0.6, 0.7, 0.4, 0.6, 0.7]  # overfits since 2, learns again at 5, overfits since then
    for epoch, held_out in enumerate(losses, start=1):
        watcher.watch(Record("epoch", epoch, epoch, 1 / epoch, 0.1, 0, 0.0, {"development_loss": held_out}))
    assert [line.split(":")[0] for line in said] == ["overfitting since epoch 2", "overfitting since epoch 5"]
    assert watcher.notes == said[1:], "the report has what holds at the end"


def test_early_stopping_ends_training_and_says_why() -> None:
    data = DigitsData(limit=200).load(seed=0)
    reasons: list[str] = []

    class Ending(Overfitting):
        def finish(self, record: object, reason: str) -> None:
            reasons.append(reason)

    rising = iter([1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])

    def held_out(model: nn.Module, batch: Batch) -> tuple[None, Tensor]:
        return None, torch.tensor(next(rising))

    model = MLPModel(widths=(16,)).build(data.inputs, data.outputs)
    watcher = Ending(held_out, [Batch(torch.zeros(1, 1))], patience=3, stop=True, say=lambda text: None)
    turn = Turn(CrossEntropy(), AdamW(lr=0.01).build)
    engine = Engine(model, turn, observers=[watcher], device="cpu").fit(data.train, epochs=7)
    assert engine.epoch == 5  # the lowest at 2, and three epochs of patience
    assert reasons == ["early stopping: overfitting since epoch 2"]


@pytest.mark.parametrize(
    ("training", "held_out", "expected"),
    [
        ([4, 3, 2, 1, 0.5], [4, 3, 3.3, 3.4, 3.5], 1),
        ([4, 3, 2, 1, 0.5], [4, 3, 3.05, 3.1, 3.1], None),  # within the share that noise may take
        ([4, 3, 2, 1, 0.5], [4, 3, 3.3, 3.4, 2.9], None),  # a new lowest: it goes on learning
        ([4, 3, 3.1, 3.2, 3.3], [4, 3, 3.3, 3.4, 3.5], None),  # both rise: that diverges, it does not overfit
        ([4, 3, 2], [4, 3, 3.5], None),  # too early to tell
        ([], [], None),
    ],
)
def test_both_curves_decide(training: list[float], held_out: list[float], expected: int | None) -> None:
    assert overfitting(training, held_out, patience=3) == expected


def test_a_new_lowest_loss_takes_the_verdict_back() -> None:
    watcher = Overfitting(CrossEntropy(), [], patience=2, say=lambda text: None)
    said = []
    for epoch, held_out in enumerate([1.0, 1.2, 1.3, 0.9, 1.0, 1.1], start=1):
        watcher.watch(Record("epoch", epoch, epoch, 1 / epoch, 0.1, 0, 0.0, {"development_loss": held_out}))
        said.append(watcher.since)
    assert said == [None, None, 1, None, None, 4]


def test_underfitting_is_high_on_both() -> None:
    assert underfitting([2.2], [2.2], unlearnt=2.3)
    assert not underfitting([0.1], [2.2], unlearnt=2.3)
    assert not underfitting([1.3], [4.0], unlearnt=2.3)


def test_the_mean_loss_is_that_of_all_examples_at_once_asleep_and_by_weight() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    net[1].eval()
    net.training = True
    draw = torch.Generator().manual_seed(0)
    x, y, w = torch.randn(7, 3, generator=draw), torch.randn(7, 2, generator=draw), torch.rand(7, generator=draw)
    whole = Batch(x, y, w)
    found = mean_loss(net, MSE(), [whole.rows(0, 3), whole.rows(3, 7)])
    assert found == pytest.approx(MSE()(net[0], whole)[1].item(), rel=1e-6)
    assert [module.training for module in net.modules()] == [True, True, False]


def test_its_state_comes_back() -> None:
    first = train((16,), dropout=0.0, decay=0.0, epochs=2)
    again = Overfitting(CrossEntropy(), [])
    again.load_state_dict(first.state_dict())
    assert again.state_dict() == first.state_dict()
    assert len(again.held_out) == 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"overfitting.patience is 0"):
        Overfitting(CrossEntropy(), [], patience=0)
    with pytest.raises(UserError, match=r"overfitting.rise is -1"):
        Overfitting(CrossEntropy(), [], rise=-1.0)
