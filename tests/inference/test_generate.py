"""Generation: with the cache and without, by temperature, top-k and top-p, to the end mark."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from locution.data.byte_pairs import END, MASK
from locution.inference.generate import expected, go_on, sharpened, top_k, top_p, window_start
from locution.models.language_model import LanguageTransformer
from locution.models.self_attention import KeyValueCache

WORDS, CONTEXT = 40, 16


class Endless(LanguageTransformer):
    """Hardly ever expects an end."""

    def forward(self, tokens: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        return super().forward(tokens, mask, cache).index_fill(-1, torch.tensor([END]), -99.0)


def model(positions: str = "rotary") -> LanguageTransformer:
    """A model whose expectations are sharp enough that its choices differ."""
    torch.manual_seed(0)
    made = Endless(WORDS, CONTEXT, 16, layers=2, heads=2, positions=positions).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return made


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("positions", ["rotary", "learned", "none"])
def test_with_the_cache_the_scores_are_those_without(positions: str) -> None:
    one = model(positions)
    tokens = torch.randint(2, WORDS, (CONTEXT,), generator=draw(0)).tolist()
    cache = one.cache()
    begun = expected(one, tokens[:5], cache)
    assert float((begun - expected(one, tokens[:5])).abs().max()) < 1e-5
    for at in range(5, CONTEXT):
        with_cache = expected(one, tokens[at : at + 1], cache)
        assert float((with_cache - expected(one, tokens[: at + 1])).abs().max()) < 1e-5


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize(("given", "temperature"), [(1, 0.0), (1, 1.5), (CONTEXT, 1.5), (3 * CONTEXT + 1, 0.7)])
def test_with_the_cache_the_text_is_the_one_without_beyond_the_context_too(
    positions: str, given: int, temperature: float
) -> None:
    one = model(positions)
    prompt = torch.randint(2, WORDS, (given,), generator=draw(1)).tolist()
    both = [go_on(one, prompt, 24, draw(2), temperature=temperature, cached=c) for c in (True, False)]
    assert both[0] == both[1]
    assert len(both[0]) == 24


def test_the_cache_reads_each_token_once_until_the_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    one, read = model(), list[int]()
    forward = LanguageTransformer.forward

    def counted(
        self: LanguageTransformer, tokens: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        read.append(tokens.shape[1])
        return forward(self, tokens, mask, cache)

    monkeypatch.setattr(LanguageTransformer, "forward", counted)
    go_on(one, [2, 3, 4], 20, draw(0))
    assert read == [3, *[1] * 13, CONTEXT // 2 + 1, *[1] * 5]


def test_the_k_likeliest_are_chosen_first_and_the_nucleus_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0.4 and 0.3 alone, 0.4 holds more than 0.57 of the chances; of all four it does not."""
    scores = torch.tensor([0.0, 0.0, 0.4, 0.3, 0.2, 0.1]).log()
    monkeypatch.setattr("locution.inference.generate.expected", lambda *_: scores.clone())
    one = model()
    assert set(go_on(one, [2], 40, draw(0), leave=2, share=0.57)) == {2}
    assert set(go_on(one, [2], 40, draw(0), leave=2)) == {2, 3}
    assert set(go_on(one, [2], 40, draw(0), share=0.57)) == {2, 3}
    assert set(go_on(one, [2], 200, draw(0))) == {2, 3, 4, 5}


def test_a_nucleus_ends_where_it_holds_the_share_to_the_bit_and_a_whole_one_is_what_came() -> None:
    assert top_p(torch.tensor([0.25, 0.5, 0.25]), 0.5).tolist() == [0.0, 1.0, 0.0]
    assert top_p(torch.tensor([0.25, 0.25, 0.5]), 0.75).tolist() == pytest.approx([1 / 3, 0.0, 2 / 3])
    many = torch.rand(50_000, generator=draw(0)).softmax(0)  # in fp32 their sum comes to 1 before the last
    assert torch.equal(top_p(many, 1.0), many)


