"""Language models as runs: trained, judged beside n-grams, asked again from their folders alone."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch

from locution import cli
from locution.beginning import build_task
from locution.data.byte_pairs import Tokenizer
from locution.data.prose import PARTS, Prose, stream_of
from locution.errors import UserError
from locution.evaluation.ngram import NGram
from locution.models.language_model import LanguageTransformer
from locution.recipe import resolve
from locution.runs import Run, resume, train
from locution.tasks.abilities import Generation, able
from locution.tasks.language import Language, Writing
from locution.tasks.language_baselines import of_bytes
from locution.tasks.language_judged import by_chapter
from locution.tasks.masked_language import fill, filled, guessed, with_gaps
from locution.tasks.tokens_kept import TOKENIZER, read_tokenizer, tokens_of

SMALL = ("data.vocabulary=280", "data.length=32", "model.width=16", "model.heads=2", "model.layers=1", "steps=12")


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("texts/causal", *SMALL, f"run_dir={tmp_path_factory.mktemp('runs') / 'causal'}", quiet=True)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        "texts/masked",
        *SMALL,
        "data.development=0",
        f"run_dir={tmp_path_factory.mktemp('runs') / 'masked'}",
        quiet=True,
    )


def generated(run: Run, *prompts: str, **wishes: float) -> list[str]:
    found: list[str] = able(run.task, "generate", run.folder).generate(
        run.recipe,
        run.folder,
        prompts,
        Generation(**wishes),  # type: ignore[arg-type]
    )
    return found


def test_a_causal_run_is_judged_beside_n_grams_with_pictures(causal: Run) -> None:
    metrics = causal.results["metrics"]
    for name in ("bits_per_byte", "ngram_bits_per_byte", "perplexity", "ngram_perplexity", "bits_saved"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    strongest = min(metrics[f"{kind}_bits_per_byte"]["value"] for kind in ("ngram", "byte_ngram"))
    assert metrics["bits_saved"]["value"] == pytest.approx(strongest - metrics["bits_per_byte"]["value"], abs=2e-3)
    assert 1.5 < metrics["byte_ngram_bits_per_byte"]["value"] < 1.69  # eight bytes in a row come to 1.692
    report = (causal.folder / "report.html").read_text(encoding="utf-8")
    for title in (
        "Attention of block 1",
        "What context is worth",
        "What it writes",
        "Cold and warm",
        "Held-out chapte",
    ):
        assert title in report
    assert "kernel" in report
    warmed = re.findall(r"at ([\d.]+)  </span>(.*?)</pre>", report, re.DOTALL)
    assert [temperature for temperature, _ in warmed] == ["0", "0.5", "0.8", "1", "1.5"]
    assert len({text for _, text in warmed}) >= 4


def test_what_bytes_surprise_by_is_added_up_by_tokens() -> None:
    plain = ["ab", "c"]  # as bytes: an end mark, a, b, an end mark, c, an end mark
    tokenizer = Tokenizer([(99, 100)])
    streams = {name: stream_of(tokenizer, plain * times) for name, times in zip(PARTS, (9, 0, 1), strict=True)}
    prose = Prose(tokenizer, {"train": plain * 9, "development": [], "test": plain}, streams, {"test": ["one", "two"]})
    found = of_bytes(prose)
    whole = NGram(10, 258).fit(stream_of(Tokenizer([]), plain * 9)).surprise(stream_of(Tokenizer([]), plain))
    a, b, end, c, last = whole.tolist()
    assert found.surprise.tolist() == pytest.approx([a + b, end, c, last])


def test_chapters_are_told_apart_by_their_marks() -> None:
    streams = {"test": stream_of(Tokenizer([]), ["abcd", "ef"])}
    prose = Prose(Tokenizer([]), {}, streams, {"test": ["long", "short"]})
    bit = math.log(2)
    nats = bit * torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    table = by_chapter(prose, {"language model": nats, "n-gram": nats * 2})
    assert table.columns == ["chapter", "bytes", "language model", "n-gram", "perplexity"]
    assert table.rows == [
        ["short", "2", "1.000", "2.000", f"{2 ** (2 / 3):.2f}"],  # the best first; two bits over three tokens
        ["long", "4", "2.000", "4.000", f"{2 ** (8 / 5):.2f}"],
    ]


def test_evaluating_again_gives_the_same_figures(causal: Run, masked: Run) -> None:
    for run in (causal, masked):
        assert run.evaluate().as_json()["metrics"] == run.results["metrics"]


def test_generation_answers_with_the_prompt_and_what_follows(causal: Run) -> None:
    both = generated(causal, "The for", "日本 🙂", "", length=8)
    assert [text.startswith(given) for text, given in zip(both, ("The for", "日本 🙂", ""), strict=True)] == [True] * 3
    assert both == generated(causal, "The for", "日本 🙂", "", length=8)
    assert both == generated(causal, "The for", "日本 🙂", "", length=8, cache=False)
    assert both != generated(causal, "The for", "日本 🙂", "", length=8, seed=1)
    assert len(set(generated(causal, "a", "a", "a", length=30))) == 3  # texts of one call are drawn apart
    long = "a b " * 100
    assert generated(causal, long, length=5) == generated(causal, long, length=5, cache=False)


def test_the_command_prints_the_texts_piece_by_piece(causal: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", str(causal.folder), "The for", "日本", "--length", "8", "--seed", "4", "--temperature", "1.5"]
    assert cli.run(words) == 0
    wanted = generated(causal, "The for", "日本", length=8, seed=4, temperature=1.5)
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in wanted)
    assert len(list(Language().stream(causal.recipe, causal.folder, ["a"], Generation(length=8)))) > 4


def test_what_is_written_commands_no_terminal(causal: Run) -> None:
    written = "".join(generated(causal, "", "", "", length=120, temperature=50.0))
    assert "\x1b" not in written
    assert "\x00" not in written


def test_samples_are_texts_and_their_tokens(causal: Run) -> None:
    task = able(causal.task, "sample", causal.folder)
    drawn = task.sample(causal.recipe, causal.folder, 3, 0, Writing(length=6, prompt="The"))
    assert len(drawn.values) == 3
    assert [line for line in drawn.lines if line.startswith("[")][:3] == ["[1]", "[2]", "[3]"]
    assert sum(line.startswith("The") for line in drawn.lines) == 3
    again = task.sample(causal.recipe, causal.folder, 3, 1, Writing(length=6, prompt="The"))
    assert drawn.lines != again.lines


def test_predict_names_the_likeliest_next_tokens(causal: Run) -> None:
    (line,) = causal.predict(["The "])
    chances = [float(word.strip("()")) for word in line.replace(",", " ").split() if word.startswith("(0.")]
    assert len(chances) == 5
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1


def test_a_run_answers_with_its_own_tokenizer_and_without_its_text(
    causal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from locution.data.prose import ProseData

    before = generated(causal, "The", length=8)

    def gone(self: ProseData, seed: int) -> None:
        raise AssertionError("the text was read")

    monkeypatch.setattr(ProseData, "load", gone)
    assert generated(causal, "The", length=8) == before


def test_a_run_of_another_python_is_not_judged_by_this_ones_text(causal: Run, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    copied.mkdir()
    for file in causal.folder.iterdir():
        if file.is_file():
            (copied / file.name).write_bytes(file.read_bytes())
    kept = json.loads((copied / TOKENIZER).read_text())
    kept["tokenizer"]["merges"][-1] = [2, 3]
    (copied / TOKENIZER).write_text(json.dumps(kept))
    run = Run.open(copied)
    with pytest.raises(UserError, match="the text of this Python is another than that of"):
        run.evaluate()
    assert generated(run, "The", length=3)
    (copied / TOKENIZER).write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read"):
        read_tokenizer(copied)
    (copied / TOKENIZER).unlink()
    with pytest.raises(UserError, match=r"has no tokenizer\.json"):
        read_tokenizer(copied)


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from locution.engine import Observer, Stop

    class Break(Observer):
        def watch(self, record: object) -> Stop | None:
            raise KeyboardInterrupt

    words = (*SMALL, "data.development=0", "checkpoint_every=0", "log_every=7")
    whole = train("texts/masked", *words, f"run_dir={tmp_path / 'whole'}", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train("texts/masked", *words, f"run_dir={tmp_path / 'broken'}", quiet=True, watchers=[Break()])
    again = resume(tmp_path / "broken", quiet=True)
    one, other = (load_file(run.folder / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_goes_on_learning_from_another_text_by_its_own_tokens(causal: Run, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(causal.folder, begun)
    words = (*SMALL, "data.split=1", "steps=2", "optimizer.lr=0.0001")
    other = f"start '{begun}' learnt other tokens than these data have; allowed: data.tokens={begun}"
    with pytest.raises(UserError, match=re.escape(other)):
        train("texts/causal", *words, f"start={begun}", f"run_dir={tmp_path / 'none'}", quiet=True)
    with pytest.raises(UserError, match="learnt other tokens than these data have; allowed: the folder of such a run"):
        train(
            "texts/causal", *words, f"start=texts/causal {' '.join(SMALL)}", f"run_dir={tmp_path / 'none'}", quiet=True
        )
    more = ("data.tokens={}", "start={}", "run_dir={}")
    places = (begun, begun, tmp_path / "run")
    run = train("texts/causal", *words, *(one.format(at) for one, at in zip(more, places, strict=True)), quiet=True)
    assert read_tokenizer(run.folder) == read_tokenizer(causal.folder)
    before, after = (one.load(one.job()).state_dict() for one in (causal, run))
    assert all(float((before[name] - after[name]).abs().max()) < 0.01 for name in before)
    (begun / "model.safetensors").unlink()  # what began from it can do without
    assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
    fresh = ("fresh=embedding", f"start={causal.folder}", f"run_dir={tmp_path / 'fresh'}")
    assert train("texts/causal", *words, *fresh, quiet=True).folder.is_dir()


def test_a_start_that_is_gone_or_reads_no_tokens_is_not_asked_for_them(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    for start in (str(tmp_path / "gone"), str(tmp_path / "digits")):
        assert tokens_of(start) == (None, "")
    assert tokens_of("digits")[0] is None


# Gaps ---------------------------------------------------------------------------------------------------------------


def test_a_masked_run_is_judged_beside_frequencies(masked: Run) -> None:
    metrics = masked.results["metrics"]
    for name in ("masked_accuracy", "unigram_accuracy", "masked_surprise", "unigram_surprise", "nats_saved"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    report = (masked.folder / "report.html").read_text(encoding="utf-8")
    assert "What it fills in" in report
    assert "Attention of block 1" in report


def test_a_method_that_asks_for_answers_finds_none_where_tokens_are_hidden(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="label_smoothing came upon targets that are no classes"):
        train("texts/masked", *SMALL, "+label_smoothing", f"run_dir={tmp_path / 'run'}", quiet=True)
    job = build_task(resolve("texts/masked")).prepare(resolve("texts/masked", SMALL), quiet=True)
    assert next(job.batches.epoch(0, 0)).targets is None
    assert job.data.development.targets is None


def test_gaps_take_the_space_before_them_along() -> None:
    tokenizer = Tokenizer([])
    assert with_gaps(tokenizer, "[MASK]") == [1]
    assert with_gaps(tokenizer, "a [MASK] b[MASK]") == [99, 1, 34, 100, 1]
    for other in ("[mask]", "<mask>", "<MASK>", "___", "______"):
        assert with_gaps(tokenizer, f"a {other} b") == [99, 1, 34, 100]
    assert with_gaps(tokenizer, "__a") == tokenizer.encode("__a")


def test_a_gap_is_filled_with_the_likeliest_token_and_never_with_a_mark(masked: Run) -> None:
    both = masked.predict(["The [MASK] statement", "[MASK][MASK]"])
    assert all("[MASK]" not in line and "<end>" not in line for line in both)
    text, likeliest = both[0].split("\n")
    assert text.startswith("The")
    assert text.endswith(" statement")
    words = likeliest.split(", ")
    assert len(words) == 5
    chances = [float(word.split()[-1]) for word in words]
    assert chances == sorted(chances, reverse=True)
    assert both[1].count("\n  gap ") == 2


class Fixed(LanguageTransformer):
    """Expects at each place a mark most of all, then the letter b."""

    def forward(self, tokens: torch.Tensor, mask: object = None, cache: object = None) -> torch.Tensor:
        scores = torch.zeros(*tokens.shape, 258)
        scores[..., :2], scores[..., 100] = 9.0, 5.0
        self.read = tokens
        return scores


def test_a_mark_fills_no_gap_however_likely() -> None:
    fixed = Fixed(258, 16, 8, layers=1, heads=2, causal=False)
    chance = math.exp(5) / (math.exp(5) + 255)
    assert fill(fixed, Tokenizer([]), "a[MASK]c").startswith(f"abc\n  b {chance:.3f}, ")


class Sure(LanguageTransformer):
    """Expects b in the last gap, and in any other what stands behind it."""

    def forward(self, tokens: torch.Tensor, mask: object = None, cache: object = None) -> torch.Tensor:
        scores = torch.zeros(*tokens.shape, 258)
        scores[0, -1, 100] = 9.0
        return scores.scatter_(-1, tokens.roll(-1, 1)[..., None], 3.0)


def test_the_surest_gap_is_filled_first_and_the_others_know_it() -> None:
    sure = Sure(258, 16, 8, layers=1, heads=2, causal=False)
    text, chances = filled(sure, torch.tensor([99, 1, 1, 1]))
    assert text.tolist() == [99, 100, 100, 100]
    assert list(chances) == [1, 2, 3]
    assert float(chances[3][100]) > float(chances[2][100]) > 0.05
    assert all(float(chance[:2].sum()) == 0 for chance in chances.values())


def test_what_is_asked_of_held_out_text_is_truly_hidden() -> None:
    fixed = Fixed(258, 16, 8, layers=1, heads=2, causal=False)
    surprise, right, asked = guessed(fixed, torch.full((4, 16), 100), 258)
    there = asked != -100
    assert bool((fixed.read[there] == 1).all())
    assert bool((fixed.read[~there] == 100).all())
    assert bool((surprise[~there] == 0).all())
    assert not bool(right.any())  # a mark is the likeliest, and counts as wrong
    assert float(surprise[there][0]) == pytest.approx(math.log(2 * math.exp(9) + math.exp(5) + 255) - 5, rel=1e-5)


def test_what_cannot_be_filled_is_one_line(masked: Run) -> None:
    with pytest.raises(UserError, match="'no gap' has no gap; allowed: a text with"):
        masked.predict(["no gap"])
    with pytest.raises(UserError, match="tokens came; allowed: up to 31"):
        masked.predict(["[MASK]" + " word" * 100])


def test_a_masked_run_cannot_go_on_with_a_text_and_says_what_it_can(masked: Run) -> None:
    with pytest.raises(UserError, match=r"cannot generate; what it can: evaluate, predict"):
        able(masked.task, "generate", masked.folder)


def test_filling_hears_both_sides(masked: Run) -> None:
    from locution.tasks.tokens_kept import opened

    model, tokenizer = opened(Language(), masked.recipe, masked.folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    lines = {fill(model, tokenizer, f"{left} [MASK] {right}").split("\n")[-1] for left in "ab" for right in "cd"}
    assert len(lines) == 4


# What does not go together --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "words", "line"),
    [
        (
            "texts/causal",
            ["model.causal=false"],
            r"model\.causal is false: it would see .* allowed: model\.causal=true",
        ),
        ("texts/masked", ["model.causal=true"], r"model\.causal is true: it would not see .* model\.causal=false"),
        ("texts/causal", ["objective.name=masked_token"], "objective 'masked_token' came; allowed here: next_token"),
        ("texts/masked", ["objective.name=next_token"], "objective 'next_token' came; allowed here: masked_token"),
        ("texts/causal", ["data={name: digits}"], "data 'digits' are no running text; allowed: data such as prose"),
        ("texts/masked", ["data={name: digits}"], "data 'digits' are no running text"),
        ("texts/causal", ["model={name: convnet}"], r"model convnet came upon inputs \(256,\)"),
        ("texts/causal", ["model={name: mlp}"], "model 'mlp' reads no text; allowed: a model such as language_model"),
        ("texts/causal", ["data.length=100000"], "tokens came; allowed: from 200000, two passages"),
    ],
)
def test_what_does_not_go_together_is_one_line(recipe: str, words: list[str], line: str) -> None:
    resolved = resolve(recipe, words)
    with pytest.raises(UserError, match=line) as refused:
        build_task(resolved).prepare(resolved, quiet=True)
    assert "\n" not in str(refused.value)


def test_no_test_text_is_one_line(tmp_path: Path) -> None:
    for recipe in ("texts/causal", "texts/masked"):
        folder = tmp_path / recipe.replace("/", "-")
        with pytest.raises(UserError, match=r"there is no test text to judge by; allowed: data\.test above 0"):
            train(recipe, *SMALL[:-1], "steps=1", "data.test=0", f"run_dir={folder}", quiet=True)


# What they are worth: each some four minutes on a quiet core ----------------------------------------------------------


@pytest.mark.long
def test_a_causal_model_expects_unseen_chapters_better_than_n_grams_do(tmp_path: Path) -> None:
    metrics = train("texts/causal", f"run_dir={tmp_path / 'run'}", quiet=True).results["metrics"]
    assert metrics["bits_saved"]["low"] > 0
    assert metrics["perplexity"]["high"] < metrics["ngram_perplexity"]["value"]
    assert metrics["bits_per_byte"]["value"] < metrics["byte_ngram_bits_per_byte"]["value"]


@pytest.mark.long
def test_a_masked_model_fills_gaps_better_than_frequencies_do(tmp_path: Path) -> None:
    metrics = train("texts/masked", f"run_dir={tmp_path / 'run'}", quiet=True).results["metrics"]
    assert metrics["masked_accuracy"]["low"] > metrics["unigram_accuracy"]["high"]
    assert metrics["nats_saved"]["low"] > 0
