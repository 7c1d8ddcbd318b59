"""Knowledge distillation: a step by hand, whom the teacher is asked about and how often, and what is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.data.mixup import MixupMethod
from locution.engine import Batch, Engine, Plan, Step, TensorBatches, Turn
from locution.engine.method import ordered, rebuilt
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy
from locution.losses.distillation import DistillationMethod, distillation_loss
from locution.losses.label_smoothing import LabelSmoothingMethod
from locution.losses.vat import VATMethod
from locution.optimizers.averaging import AveragingMethod
from locution.optimizers.sam import SAMMethod

LR = 0.05


class Asked(nn.Module):
    """A teacher that counts how often it is asked, and about what."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, outputs))
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs.clone())
        found: Tensor = self.net(inputs)
        return found


def teacher(outputs: int = 3) -> Asked:
    torch.manual_seed(11)
    return Asked(outputs)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def data(size: int = 16, weights: bool = False) -> TensorBatches:
    stream = torch.Generator().manual_seed(7)
    x = torch.randn(40, 6, generator=stream)
    counts = torch.randint(1, 5, (40,), generator=stream).float() if weights else None
    return TensorBatches(x, x[:, :3].argmax(1), weights=counts, batch_size=size)


def engine(*methods: Any, objective: Any = None, model: nn.Module | None = None, **more: Any) -> Any:
    turn = Turn(objective or CrossEntropy(), partial(torch.optim.SGD, lr=LR, momentum=0.9))
    return Engine(model or network(), turn, methods, device="cpu", log_every=1, **more)


def weights(done: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in done.model.named_parameters()}


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


def stepped(loss_of: Any) -> dict[str, Tensor]:
    """One step of plain SGD on a loss that is written out."""
    model = network()
    loss_of(model).backward()
    with torch.no_grad():
        return {name: p - LR * p.grad for name, p in model.named_parameters() if p.grad is not None}


# A step by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_step_equals_the_papers_formula(temperature: float, weight: float) -> None:
    batch = next(data(40).epoch(0, 0))
    master = teacher()
    done = engine(DistillationMethod(master, temperature, weight)).fit(data(40), steps=1)

    def loss(model: nn.Module) -> Tensor:
        p = (master.eval()(batch.inputs).detach() / temperature).softmax(1)
        q = (model(batch.inputs) / temperature).softmax(1)
        soft: Tensor = (p * (p / q).log()).sum(1).mean()
        return (1 - weight) * functional.cross_entropy(model(batch.inputs), batch.targets) + (
            weight * temperature**2 * soft
        )

    close(weights(done), stepped(loss))


def test_the_gradient_of_warm_answers_is_that_of_matching_scores() -> None:
    """Hinton's limit: at a high temperature it is (z - v) / C, for scores of mean zero."""
    torch.manual_seed(0)
    v = torch.randn(5, 4, dtype=torch.float64)
    z = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    v, centred = v - v.mean(1, keepdim=True), z - z.mean(1, keepdim=True)
    (gradient,) = torch.autograd.grad(distillation_loss(v, centred, 1000.0).sum(), centred)
    torch.testing.assert_close(gradient, (centred.detach() - v) / 4, rtol=0, atol=5e-3)


def test_values_are_pulled_towards_the_teachers() -> None:
    torch.manual_seed(2)
    x, y = torch.randn(9, 6), torch.randn(9, 3)
    master = teacher()
    done = engine(DistillationMethod(master, weight=0.4), objective=MSE()).fit(
        TensorBatches(x, y, batch_size=9, shuffle=False), steps=1
    )

    def loss(model: nn.Module) -> Tensor:
        wanted = master.eval()(x).detach()
        return 0.6 * functional.mse_loss(model(x), y) + 0.4 * functional.mse_loss(model(x), wanted)

    close(weights(done), stepped(loss))


def test_examples_count_in_it_as_they_count_in_the_loss() -> None:
    batch = next(data(40, weights=True).epoch(0, 0))
    assert batch.weights is not None
    shares, master = batch.weights / batch.weights.sum(), teacher()
    done = engine(DistillationMethod(master, 2.0, 1.0)).fit(data(40, weights=True), steps=1)

    def loss(model: nn.Module) -> Tensor:
        far = distillation_loss(master.eval()(batch.inputs).detach(), model(batch.inputs), 2.0)
        return (shares * far).sum()

    close(weights(done), stepped(loss))


def test_in_a_sequence_what_does_not_count_is_not_learnt() -> None:
    """Targets of -100 have no part in the loss, nor in what the teacher says of them."""
    output = torch.randn(2, 4, 3, requires_grad=True)
    targets = torch.tensor([[0, 1, -100, -100], [2, -100, 1, 0]])
    master = nn.Sequential(nn.Linear(5, 3))
    batch = Batch(torch.randn(2, 4, 5), targets)
    method = DistillationMethod(master, 1.0, 1.0)
    method.data(None, Plan())
    loss = method.loss(torch.zeros(()), Step(0, 0, Plan(), nn.Identity(), batch, output, whole=batch))
    far = distillation_loss(master(batch.inputs).detach(), output, 1.0)
    torch.testing.assert_close(loss, (far[0, :2].mean() + far[1, [0, 2, 3]].mean()) / 2)


# Whom it asks, and when ------------------------------------------------------------------------------------


def test_the_teacher_is_asked_once_a_step_for_both_passes() -> None:
    master = teacher()
    engine(DistillationMethod(master), SAMMethod(), accumulate=2).fit(data(), steps=3)
    assert [len(rows) for rows in master.seen[1:]] == [8, 8, 8, 8, 4, 4]  # behind the one by which it was tried out


