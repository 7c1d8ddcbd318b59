"""Preferences: held-out margins rise, the reference is never touched, runs go on to the bit and answer alone."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from locution.data import preferences
from locution.engine import Engine, Observer, Record
from locution.engine.random import generator
from locution.errors import UserError
from locution.inference.generate import go_on
from locution.losses.preferences import DPO, RewardLoss
from locution.models.language_model import LanguageModel
from locution.models.reward_model import RewardModel
from locution.reporting.markup import clean
from locution.reporting.results import RunResults
from locution.runs import Run, resume, train
from locution.tasks import answering
from locution.tasks.abilities import Generation
from locution.tasks.answering import GOES_ON, answers, ended
from locution.tasks.language import Language
from locution.tasks.preference_judged import endings, figures, surprises
from locution.tasks.reference import Reference, judged, margins

DATA = ("data.vocabulary=400", "data.length=96", "data.answer=48")
SMALL = ("model.width=32", "model.layers=1", "model.heads=2")
LANGUAGE = ("data.vocabulary=400", "data.length=96", "data.batch_size=32", *SMALL, "model.dropout=0", "threads=1")


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Ask fewer questions, and judge no language model: what is held here needs no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering.answers, "__defaults__", (6,))
        patch.setattr(preferences, "FEWEST", 16)
        patch.setattr(Language, "evaluate", lambda *_, **__: RunResults("language"))
        yield


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A language model for a few steps: what is learnt from preferences begins here."""
    folder = tmp_path_factory.mktemp("runs") / "language"
    return train("texts/causal", *LANGUAGE, "steps=30", f"run_dir={folder}", quiet=True)


