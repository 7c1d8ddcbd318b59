"""MAML: learn weights from which a few gradient steps on a few examples are enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from locution.engine.method import Method, Plan
from locution.errors import UserError, require
from locution.models.adaptation import Adaptation
from locution.models.few_shot import FewShot
from locution.models.freezing import matching


@dataclass
class MAMLMethod(Method):
    """Model-agnostic meta-learning (MAML) learns weights from which one step on a few examples makes a good model.

    Each task of a batch takes its own steps on its support set, and answers its query; the loss of those answers is
    minimised over the weights where all of them began. All tasks of a batch adapt side by side, in one pass. The steps
    minimise the cross-entropy where the answers are classes, the squared error where they are values. What leaves
    training is the same model, which goes on adapting to each task that it is asked about.

    Settings
    --------
    inner_steps: steps on the support set. inner_lr: their learning rate. first_order: leave out the second derivatives
    (FOMAML), which is faster and often nearly as good. adapt: the weights that adapt, by a pattern on their names, or
    several: only the last layer's, for instance (ANIL); all others are learnt over tasks alone.

    One weight w = 1, a task whose example and question are both x = 1 with answer 3. One step of 0.1 gives 1.4; the
    loss is (1.4 - 3)^2, and its gradient -3.2 * 0.8 = -2.56, to the first order -3.2.

    >>> import torch
    >>> from locution.engine.batch import Batch
    >>> from locution.losses.basic import MSE
    >>> net, one, three = nn.Linear(1, 1, bias=False), torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0)
    >>> _ = nn.init.ones_(net.weight)
    >>> for first_order in (False, True):
    ...     model = MAMLMethod(inner_lr=0.1, first_order=first_order).model(FewShot(net), Plan())
    ...     _, loss = MSE()(model, Batch({"support": one, "answers": three, "query": one}, three))
    ...     print(round(loss.item(), 2), round(torch.autograd.grad(loss, net.weight)[0].item(), 2))
    2.56 -2.56
    2.56 -3.2

    Reference: C. Finn, P. Abbeel, S. Levine, 2017, "Model-agnostic meta-learning for fast adaptation of deep
    networks", algorithms 1 and 2, eq. 1; `adapt` from A. Raghu et al., 2020, "Rapid learning or feature reuse?",
    section 4 (ANIL).
    """

    name: ClassVar[str] = "maml"
    after: ClassVar[tuple[str, ...]] = ("batch_renorm", "lora")  # it looks at the layers as they put them
    excludes: ClassVar[dict[str, str]] = {
        "dropout": "a task is several examples, each with units of its own to leave out: model.dropout does that",
        "ewc": "ewc measures on single examples what it protects, not on tasks: leave one of them away",
    }

    inner_steps: int = 1
    inner_lr: float = 0.01
    first_order: bool = False
    adapt: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        require(self.inner_steps >= 1, "maml.inner_steps", self.inner_steps, "a whole number from 1, usually 1 to 5")
        require(self.inner_lr > 0, "maml.inner_lr", self.inner_lr, "a number above 0, usually 0.01 to 0.5")
        require(bool(self.adapt), "maml.adapt", self.adapt, "a pattern on the weights' names, such as *")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        if not isinstance(model, FewShot):
            raise UserError(f"'maml' came upon {type(model).__name__}; allowed: FewShot(model), or a few_shot recipe.")
        for name, module in model.network.named_modules():
            if getattr(module, "running_mean", None) is not None:
                raise UserError(
                    f"'maml' came upon {type(module).__name__} at '{name}', whose running statistics would mix tasks; "
                    "allowed: layers that keep none, such as LayerNorm or GroupNorm."
                )
        matching(model.network, self.adapt)  # a pattern that fits nothing is refused here
        model.adaptation = Adaptation(self.inner_steps, self.inner_lr, self.first_order, self.adapt)
        return model