def test_the_same_seed_gives_the_same_text_and_another_gives_another() -> None:
    one = model()
    texts = [tuple(go_on(one, [2], 12, draw(seed), temperature=1.5)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_greedy_takes_the_likeliest_whatever_the_seed() -> None:
    one = model()
    found = go_on(one, [2, 5], 3, draw(0), temperature=0.0)
    assert found == go_on(one, [2, 5], 3, draw(9), temperature=0.0)
    scores = expected(one, [2, 5])
    scores[MASK] = -torch.inf
    assert found[0] == int(scores.argmax())


class Fixed(LanguageTransformer):
    """Expects always the same."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__(len(scores), 8, 8, layers=1, heads=2)
        self.scores = scores

    def forward(self, tokens: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        return self.scores.expand(*tokens.shape, -1)


def test_an_end_mark_ends_the_text_and_a_hiding_mark_never_comes() -> None:
    ends = Fixed(torch.tensor([9.0, 99.0, 0.0, 0.0]))
    assert go_on(ends, [2], 50, draw(0), temperature=0.0, cached=False) == []
    hides = Fixed(torch.tensor([-99.0, 99.0, 0.0, 0.0]))
    found = go_on(hides, [2], 50, draw(0), cached=False)
    assert len(found) == 50
    assert set(found) == {2, 3}


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    chances = torch.tensor([0.0, 0.0, 0.5, 0.3, 0.2])
    fixed = Fixed(chances.log())
    found = torch.bincount(torch.tensor(go_on(fixed, [2], 1500, draw(0), cached=False)), minlength=5) / 1500
    spread = (chances * (1 - chances) / 1500).sqrt()
    assert bool(((found - chances).abs() <= 4 * spread).all())
    sharper = torch.bincount(
        torch.tensor(go_on(fixed, [2], 1500, draw(0), temperature=0.5, leave=2, cached=False)), minlength=5
    )
    nucleus = go_on(fixed, [2], 300, draw(0), share=0.7, cached=False)
    assert set(nucleus) == {2, 3}  # half, and three tenths more
    share = 0.25 / (0.25 + 0.09)
    assert sharper[4] == 0
    assert abs(float(sharper[2]) / 1500 - share) < 4 * (share * (1 - share) / 1500) ** 0.5


def test_what_is_left_of_the_chances_is_counted_by_hand() -> None:
    chances = torch.tensor([0.1, 0.4, 0.2, 0.3])
    torch.testing.assert_close(top_k(chances, 3), torch.tensor([0.0, 4 / 9, 2 / 9, 3 / 9]))
    torch.testing.assert_close(top_k(chances, 1), torch.tensor([0.0, 1.0, 0.0, 0.0]))
    for none in (0, 4, 9):
        assert torch.equal(top_k(chances, none), chances)
    torch.testing.assert_close(top_p(chances, 0.65), torch.tensor([0.0, 4 / 7, 0.0, 3 / 7]))
    torch.testing.assert_close(top_p(chances, 0.75), torch.tensor([0.0, 4 / 9, 2 / 9, 3 / 9]))
    assert torch.equal(top_p(chances, 1e-9), torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert torch.equal(top_p(chances, 1.0), chances)
    torch.testing.assert_close(sharpened(torch.tensor([0.0, 2.0]), 2.0), torch.tensor([0.0, 1.0]).softmax(0))


@pytest.mark.parametrize("context", [1, 2, 3, 16])
def test_a_window_fits_the_context_holds_half_of_it_and_moves_seldom(context: int) -> None:
    starts = [window_start(count, context) for count in range(1, 10 * context + 1)]
    for count, start in enumerate(starts, 1):
        assert 1 <= count - start <= context
        assert count - start > context // 2 or start == 0 or context < 4
    assert len(set(starts)) <= 2 + 10 * context / max(1, context // 2)
