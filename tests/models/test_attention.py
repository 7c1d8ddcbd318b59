"""Attention: by the letter, by every kernel that torch has here, and beside torch's own module."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.attention import BACKENDS, attend, attention, attention_weights, causal_mask, choose_kernel
from locution.models.language_model import LanguageModel
from locution.models.self_attention import KeyValueCache, SelfAttention, turned

CLOSE = 1e-5


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


def by_hand(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Equation 1 number by number."""
    found = torch.zeros(len(query), value.shape[1])
    for t in range(len(query)):
        weights = [
            math.exp(float(query[t] @ key[s]) / math.sqrt(query.shape[1])) if mask[t, s] else 0.0
            for s in range(len(key))
        ]
        for s, weight in enumerate(weights):
            found[t] += weight / sum(weights) * value[s]
    return found


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_equation_one_number_by_number(causal: bool) -> None:
    query, key, value = some(4, 6), some(7, 6, seed=1), some(7, 3, seed=2)
    mask = causal_mask(4, 7) if causal else torch.ones(4, 7, dtype=torch.bool)
    assert apart(attention(query, key, value, mask), by_hand(query, key, value, mask)) < CLOSE


def kernels(device: str) -> list[str]:
    """The kernels that torch has on this device: each but plain is asked, and may refuse."""
    q = torch.zeros(1, 2, 16, 8, device=device)
    found = []
    for kernel in BACKENDS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of why a kernel does not take them
                attend(q, q, q, kernel=kernel)
        except UserError:
            continue
        found.append(kernel)
    return found


def test_there_is_more_than_one_kernel_to_compare() -> None:
    assert {"plain", "flash"} <= set(kernels("cpu"))


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "seen"), [(16, 16), (1, 9), (2, 2), (2, 9), (5, 33), (130, 130)])
def test_all_kernels_agree_forward_and_backward(device: str, causal: bool, length: int, seen: int) -> None:
    query, key, value = some(2, 4, length, 16), some(2, 4, seen, 16, seed=1), some(2, 4, seen, 16, seed=2)
    mask = causal_mask(length, seen) if causal else None

    def gradients(kernel: str) -> list[Tensor]:
        three = [tensor.to(device).requires_grad_() for tensor in (query.clone(), key.clone(), value.clone())]
        if kernel == "by the letter":
            out = attention(*three, mask if mask is None else mask.to(device))
        else:
            out = attend(*three, causal=causal, kernel=kernel)
        out.square().sum().backward()
        return [out.detach().cpu(), *(tensor.grad.cpu() for tensor in three)]  # type: ignore[union-attr]

    first = gradients("by the letter")
    for kernel in kernels(device):
        for one, other in zip(first, gradients(kernel), strict=True):
            assert apart(one, other) < 1e-4 if one is not first[0] else apart(one, other) < CLOSE


def test_a_mask_and_causality_hold_together() -> None:
    query = some(1, 2, 6, 8)
    there = torch.tensor([True, True, False, True, True, True])[None, None, None]
    for kernel in ("", *kernels("cpu")):
        got = attend(query, query, query, there, causal=True, kernel=kernel)
        assert apart(got, attention(query, query, query, there & causal_mask(6))) < CLOSE


def test_weights_are_shares_and_a_place_that_may_look_nowhere_has_none() -> None:
    mask = causal_mask(5)
    mask[2] = False
    weights = attention_weights(some(5, 4), some(5, 4, seed=1), mask)
    assert apart(weights.sum(-1), torch.tensor([1.0, 1, 0, 1, 1])) < CLOSE
    assert bool((weights[~mask] == 0).all())


def test_a_kernel_that_is_none_or_does_not_fit_is_one_line() -> None:
    q = torch.zeros(1, 2, 8, 4)
    with pytest.raises(UserError, match=r"'flush' is no attention kernel\. Did you mean 'flash'"):
        attend(q, q, q, kernel="flush")
    if "cuDNN's flash" not in kernels("cpu"):
        with pytest.raises(UserError, match="does not take these; allowed: plain"):
            attend(q, q, q, kernel="cuDNN's flash")
    with pytest.raises(RuntimeError, match="size"):  # what is wrong otherwise is not said to be the kernel's
        attend(q, torch.zeros(1, 2, 8, 5), q, kernel="plain")


def test_the_kernel_that_is_said_is_the_one_that_torch_takes() -> None:
    q = torch.zeros(1, 2, 8, 4)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert choose_kernel(q, q) == "plain"
    assert choose_kernel(q, q) == "flash"


def test_the_kernel_is_asked_for_as_attention_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def choice(*_: Tensor, attn_mask: Tensor | None, is_causal: bool) -> int:
        asked.append((attn_mask is None, is_causal))
        return 9

    monkeypatch.setattr(torch, "_fused_sdp_choice", choice)
    q = torch.zeros(1, 2, 8, 4)
    assert choose_kernel(q, q) == choose_kernel(q, q, causal_mask(8)) == "torch's number 9"
    assert asked == [(True, True), (False, False)]


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_equals_torchs_module_with_the_same_weights(causal: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(12, heads=3, causal=causal), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.inwards.weight)
        theirs.in_proj_bias.copy_(ours.inwards.bias)
        theirs.out_proj.weight.copy_(ours.outwards.weight)
        theirs.out_proj.bias.copy_(ours.outwards.bias)
    x, there = some(2, 7, 12), torch.ones(2, 7, dtype=torch.bool)
    there[1, 4:] = False
    blocked = ~causal_mask(7) if causal else None
    wanted, maps = theirs(x, x, x, ~there, attn_mask=blocked, average_attn_weights=False)
    assert apart(ours(x, there), wanted) < CLOSE
    assert apart(ours.weights(x, there), maps) < CLOSE


