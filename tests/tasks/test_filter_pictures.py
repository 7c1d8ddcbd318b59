"""The pictures of filters in a report: what they show, and for which models there are none."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from locution.cli import run as command
from locution.models.convnet import ConvNetModel
from locution.tasks.filters import edge_pictures, filter_pictures, first_features


class First(nn.Module):
    """A network with one convolution of two known filters."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        nn.init.zeros_(self.look.weight)
        self.look.weight.data[0, 0, 1, 1] = 1.0  # what is there
        self.look.weight.data[1, 0, 1, 0] = 2.0  # what is there on the left, twice

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.look(pictures).sum((2, 3))
        return found


def test_each_row_is_a_picture_and_what_each_filter_finds_in_it() -> None:
    x = torch.rand(9, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    filters, found = filter_pictures(First(), x)
    assert torch.equal(torch.as_tensor(filters.pictures)[0], First().look.weight.detach()[:, 0])
    rows = torch.as_tensor(found.pictures)
    assert rows.shape == (6, 3, 4, 5)
    low, high = x[:6].amin((2, 3), keepdim=True), x[:6].amax((2, 3), keepdim=True)
    torch.testing.assert_close(rows[:, :1], (x[:6] - low) / (high - low))
    torch.testing.assert_close(rows[:, 1], rows[:, 0])
    assert not rows[:, 2, :, 0].any(), "at the left rim there is nothing on the left"


def test_a_model_is_left_as_it_was() -> None:
    net = ConvNetModel(widths=(4, 8)).build((1, 8, 8), 3).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = first_features(net, torch.rand(4, 1, 8, 8))
    assert found is not None
    assert found.shape == (4, 4, 8, 8)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_bytes_are_pictures_too_and_a_network_without_filters_has_none() -> None:
    net = ConvNetModel(widths=(4,)).build((3, 6, 6), 2)
    assert len(filter_pictures(net, torch.randint(0, 256, (8, 3, 6, 6)).to(torch.uint8))) == 2
    assert filter_pictures(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.rand(3, 1, 8, 8)) == []


def test_edges_stand_below_the_pictures() -> None:
    x = torch.zeros(3, 1, 6, 6)
    x[:, :, :, 3:] = torch.tensor([1.0, 0.5, 0.25])[:, None, None, None]  # one upright step each
    (drawn,) = edge_pictures(First(), x)
    above, below = torch.as_tensor(drawn.pictures)
    assert torch.equal(above, (x > 0).float()[:, 0])
    assert torch.equal(below, torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).expand(3, 6, 6))
    assert edge_pictures(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), x) == []


def test_they_stand_in_the_report_of_a_run(tmp_path: Path) -> None:
    words = ["steps=1", "threads=null", f"run_dir={tmp_path / 'run'}"]
    assert command(["train", "digits/convnet", *words]) == 0
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Filters, as they were learnt" in report
    assert "What the filters find" in report
