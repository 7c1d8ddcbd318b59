"""Knowledge distillation: a small model learns what a large one answers, not only what is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch, Tree
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.losses.basic import mean_squared_error, weighted_mean
from locution.losses.divergence import are_classes, kullback_leibler, per_example
from locution.models.shapes import explained


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float = 4.0) -> Tensor:
    """Measure how far a student's answer is from its teacher's, both softened by a temperature.

    Parameters
    ----------
    teacher, student: scores before softmax, (N, ..., C). temperature: what both are divided by; the higher, the more
    of the teacher's say on classes that it did not choose is learnt.

    Returns the divergence of each row, times the temperature squared, (N, ...): gradients of softened scores shrink by
    that factor, which keeps them in step with the loss of the right answer.

    >>> teacher, student = torch.tensor([[0.75, 0.25]]).log(), torch.zeros(1, 2)
    >>> distillation_loss(teacher, student, temperature=1.0)  # 0.75 ln 1.5 + 0.25 ln 0.5
    tensor([0.1308])
    >>> distillation_loss(2 * teacher, student, temperature=2.0)  # the same answer when softened, times 4
    tensor([0.5232])

    Reference: G. Hinton, O. Vinyals, J. Dean, 2015, "Distilling the knowledge in a neural network", section 2.
    """
    return temperature**2 * kullback_leibler(teacher, student, temperature)


@dataclass
class DistillationMethod(Method):
    """Knowledge distillation trains a small model on the answers of a large one, whose doubts say which classes are
    alike.

    The loss becomes (1 - weight) times what it was, and weight times the distance from the teacher's answer: for
    classes the divergence of softened distributions, for values the squared error. The teacher sees the very inputs of
    the step, mixed or augmented as they are; it sleeps (no dropout, running statistics), learns nothing, and is neither
    part of the model nor of a checkpoint: a run that goes on opens it again. It answers once a step, whatever the
    number of passes.

    Settings
    --------
    teacher: a run folder, or a recipe with words behind it, such as "digits model.widths=[512,512]", which is trained
    once and kept; in Python also a trained module. temperature: how much both answers are softened. weight: the share
    of the loss that the teacher gets; 1 asks for no labels. kind: classes, values, or auto, by the targets.

    A student that knows nothing, (0, 0), of a teacher who says 3 to 1; the right answer is the first:

    >>> from locution.losses.basic import CrossEntropy
    >>> student, batch = nn.Linear(1, 2), Batch(torch.ones(1, 1), torch.tensor([0]))
    >>> teacher, _ = nn.Linear(1, 2), [p.data.zero_() for p in student.parameters()]
    >>> _ = teacher.weight.data.zero_(), teacher.bias.data.copy_(torch.tensor([0.75, 0.25]).log())
    >>> method = DistillationMethod(teacher=teacher, temperature=1.0, weight=0.5)
    >>> output, loss = CrossEntropy()(student, batch)
    >>> step = Step(0, 0, Plan(), student, batch, output, whole=batch)
    >>> _ = method.data(None, Plan())
    >>> loss.item(), method.loss(loss, step).item()  # ln 2, and half of that and of 0.1308
    (0.6931, 0.4119)

    Reference: G. Hinton, O. Vinyals, J. Dean, 2015, "Distilling the knowledge in a neural network", section 2.
    """

    name: ClassVar[str] = "distillation"

    teacher: Any = ""
    temperature: float = 4.0
    weight: float = 0.5
    kind: Literal["auto", "classes", "values"] = "auto"

    def __post_init__(self) -> None:
        named = isinstance(self.teacher, (str, nn.Module))
        require(named, "distillation.teacher", self.teacher, "a run folder, or a recipe with words behind it")
        warm = self.temperature > 0
        require(warm, "distillation.temperature", self.temperature, "a number above 0, usually 1 to 10")
        require(0 <= self.weight <= 1, "distillation.weight", self.weight, "a share from 0 to 1, usually 0.5 to 0.9")
        kinds = ("auto", "classes", "values")
        require(self.kind in kinds, "distillation.kind", self.kind, "auto, classes or values")
        self.opened: nn.Module | None = None
        self.asked = False
        self.classes: bool | None = None
        self.answers: dict[tuple[int, int], Tensor] = {}

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.opened, self.asked, self.classes = None, False, None if self.kind == "auto" else self.kind == "classes"
        if self.teacher is model:
            raise UserError("distillation.teacher is the student itself; allowed: another trained module.")
        return model

    def data(self, batches: Any, plan: Plan) -> Any:
        # here and not in `model`: what only opens a finished run needs no teacher
        if self.opened is None:
            require(self.teacher != "", "distillation.teacher", self.teacher, "a run folder, or a recipe with words")
            self.opened = plan.open(self.teacher) if isinstance(self.teacher, str) else self.teacher.eval()
        return batches

    def batch(self, batch: Batch, step: Step) -> Batch:
        self.answers = {}
        return batch

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        student, targets = step.output, step.batch.targets
        if not isinstance(student, Tensor):
            raise UserError(f"distillation: the student answers a {type(student).__name__}; allowed: a tensor.")
        wanted = self.answer(step)
        if wanted.shape != student.shape:
            came, needed = tuple(wanted.shape), tuple(student.shape)
            raise UserError(f"distillation.teacher answers {came}; allowed: {needed}, as the student does.")
        if self.classes is None:
            self.classes = are_classes(step.batch.targets, student)
        if self.classes:
            far = per_example(distillation_loss(wanted, student, self.temperature), targets)
        else:
            far = mean_squared_error(student.float(), wanted.float())
        return (1 - self.weight) * loss + self.weight * weighted_mean(far, step.batch)

    def answer(self, step: Step) -> Tensor:
        """Ask the teacher about a micro-batch, once a step."""
        key = (step.first, len(step.batch))
        if key not in self.answers:
            teacher = self.opened
            assert teacher is not None, "opened before the first step"
            if not self.asked:
                try_out(teacher.to(step.output.device), step.batch.inputs)
                self.asked = True
            with torch.no_grad():
                self.answers[key] = teacher(step.batch.inputs)
        return self.answers[key]


def try_out(teacher: nn.Module, inputs: Tree) -> None:
    """Let a teacher answer once; refuse one that cannot."""
    try:
        with torch.no_grad(), explained(teacher):
            answer = teacher(inputs)
    except (AttributeError, KeyError, UserError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"distillation.teacher does not take what the student takes: {why}") from error
    if not isinstance(answer, Tensor):
        raise UserError(f"distillation.teacher answers a {type(answer).__name__}; allowed: a tensor of scores.")
