"""Each projector against its formula, written by hand, frame by frame and expert by expert, in float64."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from locution.models.experts import chosen_experts, merged_expert
from locution.speech.projectors import build_projector

D, H = 8, 6
LENGTHS = (11, 16, 3, 1)


def make(kind: str, **settings: Any) -> Any:
    torch.manual_seed(2)
    projector = build_projector(kind, D, H, gain=0.7, **settings).double()
    for parameter in projector.parameters():  # gains and biases that are all alike would hide a mistake
        parameter.data += 0.3 * torch.randn_like(parameter)
    return projector


def clips() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(length, D, generator=draw, dtype=torch.float64) for length in LENGTHS]


def compare(projector: Any, by_hand: Any, tolerance: float = 1e-9) -> None:
    frames = torch.nn.utils.rnn.pad_sequence(clips(), batch_first=True)
    out, kept = projector(frames, torch.tensor(LENGTHS))
    assert out.dtype == torch.float64
    for row, clip in enumerate(clips()):
        expected = by_hand(projector, clip)
        assert kept[row] == len(expected)
        torch.testing.assert_close(out[row, : len(expected)], expected, atol=tolerance, rtol=tolerance)


def norm(x: Tensor, gain: Tensor) -> Tensor:
    return torch.stack([gain * row / torch.sqrt((row * row).mean() + 1e-6) for row in x])


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def softmax(x: Tensor) -> Tensor:
    raised = torch.exp(x - x.max())
    return raised / raised.sum()


def stacked(clip: Tensor, k: int) -> Tensor:
    if len(clip) < k:
        clip = torch.cat([clip, torch.zeros(k - len(clip), D, dtype=clip.dtype)])
    return torch.stack([torch.cat([clip[k * i + j] for j in range(k)]) for i in range((len(clip) - k) // k + 1)])


def layer(linear: Any, x: Tensor) -> Tensor:
    return linear.weight @ x + (0 if linear.bias is None else linear.bias)


def test_mlp() -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        inner = norm(torch.stack([layer(p.enter, x) for x in stacked(clip, 3)]), p.middle.weight)
        return norm(torch.stack([layer(p.leave, gelu(x)) for x in inner]), p.norm.weight)

    compare(make("mlp", stack=3, hidden=5), by_hand)


def test_linear() -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        return norm(
            torch.stack([layer(p.leave, layer(p.enter, x).clamp(min=0)) for x in stacked(clip, 5)]), p.norm.weight
        )

    compare(make("linear", hidden=7), by_hand)


def convolve(conv: Any, x: Tensor, stride: int) -> Tensor:
    """Slide a window of three frames over x (T, C), zeros at both ends."""
    rows = []
    for place in range(0, len(x), stride):
        row = conv.bias.clone()
        for tap in range(3):
            if 0 <= place + tap - 1 < len(x):
                row = row + conv.weight[:, :, tap] @ x[place + tap - 1]
        rows.append(gelu(row))
    return torch.stack(rows)


@pytest.mark.parametrize("gate", ["frames", "downsampled"])
@pytest.mark.parametrize(("stride", "steps"), [(4, (2, 2)), (2, (2, 1)), (1, (1, 1))])
def test_mosa(gate: str, stride: int, steps: tuple[int, int]) -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        x = convolve(p.second, convolve(p.first, clip, steps[0]), steps[1])

        def route(seen: Tensor) -> Tensor:
            return softmax(layer(p.router[2], layer(p.router[0], seen).clamp(min=0)))

        rows = []
        for place, seen in enumerate(x):
            heard = clip[stride * place : stride * (place + 1)]
            gates = route(seen) if gate == "downsampled" else sum(route(f) for f in heard) / len(heard)
            row = torch.zeros(H, dtype=torch.float64)
            for i in range(3):
                weight, bias = p.enter.weight[5 * i : 5 * i + 5], p.enter.bias[5 * i : 5 * i + 5]
                row = row + gates[i] * layer(p.leave[i], (weight @ seen + bias).clamp(min=0))
            rows.append(row)
        return norm(torch.stack(rows), p.norm.weight)

    compare(make("mosa", experts=3, hidden=5, router=4, stride=stride, gate=gate), by_hand)


@pytest.mark.parametrize("top", [1, 2, 4])
def test_shared_moe_is_the_dense_formula(top: int) -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        rows = []
        for x in norm(stacked(clip, 2), p.entry.weight):
            held = softmax(p.router @ x)
            best = sorted(range(4), key=lambda i: -held[i])[:top]
            total = sum(held[i] for i in best) if top > 1 else 1.0
            row = layer(p.shared[2], gelu(layer(p.shared[0], x)))
            for i in range(4):  # every expert works; those that were not chosen count nothing
                gate = held[i] / total if i in best else 0.0
                row = row + gate * (p.experts.leave[i] @ gelu(p.experts.enter[i] @ x))
            rows.append(row)
        return norm(torch.stack(rows), p.norm.weight)

    compare(make("shared_moe", stack=2, hidden=5, top=top), by_hand)


def test_smear_merges_the_weights_before_it_works() -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        rows = norm(stacked(clip, 2), p.entry.weight)
        gates = softmax(p.router @ (sum(rows) / len(rows)))
        first = sum(gates[i] * p.experts.enter[i] for i in range(4))
        second = sum(gates[i] * p.experts.leave[i] for i in range(4))
        said = [layer(p.shared[2], gelu(layer(p.shared[0], x))) + second @ gelu(first @ x) for x in rows]
        return norm(torch.stack(said), p.norm.weight)

    compare(make("shared_moe", stack=2, hidden=5, smear=True), by_hand)


def test_smear_of_equal_experts_is_that_expert_and_of_a_sure_router_the_one_it_is_sure_of() -> None:
    torch.manual_seed(0)
    enter, leave, x = torch.randn(3, 4, 5), torch.randn(3, 2, 4), torch.randn(2, 6, 5)
    same = merged_expert(x, torch.tensor([[0.2, 0.3, 0.5]] * 2), enter[:1].repeat(3, 1, 1), leave[:1].repeat(3, 1, 1))
    torch.testing.assert_close(same, torch.nn.functional.gelu(x @ enter[0].T) @ leave[0].T)
    sure = merged_expert(x, torch.eye(3)[[2, 1]], enter, leave)
    torch.testing.assert_close(sure[0], torch.nn.functional.gelu(x[0] @ enter[2].T) @ leave[2].T)
    torch.testing.assert_close(sure[1], torch.nn.functional.gelu(x[1] @ enter[1].T) @ leave[1].T)


def test_an_expert_computes_only_the_rows_that_were_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, chosen = torch.randn(50, 5), torch.randint(0, 8, (50, 1))
    worked: list[int] = []
    linear = torch.nn.functional.linear

    def counting(rows: Tensor, weight: Tensor) -> Tensor:
        worked.append(len(rows) * weight.shape[0])
        return linear(rows, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    out = chosen_experts(x, torch.ones(50, 1), chosen, torch.randn(8, 4, 5), torch.randn(8, 2, 4))
    assert out.shape == (50, 2)
    assert sum(worked) == 50 * 4 + 50 * 2  # and not eight times as much


def test_an_expert_that_nobody_is_sent_to_learns_nothing_and_breaks_nothing() -> None:
    enter, leave = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 2, 4, requires_grad=True)
    chosen = torch.tensor([[0, 2]] * 7)
    chosen_experts(torch.randn(7, 5), torch.ones(7, 2), chosen, enter, leave).sum().backward()
    assert enter.grad is not None
    assert [bool(enter.grad[i].abs().sum() > 0) for i in range(3)] == [True, False, True]


def attend(p: Any, x: Tensor, source: Tensor, heads: int) -> Tensor:
    width = len(x[0]) // heads
    rows = []
    for one in x:
        said = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = torch.stack([layer(p.query, one)[part] @ layer(p.key, f)[part] for f in source])
            weights = softmax(scores / math.sqrt(width))
            said.append(sum(w * layer(p.value, f)[part] for w, f in zip(weights, source, strict=True)))
        rows.append(layer_norm(p.norm, one + layer(p.leave, torch.cat(said))))
    return torch.stack(rows)


def layer_norm(p: Any, x: Tensor) -> Tensor:
    spread = torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-12)
    return p.weight * (x - x.mean()) / spread + p.bias


@pytest.mark.parametrize("positions", [False, True])
def test_qformer(positions: bool) -> None:
    def by_hand(p: Any, clip: Tensor) -> Tensor:
        rows = []
        for start in range(0, len(clip), 5):
            window = clip[start : start + 5]  # the last one is simply shorter
            if positions:
                window = torch.stack([frame + p.places[i] for i, frame in enumerate(window)])
            x = torch.stack([layer_norm(p.entry, query) for query in p.queries])
            for one in p.layers:
                x = attend(one.across, attend(one.among, x, x, 2), window, 2)
                x = torch.stack(
                    [layer_norm(one.norm, q + layer(one.think[2], gelu(layer(one.think[0], q)))) for q in x]
                )
            rows += [layer(p.leave, q) for q in x]
        return norm(torch.stack(rows), p.norm.weight)

    compare(make("qformer", window=5, queries=3, width=4, heads=2, positions=positions), by_hand)


def test_without_positions_a_window_has_no_order_and_with_them_it_has() -> None:
    frames, lengths = torch.randn(1, 5, D, dtype=torch.float64), torch.tensor([5])
    for positions in (False, True):
        projector = make("qformer", window=5, queries=2, width=4, heads=2, positions=positions)
        same = torch.allclose(projector(frames, lengths)[0], projector(frames.flip(1), lengths)[0], atol=1e-9)
        assert same != positions


def test_qformer_is_granite_speechs_where_no_window_is_padded() -> None:
    """The peer hides no padding, so the comparison is of whole windows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import Blip2QFormerConfig, Blip2QFormerModel
    sizes = {"hidden_size": 16, "encoder_hidden_size": D, "intermediate_size": 64, "num_hidden_layers": 2}
    dropped = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    heads = {"num_attention_heads": 4, "cross_attention_frequency": 1}
    peer = Blip2QFormerModel(Blip2QFormerConfig(**sizes, **dropped, **heads)).double().eval()
    ours = make("qformer", width=16, heads=4)
    names = {"among": "attention", "across": "crossattention"}
    with torch.no_grad():
        peer.layernorm.load_state_dict(ours.entry.state_dict())
        for mine, other in zip(ours.layers, peer.encoder.layer, strict=True):
            for name, named in names.items():
                block, theirs = getattr(mine, name), getattr(other, named)
                for part in ("query", "key", "value"):
                    getattr(theirs.attention, part).load_state_dict(getattr(block, part).state_dict())
                theirs.output.dense.load_state_dict(block.leave.state_dict())
                theirs.output.LayerNorm.load_state_dict(block.norm.state_dict())
            other.intermediate_query.dense.load_state_dict(mine.think[0].state_dict())
            other.output_query.dense.load_state_dict(mine.think[2].state_dict())
            other.output_query.LayerNorm.load_state_dict(mine.norm.state_dict())
    frames = torch.randn(2, 45, D, dtype=torch.float64)
    said = peer(query_embeds=ours.queries[None], encoder_hidden_states=frames.view(6, 15, D)).last_hidden_state
    expected = ours.norm(ours.leave(said)).view(2, 9, H)
    out, _ = ours(frames, torch.tensor([45, 45]))
    torch.testing.assert_close(out, expected, atol=1e-9, rtol=1e-9)
