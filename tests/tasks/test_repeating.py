"""A language model is raised to repeat, judged, kept, taken up again, and fits where a recogniser wants one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from locution import runs
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.overfitting import mean_loss
from locution.recipe import resolve
from locution.speech.babble import Texts
from locution.speech.decoder import load_decoder
from locution.speech.frozen import load_language_model
from locution.speech.repeated import HeldOut, Repeated, held_out
from locution.speech.repetition import repetition
from locution.speech.sentences import split_of
from locution.tasks import repeating

TINY = (
    "data.train=4",
    "data.kinds={commands:1,everyday:0,prose:0}",
    "data.noise={clean:1,held:0,slow:0,pause:0,blurred:0}",
    "data.tokens=400",
    "data.longest=24",
    "data.ramp=1",
    "data.test=3",
    "model.width=64",
    "model.layers=2",
    "model.heads=2",
    "model.inner=128",
    "optimizer.small=32",
    "methods.trapezoid.warmup=5",
    "measure_every=500",
    "threads=1",
)


def train(folder: Path, *words: str) -> runs.Run:
    return runs.train("speech/decoder", *TINY, f"run_dir={folder}", *words, quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return train(tmp_path_factory.mktemp("runs") / "run", "precision=fp32", "steps=150")


def test_it_learns_to_repeat(run: runs.Run) -> None:
    job = run.job()
    seen = [repetition(job.data.sentences, generator(0, "seen"), run.recipe.part("data").noise, 0.0)]
    before, after = (mean_loss(model, repeating.repeat_objective, seen) for model in (job.model, run.load(job)))
    assert before > 3.5, "untrained, it guesses: ln 61 = 4.11"
    assert after < 0.75 * before


def test_what_is_judged_is_what_is_kept(run: runs.Run) -> None:
    found = run.results["metrics"]
    assert run.evaluate().as_json()["metrics"] == found
    for name in ("exact_commands", "token_accuracy_noisy_everyday", "wer_made_up_words", "exact_silence"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_what_it_keeps_is_a_language_model_for_a_recogniser(run: runs.Run) -> None:
    model, tokenizer = load_language_model(run.folder / "model")
    assert model.num_parameters() == run.job().model.num_parameters()
    assert tokenizer.decode(tokenizer.encode("it's on")) == "it's on"


def test_texts_that_it_is_judged_on_are_of_the_test_split() -> None:
    sets = {one.name: one for one in held_out(Texts(["go"]), 5, 1, "test")}
    for name in ("commands", "everyday", "prose", "noisy commands"):
        assert {split_of(text) for text in sets[name].texts} == {"test"}
        assert len(set(sets[name].texts)) == 5
    assert sets["noisy commands"].level > 0 == sets["commands"].level
    assert set(sets["silence"].texts) == {""}


def test_figures_are_what_one_counts_by_hand() -> None:
    found = Repeated(HeldOut("two", ("a b", "c")), ("a b", "d"), right=(4, 1), tokens=(4, 2)).metrics()
    assert [(one.name, round(one.value, 4)) for one in found] == [
        ("exact_two", 0.5),
        ("token_accuracy_two", 0.8333),
        ("wer_two", 0.3333),
    ]


def test_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("steps=6", "checkpoint_every=0", "log_every=1")
    whole = train(tmp_path / "whole", *words).folder
    calls = 0

    def dies(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyError("the power went")
        return objective(*given)  # type: ignore[arg-type]

    objective = repeating.repeat_objective
    with monkeypatch.context() as patch:
        patch.setattr(repeating, "repeat_objective", dies)
        with pytest.raises(KeyError):
            train(tmp_path / "broken", *words)
    resumed = runs.resume(tmp_path / "broken", quiet=True).folder
    one, other = (load_decoder(folder / "model")[0].state_dict() for folder in (whole, resumed))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_predict_repeats_a_text_and_refuses_what_it_cannot_read(run: runs.Run) -> None:
    assert len(run.predict(["stop"])) == 1
    with pytest.raises(UserError, match=r"'S' in 'Stop'"):
        run.predict(["Stop"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.train=0", "data.train is 0"),
        ("data.kinds={prosa:1}", "Did you mean 'prose'"),
        ("data.tokens=0", "data.tokens is 0"),
        ("data.noise={dropt:0.1}", "Did you mean 'data.noise.dropped'"),
        ("data.noise={dropped:2}", "dropped is 2"),
        ("model.heads=5", "model.width is 192"),
    ],
)
def test_settings_are_checked_before_anything_is_made(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve("speech/decoder", [word])


def test_the_recipe_makes_the_shipped_shape() -> None:
    model = resolve("speech/decoder").part("model").build(0)
    assert model.num_parameters() == load_language_model("embedded")[0].num_parameters()
