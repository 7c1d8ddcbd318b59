"""Curriculum learning: easy examples first, and more of the hard ones as training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.engine import Method, Plan
from locution.engine.batch import Batch, map_tensors
from locution.engine.batches import Batches, TensorBatches
from locution.engine.beside import dealt
from locution.engine.random import generator
from locution.engine.sequence import TaskSequence
from locution.errors import UserError, require
from locution.losses.basic import cross_entropy, mean_squared_error

Pacing = Literal["linear", "root", "step"]
CHUNK = 1024  # examples that a teacher answers at once


def share_at(progress: float, pacing: Pacing = "root", start: float = 0.1, buckets: int = 4) -> float:
    """Say which share of the examples, the easiest, is learnt from at a point of the curriculum.

    progress: 0 where training begins, 1 where all examples are let in. start: the share at 0. linear adds as many in
    each stretch of time; root lets in fewer and fewer, so that each new example has as long a time to be seen; step
    waits, and lets in a bucket at once: `buckets` times, each time the share grows by the same factor.

    >>> [round(share_at(p, "linear", 0.2), 2) for p in (0.0, 0.5, 1.0, 2.0)]
    [0.2, 0.6, 1.0, 1.0]
    >>> round(share_at(0.5, "root", 0.2), 4)  # the root of 0.5 x (1 - 0.04) + 0.04
    0.7211
    >>> [share_at(p, "step", 0.25, buckets=2) for p in (0.0, 0.49, 0.5, 1.0)]
    [0.25, 0.25, 0.5, 1.0]

    Reference: E. Platanios et al., 2019, "Competence-based curriculum learning for neural machine translation",
    section 2.2 (linear, root); G. Hacohen, D. Weinshall, 2019, "On the power of curriculum learning in training deep
    networks", section 2 (fixed exponential pacing: step).
    """
    if progress >= 1.0:
        return 1.0
    if pacing == "linear":
        return start + (1.0 - start) * progress
    if pacing == "root":
        return float((start**2 + (1.0 - start**2) * progress) ** 0.5)
    level = int(progress * buckets + 1e-9) / buckets
    return float(start ** (1.0 - level))


def ranks(difficulty: Tensor, seed: int) -> Tensor:
    """Rank examples (N,) from the easiest, 0, to the hardest, N - 1; equally hard ones in an order drawn by the seed.

    >>> ranks(torch.tensor([0.3, 0.1, 0.2]), seed=0)
    tensor([2, 0, 1])
    """
    drawn = torch.randperm(len(difficulty), generator=generator(seed, CurriculumMethod.name))
    order = drawn[difficulty.cpu()[drawn].argsort(stable=True)]
    return order.argsort()


def teachers_loss(teacher: nn.Module, batches: TensorBatches) -> Tensor:
    """The difficulty of an example can be asked of a trained model, a teacher: it is how large its loss on it is.

    It is measured in eval mode, on all the examples of `batches` in their order: (N,).
    Cross-entropy where the targets are classes, the mean squared error where they are values.

    >>> sure = nn.Identity()
    >>> teachers_loss(sure, TensorBatches(torch.tensor([[0.0, 3.0], [0.0, 3.0]]), torch.tensor([1, 0])))
    tensor([0.0486, 3.0486])

    Reference: G. Hacohen, D. Weinshall, 2019, "On the power of curriculum learning in training deep networks",
    section 2 (scoring functions).
    """
    home = next((parameter.device for parameter in teacher.parameters()), torch.device("cpu"))
    whole, losses = Batch(batches.inputs, batches.targets), []
    awake = [module for module in teacher.modules() if module.training]
    teacher.eval()
    with torch.no_grad():
        for first in range(0, len(whole), CHUNK):
            part = whole.rows(first, min(first + CHUNK, len(whole))).to(home)
            output, targets = teacher(part.inputs), part.targets
            if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
                raise UserError("curriculum.teacher answers with no tensor; allowed: scores (N, C) or values (N, ...).")
            classes = not targets.is_floating_point()
            measure = cross_entropy if classes else mean_squared_error
            losses.append(measure(output.float(), targets).cpu())
    for module in awake:
        module.training = True
    return torch.cat(losses)


class PacedBatches:
    """Batches of a plain source, in which each example that is too hard yet gives its place to an easier one.

    The places are those of the plain order, whatever the pacing: an example of rank r among N stands where the share
    is 1, and the one of rank r x share, rounded down, where it is less. So each of the examples that are let in comes
    equally often, an epoch has as many steps as before, any step is found without those before it, and from the
    moment at which all are let in the batches are those of the plain order, to the bit.

    source: tensors in memory. rank: (N,), see `ranks`. share: of a step's number, counted from `first_epoch`.

    >>> source = TensorBatches(torch.arange(4), batch_size=4)
    >>> paced = PacedBatches(source, torch.arange(4), lambda step: 0.5 if step < 2 else 1.0)
    >>> [sorted(next(paced.epoch(epoch, seed=0)).inputs.tolist()) for epoch in range(3)]
    [[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 2, 3]]
    """

    def __init__(
        self, source: TensorBatches, rank: Tensor, share: Callable[[int], float], first_epoch: int = 0
    ) -> None:
        self.source, self.share, self.first_epoch = source, share, first_epoch
        self.rank, self.order = rank, rank.argsort()  # example -> rank, rank -> example
        self.rows = TensorBatches(torch.arange(len(source)), batch_size=source.batch_size, shuffle=source.shuffle)

    def __len__(self) -> int:
        return len(self.source)

    def steps(self) -> int:
        """Count the batches of an epoch: as many as without a curriculum."""
        return self.source.steps()

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch, leaving out the first `skip` batches."""
        before = (number - self.first_epoch) * self.steps()
        let_in = [self.let_in(before + step) for step in range(skip, self.steps())]
        if all(count == len(self) for count in let_in):
            return self.source.epoch(number, seed, skip)
        source, places = self.source, [batch.inputs for batch in self.rows.epoch(number, seed, skip)]
        chosen = self.fill(torch.cat(places), let_in, [len(place) for place in places])

        def pick(tensor: Tensor) -> Tensor:
            return tensor.index_select(0, chosen.to(tensor.device))

        whole = Batch(*(map_tensors(pick, tree) for tree in (source.inputs, source.targets, source.weights)))
        starts = range(0, len(whole), source.batch_size)
        parts = (whole.rows(start, min(start + source.batch_size, len(whole))) for start in starts)
        batches = (Batch(part.inputs, part.targets, part.weights) for part in parts)  # each a whole one, cut from none
        return dealt(batches, source.beside, source.beside_size, number, seed, skip) if source.beside else batches

    def let_in(self, step: int) -> int:
        """Count the examples that are let in at a step."""
        return min(len(self), max(1, round(self.share(step) * len(self))))

    def fill(self, numbers: Tensor, let_in: Sequence[int], sizes: Sequence[int]) -> Tensor:
        """Say which example stands in each place, from those of the plain order (N,); a batch is of one step."""
        counts = torch.tensor(let_in).repeat_interleave(torch.tensor(sizes))  # (N,)
        return self.order[self.rank[numbers] * counts // len(self)]


@dataclass
class CurriculumMethod(Method):
    """Curriculum learning shows the easy examples first, and lets the harder ones in as training goes on.

    An epoch keeps its number of steps: while few examples are let in, each of them comes more often. Once all are, the
    batches are those of training without a curriculum. Each task of a sequence has a curriculum of its own.

    Settings
    --------
    difficulty: how hard an example is: "given" by the data (`TensorBatches(difficulty=...)`), or the loss that a
    "teacher" has on it. teacher: the run folder or the recipe, with words behind its name, of that trained model; from
    Python also the model itself. pacing: linear, root or step, see `share_at`. start: the share of the examples, the
    easiest, with which training begins. until: the share of training after which all are let in. buckets: in how many
    portions step pacing lets them in.

    >>> from itertools import islice
    >>> source = TensorBatches(torch.arange(4), batch_size=2, difficulty=torch.tensor([0.9, 0.1, 0.5, 0.2]))
    >>> paced = CurriculumMethod(pacing="step", start=0.5, until=0.5, buckets=1).data(source, Plan(seed=0, steps=4))
    >>> [sorted(batch.inputs.tolist()) for epoch in (0, 1) for batch in paced.epoch(epoch, seed=0)][0]
    [1, 3]

    Reference: Y. Bengio, J. Louradour, R. Collobert, J. Weston, 2009, "Curriculum learning", section 3; G. Hacohen,
    D. Weinshall, 2019, "On the power of curriculum learning in training deep networks", algorithm 1.
    """

    name: ClassVar[str] = "curriculum"

    difficulty: Literal["given", "teacher"] = "given"
    teacher: Any = ""
    pacing: Pacing = "root"
    start: float = 0.2
    until: float = 0.5
    buckets: int = 4

    def __post_init__(self) -> None:
        known = ("given", "teacher")
        require(self.difficulty in known, "curriculum.difficulty", self.difficulty, "given or teacher")
        named = self.difficulty == "given" or self.teacher not in ("", None)
        require(named, "curriculum.teacher", self.teacher, "a run folder, or a recipe such as digits")
        needless = self.difficulty == "teacher" or self.teacher in ("", None)
        require(needless, "curriculum.difficulty", self.difficulty, "teacher, where curriculum.teacher is set")
        require(self.pacing in ("linear", "root", "step"), "curriculum.pacing", self.pacing, "linear, root or step")
        require(0 < self.start <= 1, "curriculum.start", self.start, "a share above 0 up to 1, usually 0.2")
        require(0 < self.until <= 1, "curriculum.until", self.until, "a share above 0 up to 1, usually 0.5")
        require(self.buckets >= 1, "curriculum.buckets", self.buckets, "a whole number from 1, usually 4")

    def data(self, batches: Batches, plan: Plan) -> Batches:
        if isinstance(batches, TaskSequence):
            each = batches.epochs_each
            paced = [self.paced(task, plan, each, place * each) for place, task in enumerate(batches.tasks)]
            return TaskSequence(paced, each)
        return self.paced(batches, plan)

    def paced(self, batches: Batches, plan: Plan, epochs: int | None = None, first_epoch: int = 0) -> Batches:
        """Pace one source; epochs: how many it is gone through, where the plan is not of it alone."""
        if not isinstance(batches, TensorBatches):
            raise UserError("curriculum came upon data that are no TensorBatches; allowed: tensors in memory.")
        steps = plan.steps if epochs is None else epochs * batches.steps()
        if steps is None:
            raise UserError(
                "curriculum cannot tell how long training lasts; allowed: steps=N, or data that are counted."
            )
        length = max(1.0, self.until * steps)

        def share(step: int) -> float:
            return share_at(step / length, self.pacing, self.start, self.buckets)

        return PacedBatches(batches, ranks(self.measured(batches, plan), plan.seed), share, first_epoch)

    def measured(self, batches: TensorBatches, plan: Plan) -> Tensor:
        """Find out how hard each example is: (N,)."""
        if self.difficulty == "teacher":
            teacher = self.teacher if isinstance(self.teacher, nn.Module) else plan.open(self.teacher)
            return teachers_loss(teacher, batches)
        given = batches.difficulty
        if given is None:
            raise UserError("the data do not say how hard their examples are; allowed: curriculum.difficulty=teacher.")
        if given.shape != (len(batches),):
            raise UserError(f"difficulty has shape {tuple(given.shape)}; allowed: ({len(batches)},), one an example.")
        if not bool(torch.isfinite(given).all()):
            raise UserError("difficulty holds a number that is not finite; allowed: finite numbers.")
        return given