def test_the_teacher_sees_what_the_student_sees() -> None:
    master, student = teacher(), network()
    seen: list[Tensor] = []
    student[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    made = engine(DistillationMethod(master), MixupMethod(classes=3), LabelSmoothingMethod(classes=3), model=student)
    made.fit(data(), steps=3)
    assert len(master.seen) == 4  # once to try it out
    assert all(torch.equal(one, other) for one, other in zip(master.seen[1:], seen, strict=True))
    raw = next(data().epoch(0, 0)).inputs
    assert not torch.equal(master.seen[0], raw)


def test_the_teacher_sleeps_learns_nothing_and_is_no_part_of_what_is_kept() -> None:
    master = teacher().train()
    before = {name: tensor.clone() for name, tensor in master.state_dict().items()}
    done = engine(DistillationMethod(master)).fit(data(), steps=4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in master.state_dict().items())
    assert all(parameter.grad is None for parameter in master.parameters())
    assert not master.training
    assert list(done.model.state_dict()) == list(network().state_dict())
    assert len(done.turns[0].trained) == 4
    assert not any(done.state_dict()["methods"].values())


def test_a_teacher_is_opened_by_its_name_when_training_starts_and_not_to_open_a_finished_run() -> None:
    asked: list[str] = []

    def opened(where: str) -> nn.Module:
        asked.append(where)
        return teacher().eval()

    named = engine(DistillationMethod("digits model.widths=[512]"), open_model=opened).fit(data(), steps=4)
    assert asked == ["digits model.widths=[512]"]
    named.fit(data(), steps=2)
    assert len(asked) == 1, "training that goes on opens no other"
    close(weights(named), weights(engine(DistillationMethod(teacher())).fit(data(), steps=4).fit(data(), steps=2)), 0)
    again = rebuilt(network(), [DistillationMethod("nowhere")], 0)
    assert list(again.state_dict()) == list(network().state_dict())


def test_it_weighs_the_loss_of_the_targets_and_not_what_others_add() -> None:
    """Distillation comes before the methods that punish: the sum is (1 - w) L + w T + V, whatever the listed order."""
    listed: list[Any] = [VATMethod(), DistillationMethod(teacher(), weight=1.0), MixupMethod(), LabelSmoothingMethod()]
    found = [method.name for method in ordered(listed)]
    assert found.index("distillation") < found.index("vat")
    both = engine(VATMethod(), DistillationMethod(teacher(), weight=1.0)).fit(data(40), steps=1)
    only = engine(DistillationMethod(teacher(), weight=1.0)).fit(data(40), steps=1)
    vat, plain = engine(VATMethod()).fit(data(40), steps=1), engine().fit(data(40), steps=1)
    one, other, third, fourth = (weights(done) for done in (both, only, vat, plain))
    close({name: one[name] - other[name] for name in one}, {name: third[name] - fourth[name] for name in one})


@pytest.mark.parametrize("others", [[], [SAMMethod], [VATMethod], [AveragingMethod]], ids=str)
@pytest.mark.parametrize("size", [16, 11])
def test_micro_batches_equal_one_batch(size: int, others: list[Any]) -> None:
    runs = []
    for parts in (1, 4):
        methods = [DistillationMethod(teacher()), *(other() for other in others)]
        runs.append(weights(engine(*methods, accumulate=parts).fit(data(size, weights=True), steps=8)))
    close(runs[0], runs[1])


def test_runs_in_bf16() -> None:
    full = engine(DistillationMethod(teacher())).fit(data(), steps=8)
    half = engine(DistillationMethod(teacher()), precision="bf16").fit(data(), steps=8)
    close(weights(full), weights(half), atol=0.02)


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"), [("teacher", 3), ("temperature", 0.0), ("weight", 1.1), ("weight", -0.1), ("kind", "words")]
)
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"distillation.{setting} is {value!r}; allowed"):
        DistillationMethod(**{setting: value})


def test_no_teacher_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"distillation.teacher is ''; allowed: a run folder, or a recipe"):
        engine(DistillationMethod()).fit(data(), steps=1)


def test_a_teacher_of_other_answers_is_refused() -> None:
    with pytest.raises(UserError, match=r"distillation.teacher answers \(16, 5\); allowed: \(16, 3\)"):
        engine(DistillationMethod(teacher(5))).fit(data(), steps=1)


def test_a_teacher_that_answers_with_no_tensor_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return inputs, inputs

    with pytest.raises(UserError, match=r"distillation.teacher answers a tuple; allowed: a tensor of scores"):
        engine(DistillationMethod(Pair())).fit(data(), steps=1)


def test_nobody_teaches_itself() -> None:
    student = network()
    with pytest.raises(UserError, match=r"distillation.teacher is the student itself; allowed: another"):
        engine(DistillationMethod(student), model=student).fit(data(), steps=1)


def test_a_teacher_of_other_inputs_is_refused_by_its_layer() -> None:
    with pytest.raises(
        UserError, match=r"distillation.teacher does not take what the student takes: layer '0' \(Linear\)"
    ):
        engine(DistillationMethod(nn.Sequential(nn.Linear(5, 3)))).fit(data(), steps=1)

    class Names(nn.Module):
        def forward(self, inputs: Any) -> Tensor:
            found: Tensor = inputs.pictures
            return found

    with pytest.raises(UserError, match=r"does not take what the student takes: .*has no attribute 'pictures'"):
        engine(DistillationMethod(Names())).fit(data(), steps=1)


def test_a_student_that_answers_with_no_tensor_is_refused() -> None:
    def objective(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        output = model(batch.inputs)
        return (output, output), output.square().mean()

    with pytest.raises(UserError, match=r"distillation: the student answers a tuple; allowed: a tensor"):
        engine(DistillationMethod(teacher()), objective=objective).fit(data(), steps=1)