def test_heads_see_different_things() -> None:
    torch.manual_seed(0)
    maps = SelfAttention(12, heads=3).weights(4 * some(1, 7, 12))
    assert apart(maps[:, 0], maps[:, 1]) > 0.01


def test_a_width_that_heads_do_not_divide_is_one_line() -> None:
    with pytest.raises(UserError, match="width is 10; allowed: a multiple of the 3 heads"):
        SelfAttention(10, heads=3)
    with pytest.raises(UserError, match="width is 9; allowed: an even multiple of the 3 heads"):
        SelfAttention(9, heads=3, rotary=True)
    with pytest.raises(UserError, match="width is 6; allowed: an even multiple of the 2 heads"):
        SelfAttention(6, heads=2, rotary=True)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_queries_are_heads_whose_keys_and_values_are_the_same(groups: int) -> None:
    torch.manual_seed(0)
    grouped, whole = SelfAttention(16, 4, causal=True, rotary=True, groups=groups), SelfAttention(16, 4, rotary=True)
    whole.causal = True
    query, key, value = grouped.inwards.weight.detach().split([16, 4 * groups, 4 * groups])

    def spread(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows[4 * (head * groups // 4) :][:4] for head in range(4)])

    with torch.no_grad():
        whole.inwards.weight.copy_(torch.cat([query, spread(key), spread(value)]))
        query, key, value = grouped.inwards.bias.split([16, 4 * groups, 4 * groups])
        whole.inwards.bias.copy_(torch.cat([query, spread(key), spread(value)]))
        whole.outwards.load_state_dict(grouped.outwards.state_dict())
    x = some(2, 7, 16)
    assert apart(grouped(x), whole(x)) < CLOSE
    assert apart(grouped.weights(x), whole.weights(x)) < CLOSE
    cache = KeyValueCache(1, limit=7)
    parts = [grouped(part, cache=cache) for part in torch.split(x, [3, 1, 3], dim=1)]
    assert apart(torch.cat(parts, 1), grouped(x)) < CLOSE
    assert cache.kept[0] is not None
    assert cache.kept[0][0].shape == (2, groups, 7, 4)  # what the cache saves


def test_groups_that_do_not_divide_the_heads_are_one_line() -> None:
    for groups in (3, 8, -1):
        with pytest.raises(UserError, match=f"groups is {groups}; allowed: a divisor of the 4 heads"):
            SelfAttention(16, 4, groups=groups)
    with pytest.raises(UserError, match=r"groups is 3; allowed: a divisor of model.heads, 4, or 0"):
        LanguageModel(heads=4, groups=3)


# Rotary positions ---------------------------------------------------------------------------------------------------


def test_rotary_positions_turn_questions_and_keys_and_no_values() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(12, heads=3, causal=True, rotary=True), 3 * some(2, 7, 12)
    query, key, value = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in layer.inwards(x).chunk(3, -1))
    found = attention(turned(query), turned(key), value, causal_mask(7))  # (N, heads, T, d)
    assert apart(layer(x), layer.outwards(found.transpose(1, 2).flatten(2))) < CLOSE


def test_rotary_positions_keep_lengths_and_know_only_distances() -> None:
    query, key = some(1, 8), some(1, 8, seed=1)
    turn = [turned(torch.cat([query, key]).unsqueeze(1), start)[:, 0] for start in range(40)]  # (40) of (2, 8)
    assert apart(turn[39].norm(dim=-1), torch.cat([query, key]).norm(dim=-1)) < CLOSE
    near, far = (float(turn[at + 7][0] @ turn[at][1]) for at in (0, 30))
    assert abs(near - far) < 1e-4
    assert abs(near - float(turn[9][0] @ turn[0][1])) > 1e-3


def test_rotary_positions_are_those_of_llama() -> None:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    query = some(1, 2, 9, 8)
    places = torch.arange(9)[:, None] * 10_000.0 ** -(torch.arange(4) / 4)
    cosine, sine = (torch.cat([one, one], -1)[None] for one in (places.cos(), places.sin()))
    wanted, _ = llama.apply_rotary_pos_emb(query, query, cosine, sine)
    assert apart(turned(query), wanted) < CLOSE
    assert apart(turned(query[:, :, 5:], 5), wanted[:, :, 5:]) < CLOSE


def test_rotary_positions_tell_far_places_apart_in_bf16() -> None:
    x = torch.ones(600, 8, dtype=torch.bfloat16)
    exact = turned(torch.ones(600, 8))
    assert turned(x).dtype == torch.bfloat16
    assert apart(turned(x).float(), exact) < 0.03


# The cache ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotary", [False, True])
def test_with_a_cache_each_place_finds_what_it_finds_without(rotary: bool) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8, heads=2, causal=True, rotary=rotary).eval()
    x = some(2, 9, 8)
    cache = KeyValueCache(1, limit=9)
    with torch.no_grad():
        parts = [layer(part, cache=cache) for part in torch.split(x, [4, 1, 3, 1], dim=1)]
        assert apart(torch.cat(parts, 1), layer(x)) < CLOSE
    assert cache.length == 9


def test_a_cache_that_is_full_says_so() -> None:
    cache = KeyValueCache(1, limit=3)
    with pytest.raises(UserError, match="4 places came into the cache; allowed: 3"):
        cache.extend(0, torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 4, 2))
