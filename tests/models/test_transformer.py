"""The transformer: beside torch's own layer and GPT-2 with the same weights, and what it may not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.engine.method import Plan
from locution.errors import UserError
from locution.models.language_model import LanguageModel, LanguageTransformer
from locution.models.lora import LoRAMethod, lora_layers
from locution.models.sequence_transformer import TransformerModel
from locution.models.transformer import GatedFeedForward, Transformer, TransformerBlock

CLOSE = 1e-5


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


def test_a_block_equals_torchs_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours = TransformerBlock(12, heads=3, hidden=20)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, "gelu", batch_first=True, norm_first=True)
    pairs = {
        "self_attn.in_proj_weight": "attention.inwards.weight",
        "self_attn.in_proj_bias": "attention.inwards.bias",
        "self_attn.out_proj.weight": "attention.outwards.weight",
        "self_attn.out_proj.bias": "attention.outwards.bias",
        "linear1.weight": "feed_forward.0.weight",
        "linear1.bias": "feed_forward.0.bias",
        "linear2.weight": "feed_forward.2.weight",
        "linear2.bias": "feed_forward.2.bias",
        "norm1.weight": "before_attention.weight",
        "norm1.bias": "before_attention.bias",
        "norm2.weight": "before_feed_forward.weight",
        "norm2.bias": "before_feed_forward.bias",
    }
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    state = ours.state_dict()
    theirs.load_state_dict({name: state[own] for name, own in pairs.items()})
    x, there = torch.randn(2, 7, 12), torch.ones(2, 7, dtype=torch.bool)
    there[1, 5:] = False
    assert apart(ours(x), theirs(x)) < CLOSE
    assert apart(ours(x, there), theirs(x, src_key_padding_mask=~there)) < CLOSE


def gpt2(model: LanguageTransformer) -> nn.Module:
    """Make GPT-2 as transformers has it, with the weights of a model of learned positions."""
    transformers = pytest.importorskip("transformers")
    width, layers = model.embedding.weight.shape[1], len(model.blocks.blocks)
    config = transformers.GPT2Config(
        vocab_size=len(model.embedding.weight),
        n_positions=model.context,
        n_embd=width,
        n_layer=layers,
        n_head=model.blocks.blocks[0].attention.heads,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    names = {
        "before_attention": "ln_1",
        "attention.inwards": "attn.c_attn",
        "attention.outwards": "attn.c_proj",
        "before_feed_forward": "ln_2",
        "feed_forward.0": "mlp.c_fc",
        "feed_forward.2": "mlp.c_proj",
    }
    own, state = model.state_dict(), theirs.state_dict()
    copied = {"transformer.wte.weight": own["embedding.weight"], "lm_head.weight": own["embedding.weight"]}
    copied |= {"transformer.wpe.weight": own["blocks.positions"]}
    for end in ("weight", "bias"):
        copied[f"transformer.ln_f.{end}"] = own[f"blocks.norm.{end}"]
        for layer in range(layers):
            for ours, name in names.items():
                value = own[f"blocks.blocks.{layer}.{ours}.{end}"]
                turned = end == "weight" and not name.startswith("ln")  # its layers hold weights the other way round
                copied[f"transformer.h.{layer}.{name}.{end}"] = value.T if turned else value
    assert copied.keys() == state.keys()
    theirs.load_state_dict(copied)
    return theirs


def test_a_causal_language_model_equals_gpt2_with_the_same_weights() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, context=12, width=16, layers=2, heads=4, positions="learned").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        tokens = torch.randint(30, (3, 12))
        assert apart(model(tokens), gpt2(model)(tokens).logits) < 1e-4  # logits of some tens


def seen(model: nn.Module, tokens: Tensor, place: int) -> Tensor:
    """Say by the gradient which places an answer hangs on: (T,)."""
    vectors = model.embedding(tokens).detach().requires_grad_()
    model.blocks(vectors)[0, place].square().sum().backward()
    return vectors.grad[0].abs().sum(-1)


@pytest.mark.parametrize("positions", ["rotary", "learned", "none"])
def test_no_future_token_has_influence_and_every_past_one_has(positions: str) -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=2, heads=2, positions=positions)  # type: ignore[arg-type]
    for place in range(9):
        influence = seen(model, torch.randint(30, (1, 9)), place)
        assert bool((influence[place + 1 :] == 0).all())
        assert bool((influence[: place + 1] > 0).all())


def test_a_bidirectional_model_sees_both_sides() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=2, heads=2, causal=False)
    assert bool((seen(model, torch.randint(30, (1, 9)), 4) > 0).all())


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_positions_matter_where_there_are_any(positions: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 5, 8)
    told = Transformer(8, 2, 2, positions=positions, context=5).eval()  # type: ignore[arg-type]
    assert apart(told(x).flip(1), told(x.flip(1))) > 1e-2


def test_padding_that_a_mask_hides_changes_nothing() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=2, heads=2, causal=False).eval()
    tokens, there = torch.randint(30, (1, 9)), torch.ones(1, 9, dtype=torch.bool)
    there[:, 6:] = False
    assert apart(model(tokens, there)[:, :6], model(tokens[:, :6])) < CLOSE


def test_attention_maps_are_what_the_blocks_use() -> None:
    torch.manual_seed(0)
    blocks = Transformer(8, 2, 2, causal=True).eval()
    x = torch.randn(2, 5, 8)
    maps = blocks.attention_maps(x)
    assert maps.shape == (2, 2, 2, 5, 5)
    assert apart(maps.sum(-1), torch.ones(2, 2, 2, 5)) < CLOSE
    first = blocks.blocks[0]
    inner = first.before_attention(x)
    _, _, value = first.attention.split(inner)
    again = first.attention.outwards((maps[:, 0] @ value).transpose(1, 2).flatten(2))
    assert apart(again, first.attention(inner)) < CLOSE


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_attention_maps_are_those_of_a_forward_pass_in_every_block(positions: str) -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=3, heads=2, positions=positions).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    tokens, there = torch.randint(30, (2, 9)), torch.ones(2, 9, dtype=torch.bool)
    there[1, 2:4] = False
    came: list[Tensor] = []
    layers: list[Any] = [block.attention for block in model.blocks.blocks]
    hooks = [layer.register_forward_pre_hook(lambda _, given: came.append(given[0])) for layer in layers]
    model(tokens, there)
    for hook in hooks:
        hook.remove()
    maps = model.attention_maps(tokens, there)
    assert maps.shape == (2, 3, 2, 9, 9)
    for number, (layer, inner) in enumerate(zip(layers, came, strict=True)):
        assert apart(maps[:, number], layer.weights(inner, there)) < CLOSE


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_another_network_for_the_places_can_be_put_in() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=2, heads=2, feed_forward=Doubling)
    assert sum(isinstance(module, Doubling) for module in model.modules()) == 2
    block = model.blocks.blocks[0].eval()
    x = torch.randn(1, 3, 16)
    between = x + block.attention(block.before_attention(x))
    assert apart(block(x), between + 2 * block.before_feed_forward(between)) < CLOSE


def test_what_leaves_a_block_begins_smaller_the_deeper_the_model() -> None:
    torch.manual_seed(0)
    for layers in (2, 8):
        model = LanguageTransformer(300, 16, 64, layers=layers, heads=2)
        last = model.blocks.blocks[-1]
        for out, into in (
            (last.attention.outwards, last.attention.inwards),
            (last.feed_forward[2], last.feed_forward[0]),
        ):
            assert float(into.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            assert float(out.weight.detach().std()) == pytest.approx(0.02 / (2 * layers) ** 0.5, rel=0.1)
    model = LanguageTransformer(300, 64, 64, layers=1, heads=2, positions="learned")
    for weight in (model.embedding.weight, model.blocks.positions):
        assert weight is not None
        assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not any(bool(weight.any()) for name, weight in model.named_parameters() if name.endswith("bias"))


def test_dropout_acts_in_training_alone_and_draws_from_torchs_own_generator() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=1, heads=2, dropout=0.5)
    tokens = torch.randint(30, (1, 9))
    torch.manual_seed(1)
    first = model(tokens)
    assert apart(first, model(tokens)) > 1e-3
    torch.manual_seed(1)
    assert torch.equal(first, model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_dropout_lies_on_what_is_added_twice_and_on_what_comes_in() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    assert torch.equal(TransformerBlock(8, heads=2, hidden=16, dropout=1.0)(x), x)
    assert apart(Transformer(8, 1, 2, dropout=1.0)(x), torch.zeros(2, 5, 8)) == 0.0


def test_lora_applies_to_attention_and_leaves_a_plain_model() -> None:
    torch.manual_seed(0)
    model: nn.Module = LanguageTransformer(30, 9, 16, layers=2, heads=2)
    tokens = torch.randint(30, (2, 9))
    before = model.eval()(tokens)
    method = LoRAMethod(layers="*.attention", rank=2, train=())
    adapted = method.model(model, Plan())
    assert sorted(lora_layers(adapted)) == [
        f"blocks.blocks.{layer}.attention.{name}" for layer in (0, 1) for name in ("inwards", "outwards")
    ]
    assert apart(adapted(tokens), before) < CLOSE
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    adapted(tokens).square().mean().backward()
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.1 * torch.randn_like(parameter))
    moved = adapted(tokens)
    assert apart(moved, before) > 1e-3
    merged = method.trained(adapted)
    assert not lora_layers(merged)
    assert apart(merged.eval()(tokens), moved) < CLOSE


def test_a_sequence_transformer_answers_once_or_at_each_place() -> None:
    torch.manual_seed(0)
    x, answers = torch.randn(2, 6, 3), {}
    for reads in ("mean", "last", "all"):
        torch.manual_seed(1)
        model = TransformerModel(width=8, heads=2, layers=1, reads=reads).build((6, 3), 4).eval()  # type: ignore[arg-type]
        answers[reads] = model(x)
    assert answers["all"].shape == (2, 6, 4)
    assert apart(answers["mean"], answers["all"].mean(1)) < CLOSE  # the last layer is linear
    assert apart(answers["last"], answers["all"][:, -1]) < CLOSE
    rows = TransformerModel(width=8, heads=2, layers=1).build((1, 6, 3), 4).eval()
    assert torch.equal(rows(x[:, None]), rows(x))


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match=r"model transformer came upon inputs \(5,\); allowed: \(T, F\)"):
        TransformerModel().build((5,), 2)
    with pytest.raises(UserError, match=r"model\.context is 4; allowed: from 8, the length of a passage"):
        LanguageModel(context=4).build((8,), 30)
    model = LanguageModel(width=8, heads=2, layers=1).build((8,), 30)
    with pytest.raises(UserError, match="a text of 9 tokens came; allowed: up to 8, the model's context"):
        model(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(UserError, match=r"float32 of shape \(1, 8\) came; allowed: tokens \(N, T\), whole numbers"):
        model(torch.zeros(1, 8))
    with pytest.raises(UserError, match=r"int64 of shape \(8,\) came"):
        model(torch.zeros(8, dtype=torch.int64))


def test_a_tokens_vector_learns_from_what_is_read_and_from_what_is_said() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=1, heads=2)
    tokens, came = torch.tensor([[1, 2, 3]]), list[Tensor]()
    hook = model.blocks.register_forward_hook(lambda _, given, said: came.append(said))
    scores = model(tokens)
    hook.remove()
    assert apart(scores, came[0] @ model.embedding.weight.T) < CLOSE
    scores[..., 7].sum().backward()
    slope = model.embedding.weight.grad
    assert slope is not None
    assert apart(slope[7], came[0].sum((0, 1))) < CLOSE, "token 7 was said and not read"
    assert set(slope.abs().sum(1).nonzero().flatten().tolist()) == {1, 2, 3, 7}


def test_what_lies_in_the_cache_counts_as_part_of_the_text() -> None:
    model = LanguageTransformer(30, 4, 16, layers=1, heads=2).eval()
    cache = model.cache()
    model(torch.tensor([[1, 2, 3]]), cache=cache)
    with pytest.raises(UserError, match="a text of 5 tokens came; allowed: up to 4, the model's context"):
        model(torch.tensor([[4, 5]]), cache=cache)


def test_a_language_model_is_built_as_its_settings_say() -> None:
    settings = LanguageModel(
        causal=False, width=8, layers=3, heads=4, context=20, positions="learned", dropout=0.25, vocabulary=50
    )
    model = settings.build((8,), 30)
    blocks: Any = model.blocks
    assert (model.causal, model.context, tuple(model.embedding.weight.shape)) == (False, 20, (50, 8))
    assert [(one.attention.causal, one.attention.heads, one.dropout.p) for one in blocks.blocks] == [
        (False, 4, 0.25)
    ] * 3
    assert (tuple(blocks.positions.shape), blocks.dropout.p) == ((20, 8), 0.25)
    plain = LanguageModel(width=8, heads=2).build((8,), 30)
    assert (plain.causal, plain.context, len(plain.embedding.weight), plain.blocks.positions) == (True, 8, 30, None)


def test_a_gated_network_is_the_formula_by_hand() -> None:
    torch.manual_seed(0)
    net, x = GatedFeedForward(4, 6), torch.randn(3, 4)
    gate, up = net.up.weight.split(6)
    inner = (x @ gate.T) * torch.sigmoid(x @ gate.T) * (x @ up.T)
    assert apart(net(x), inner @ net.down.weight.T) < CLOSE


def test_blocks_of_llamas_form_add_nothing_and_normalise_by_size_alone() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(30, 9, 16, layers=2, heads=2, form="llama")
    assert not any(name.endswith("bias") for name, _ in model.named_parameters())
    assert {type(layer).__name__ for layer in model.modules() if "Norm" in type(layer).__name__} == {"RMSNorm"}
    gated = model.blocks.blocks[0].feed_forward
    spread = [float(layer.weight.detach().std()) for layer in (gated.up, gated.down)]
    assert spread[1] < 0.75 * spread[0]  # over the root of twice the blocks: 2
    with pytest.raises(UserError, match=r"model.form is 'lama'; allowed: gpt, llama"):
        LanguageModel(form="lama")  # type: ignore[arg-type]