@pytest.fixture(scope="module")
def dpo(begun: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "dpo"
    words = (
        *DATA,
        *SMALL,
        f"start={begun.folder}",
        "steps=40",
        "measure_every=20",
        "optimizer.lr=0.003",
        "log_every=1",
    )
    return train("texts/dpo", *words, f"run_dir={folder}", quiet=True)


@pytest.fixture(scope="module")
def reward(begun: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "reward"
    words = (*DATA, *SMALL, f"start={begun.folder}", "steps=40", "optimizer.lr=0.003")
    return train("texts/reward", *words, f"run_dir={folder}", quiet=True)


def test_dpo_raises_the_margin_on_questions_that_are_new(dpo: Run) -> None:
    found = dpo.results["metrics"]
    assert found["gain"]["low"] > 0
    assert found["preferred"]["low"] > 0.5
    assert found["margin"]["value"] == pytest.approx(dpo.recipe.objective["beta"] * found["gain"]["value"], rel=1e-3)
    assert 0 < found["surprise_before"]["value"] < 10


def test_a_reward_model_tells_which_of_two_new_answers_is_better(reward: Run) -> None:
    found = reward.results["metrics"]
    assert found["preferred"]["low"] > 0.5
    assert found["margin"]["low"] > 0
    assert "gain" not in found


def test_the_reference_is_what_the_language_model_says(begun: Run, dpo: Run) -> None:
    job = dpo.job()
    dpo.load(job)
    assert job.data.test is not None
    language = begun.load(begun.job())
    kept = load_file(dpo.folder / "reference.safetensors")
    torch.testing.assert_close(kept["test"], judged(language, DPO(), job.data.test.inputs))
    torch.testing.assert_close(kept["train"], judged(language, DPO(), job.data.train.inputs))
    assert torch.equal(kept["answers"], answers(language, job.data))


def test_a_run_is_taken_back_judged_alike_and_goes_on_with_a_text(dpo: Run, reward: Run) -> None:
    for run in (dpo, reward):
        assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
    (said,) = dpo.predict(["This is a"])
    assert said.startswith("This is a")
    drawn = dpo.task.generate(dpo.recipe, dpo.folder, ["The"], Generation(length=9, seed=3))
    assert drawn == dpo.task.generate(dpo.recipe, dpo.folder, ["The"], Generation(length=9, seed=3, cache=False))
    better, worse = (float(one) for one in reward.predict(["One sentence that ends.", "One sentence that goes on and"]))
    assert better != worse
    with pytest.raises(UserError, match="judges texts and writes none; what it can: evaluate, predict"):
        reward.task.generate(reward.recipe, reward.folder, ["The"], Generation())
    for run, line in (
        (reward, "holds a reward model; allowed for a folder"),
        (dpo, "model.form is gpt; allowed for a"),
    ):
        with pytest.raises(UserError, match=line):
            run.task.export(run.recipe, run.folder, run.folder / "llama")  # type: ignore[attr-defined]


def test_what_is_printed_is_what_the_model_says_of_the_test_and_what_it_said_before(dpo: Run) -> None:
    job = dpo.job()
    model, objective = dpo.load(job), dpo.recipe.part("objective")
    assert job.data.test is not None
    before, now = load_file(dpo.folder / "reference.safetensors"), judged(model, objective, job.data.test.inputs)
    wanted = [
        *figures(objective, now, before["test"]),
        *surprises(now, before["test"], job.data),
        *endings(before["answers"], answers(model, job.data)),
    ]
    found = {name: one["value"] for name, one in dpo.results["metrics"].items()}
    assert found == pytest.approx({metric.name: metric.value for metric in wanted}, rel=1e-3, abs=1e-4)


def test_texts_are_gone_on_with_as_they_are_wished_for_and_judged_where_they_end(dpo: Run, reward: Run) -> None:
    model, tokenizer = dpo.task.opened(dpo.recipe, dpo.folder)  # type: ignore[attr-defined]
    prompts = ["The", "A function that"]

    def by_hand(number: int, seed: int, length: int, temperature: float, leave: int, share: float) -> str:
        asked, draw = [0, *tokenizer.encode(prompts[number])], generator(seed, "generate", number)
        tokens = go_on(model, asked, length, draw, temperature=temperature, leave=leave, share=share)
        return prompts[number] + clean(tokenizer.text(tokens))

    for wished in ((3, 30, 1.3, 0, 1.0), (4, 30, 1.0, 3, 1.0), (5, 30, 1.0, 0, 0.6)):
        seed, length, temperature, leave, share = wished
        wishes = Generation(length=length, temperature=temperature, top_k=leave, top_p=share, seed=seed)
        told = dpo.task.generate(dpo.recipe, dpo.folder, prompts, wishes)
        assert told == [by_hand(number, *wished) for number in range(2)], wished
    assert dpo.predict(prompts) == [by_hand(number, 0, 64, 0.0, 0, 1.0) for number in range(2)]
    judge, tokenizer = reward.task.opened(reward.recipe, reward.folder)  # type: ignore[attr-defined]
    text = "One sentence that ends."
    rewards = judge(torch.tensor([[0, *tokenizer.encode(text)]])).detach()[0]
    assert float(reward.predict([text])[0]) == pytest.approx(rewards[-1].item(), abs=6e-4)


def test_a_run_of_another_text_is_not_judged_by_this_one(dpo: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(dpo.folder, tmp_path / "run")
    kept = json.loads((copy / "tokenizer.json").read_text())
    kept["tokenizer"]["merges"].pop()
    (copy / "tokenizer.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match="the text of this Python is another than that of"):
        Run.open(copy).evaluate()


def test_what_is_written_commands_no_terminal(dpo: Run) -> None:
    drawn = dpo.task.generate(dpo.recipe, dpo.folder, [""] * 3, Generation(length=120, temperature=50.0))
    assert "\x1b" not in "".join(drawn)
    assert "\x00" not in "".join(drawn)


def test_a_reward_model_learns_by_lora_too_its_last_layer_in_full(begun: Run, tmp_path: Path) -> None:
    words = (*DATA, *SMALL, f"start={begun.folder}", "steps=30", "+lora", "optimizer.lr=0.01")
    run = train("texts/reward", *words, f"run_dir={tmp_path}/run", quiet=True)
    assert run.results["metrics"]["preferred"]["low"] > 0.5
    before, after = (one.load(one.job()).state_dict() for one in (begun, run))
    assert torch.equal(before["embedding.weight"], after["embedding.weight"])
    assert bool((after["reward.weight"] != 0).any())
    assert len(run.predict(["One sentence."])) == 1


def test_the_reports_show_answers_and_who_is_ahead(dpo: Run, reward: Run) -> None:
    page = (dpo.folder / "report.html").read_text(encoding="utf-8")
    for title in ("Answers before and after", "Which answer is ahead", "Preferred answers move ahead"):
        assert title in page
    page = (reward.folder / "report.html").read_text(encoding="utf-8")
    assert "Rewards of answers by kind" in page
    assert "Answers before and after" not in page
    assert '"margin"' in (dpo.folder / "metrics.jsonl").read_text(encoding="utf-8")


class Stopping(Observer):
    name = "stopping"

    def watch(self, record: Record) -> None:
        if record.step == 6 and record.kind == "step":
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_run_goes_on_to_the_same_weights_measured_from_the_same(begun: Run, tmp_path: Path) -> None:
    words = (*DATA, *SMALL, f"start={begun.folder}", "steps=9", "log_every=1", "optimizer.lr=0.01")
    whole = train("texts/dpo", *words, f"run_dir={tmp_path}/whole", quiet=True)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train("texts/dpo", *words, f"run_dir={tmp_path}/stopped", quiet=True, watchers=[Stopping()])
    again = resume(tmp_path / "stopped", quiet=True)
    for name in ("model.safetensors", "reference.safetensors"):
        one, other = (load_file(run.folder / name) for run in (whole, again))
        assert all(torch.equal(one[key], other[key]) for key in one), name
    assert again.results["metrics"] == whole.results["metrics"]


def test_lora_learns_preferences_too_and_leaves_the_rest_as_it_was(begun: Run, tmp_path: Path) -> None:
    words = (*DATA, *SMALL, f"start={begun.folder}", "steps=25", "+lora", "optimizer.lr=0.01")
    run = train("texts/dpo", *words, f"run_dir={tmp_path}/run", quiet=True)
    assert run.results["metrics"]["gain"]["low"] > 0
    before, after = (one.load(one.job()).state_dict() for one in (begun, run))
    assert torch.equal(before["embedding.weight"], after["embedding.weight"])


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("texts/dpo", ["model={name: reward_model}"], "model 'reward_model' came with dpo; allowed: language_model"),
        ("texts/reward", ["model={name: language_model}"], "'language_model' came with reward; allowed: reward_model"),
        ("texts/dpo", ["objective={name: next_token}"], "'next_token' knows no pairs; allowed: dpo, reward"),
        ("texts/dpo", ["data={name: prose}"], "'prose' holds no pairs; allowed: data such as preferences"),
        ("texts/dpo", ["model.causal=false"], "model.causal is false"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    recipe: str, words: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        train(recipe, *words, f"run_dir={tmp_path}/run", quiet=True)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_margins_and_gains_are_counted_as_by_hand() -> None:
    before, now = torch.tensor([[-5.0, -5.0], [-5.0, -5.0]]), torch.tensor([[-4.0, -7.0], [-6.0, -5.5]])
    found = {metric.name: metric.value for metric in figures(DPO(beta=0.5), now, before)}
    assert found == pytest.approx({"preferred": 0.5, "margin": 0.5 * 1.25, "gain": (3.0 - 0.5) / 2})
    rewards = {metric.name: metric.value for metric in figures(RewardLoss(), now, before)}
    assert rewards == pytest.approx({"preferred": 0.5, "margin": 1.25})
    assert margins(now).tolist() == [3.0, -0.5]
    assert ended(torch.tensor([[3, 0, 0], [3, 4, GOES_ON]])).tolist() == [1.0, 0.0]


def test_a_reward_model_begins_from_a_language_model_and_sees_nothing_behind_a_place() -> None:
    torch.manual_seed(0)
    llama = RewardModel(width=16, heads=2, layers=1, form="llama", groups=1).build((8,), 50)
    alike = LanguageModel(width=16, heads=2, layers=1, form="llama", groups=1).build((8,), 50).state_dict()
    shapes = {name: weight.shape for name, weight in llama.state_dict().items() if not name.startswith("reward.")}
    assert shapes == {name: weight.shape for name, weight in alike.items()}
    model = RewardModel(width=16, heads=2, layers=1).build((8,), 50).eval()
    language = LanguageModel(width=16, heads=2, layers=1).build((8,), 50)
    assert set(model.state_dict()) - set(language.state_dict()) == {"reward.weight", "reward.bias"}
    torch.nn.init.normal_(model.reward.weight)
    tokens = torch.randint(50, (2, 8))
    other = tokens.clone()
    other[:, 5:] = 1
    one, two = model(tokens), model(other)
    torch.testing.assert_close(one[:, :5], two[:, :5])
    assert not torch.allclose(one[:, 5:], two[:, 5:])


def test_the_batches_are_told_what_the_reference_said(dpo: Run) -> None:
    job = dpo.job()
    reference = next(one for one in job.observers if isinstance(one, Reference))
    reference.kept = load_file(dpo.folder / "reference.safetensors")
    reference.start(Engine(job.model, job.turns))
    assert torch.equal(job.batches.reference, reference.kept["train"])
    assert float(job.batches.reference.abs().min()) > 0


def test_answers_that_find_no_end_are_told_from_those_that_do(dpo: Run) -> None:
    job = dpo.job()
    language: Any = dpo.load(job)
    torch.nn.init.zeros_(language.embedding.weight)  # every token is as likely as any other
    found = answers(language, job.data)
    for row in found.tolist():
        assert (row[-1] == GOES_ON) == (0 not in row[:-1])


def test_endings_are_compared_question_by_question() -> None:
    goes, ends = [3, 4, GOES_ON], [3, 0, 0]
    before, after = torch.tensor([goes, goes, ends, ends]), torch.tensor([ends, ends, ends, goes])
    found = {metric.name: metric.value for metric in endings(before, after)}
    assert found == pytest.approx({"ends": 0.75, "ended_before": 0.5, "more_end": 0.25})
