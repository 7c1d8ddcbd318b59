"""Does it listen: a healthy training is never stopped, one on transcripts of other clips always is."""

from __future__ import annotations

import copy
import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from locution.engine.batch import Batch
from locution.engine.loop import Engine, Turn
from locution.engine.observer import Observer, Record, Stop
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting
from locution.speech.listener import Listening, usual_cliff
from locution.speech.listening import Comparison, derangement, gap, likeness, partners, utterance_losses
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import Recogniser, embedding_scale, transcript_objective
from locution.speech.utterances import Utterances
from locution.tasks.watching import watchers

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def spoken(count: int, seed: int) -> tuple[list[torch.Tensor], list[str]]:
    """Sentences of three number words; each word sounds like four frames of its own, a little blurred."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(len(NUMBERS), (count, 3), generator=draw)
    voice = torch.eye(24)[: len(NUMBERS)] * 4
    frames = voice[words].repeat_interleave(4, 1) + 0.1 * torch.randn(count, 12, 24, generator=draw)
    return list(frames), [" ".join(NUMBERS[i] for i in row) for row in words.tolist()]


def make(language_model: Any, tokenizer: Any, seed: int = 0) -> Recogniser:
    torch.manual_seed(seed)
    projector = MLPProjector(24, 32, gain=embedding_scale(language_model), stack=2)
    return Recogniser(projector, language_model, tokenizer)


def training(recogniser: Recogniser, *, wrong: bool = False, size: int = 16) -> Utterances:
    frames, texts = spoken(200, 1)
    if wrong:  # every sound with the transcript of another one
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(5)).tolist()
        texts = [texts[i] for i in order]
    return Utterances.of(recogniser, frames, texts, batch_size=size)


def development(recogniser: Recogniser, count: int = 32) -> Batch:
    frames, texts = spoken(count, 2)
    return Utterances.of(recogniser, frames, texts).batch(range(count))


def trained(
    recogniser: Recogniser, watcher: Observer, *, wrong: bool = False, steps: int = 100, **settings: Any
) -> Engine:
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.0))
    engine = Engine(recogniser, turn, observers=[watcher], device="cpu", log_every=10, **settings)
    return engine.fit(training(recogniser, wrong=wrong), steps=steps)


# The study in small ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_training_that_listens_is_never_stopped(language_model: Any, tokenizer: Any, seed: int) -> None:
    recogniser = make(language_model, tokenizer, seed)
    watcher = Listening(development(recogniser), every=20, patience=40)
    engine = trained(recogniser, watcher, seed=seed, steps=80)
    assert (engine.number, engine.stopping, watcher.notes) == (80, "finished", [])


@pytest.mark.parametrize("seed", range(5))
def test_a_training_on_transcripts_of_other_clips_always_is(language_model: Any, tokenizer: Any, seed: int) -> None:
    recogniser = make(language_model, tokenizer, seed)
    watcher = Listening(development(recogniser), every=20, patience=40)
    engine = trained(recogniser, watcher, wrong=True, seed=seed, steps=150)
    assert engine.number < 150
    assert engine.stopping.startswith("after ")
    assert "does not listen" in engine.stopping
    assert "transcript belongs to its sound" in watcher.notes[0]  # what to check
    assert "\n" not in engine.stopping


# What is compared ------------------------------------------------------------------------------------------


def test_the_gap_is_that_of_the_objective_on_the_same_clips(language_model: Any, tokenizer: Any) -> None:
    """The oracle: the training objective itself, on batches whose audio was exchanged by hand."""
    recogniser = make(language_model, tokenizer)
    batch = development(recogniser, 20)
    order = partners(batch)
    shuffled, silenced = Comparison(batch).measure(recogniser.train())
    assert recogniser.projector.training
    assert not recogniser.language_model.training
    frames = batch.inputs["frames"]
    with torch.no_grad():
        losses = [
            float(transcript_objective(recogniser, Batch(batch.inputs | {"frames": other}, batch.targets))[1])
            for other in (frames, frames[torch.tensor(order)], torch.zeros_like(frames))
        ]
    assert shuffled.value == pytest.approx(losses[1] - losses[0], abs=1e-5)
    assert silenced.value == pytest.approx(losses[2] - losses[0], abs=1e-5)


def test_losses_of_utterances_do_not_depend_on_who_is_measured_with_them(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    batch = development(recogniser, 20)  # more than are measured at a time
    together = utterance_losses(recogniser, batch)
    alone = torch.cat([utterance_losses(recogniser, batch.rows(i, i + 1)) for i in range(20)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_error_of_a_gap_is_that_of_many_draws() -> None:
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(2000):
        tokens = torch.randint(1, 20, (16,), generator=draw)
        more = 0.5 * tokens + torch.randn(16, generator=draw)
        found.append(gap(more, torch.zeros(16), tokens))
    values = torch.tensor([one.value for one in found])
    assert values.mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.tensor([one.error for one in found]).mean().item() == pytest.approx(values.std().item(), rel=0.1)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_derangement_is_one_and_cheap(count: int) -> None:
    for seed in range(20):
        costs = torch.rand(count, count, generator=torch.Generator().manual_seed(seed))
        found = derangement(costs)
        assert sorted(found) == list(range(count))
        assert all(other != i for i, other in enumerate(found))
        every = [o for o in itertools.permutations(range(count)) if all(j != i for i, j in enumerate(o))]
        sums = sorted(sum(costs[i, j].item() for i, j in enumerate(o)) for o in every)
        mine = sum(costs[i, j].item() for i, j in enumerate(found))
        assert mine <= sums[len(sums) // 2] + 1e-6  # among the better half
        if count <= 3:
            assert mine == pytest.approx(sums[0])


def test_partners_are_unlike_in_words_and_alike_in_length() -> None:
    texts = [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8], [5, 6, 7, 9]]
    lengths = torch.tensor([10, 100, 100, 10])
    order = partners(Batch({"frames": torch.zeros(4, 100, 1), "lengths": lengths}, torch.tensor(texts)))
    assert order == [3, 2, 1, 0]
    assert likeness(texts)[0].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_clips_that_say_the_same_tell_nothing_and_stop_nothing(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    frames, _ = spoken(16, 2)
    same = Utterances.of(recogniser, frames, ["one two"] * 16).batch(range(16))
    watcher = Listening(same, every=10, patience=10)
    engine = trained(recogniser, watcher, wrong=True, steps=40)
    assert (engine.number, watcher.notes) == (40, [])
    mixed = Utterances.of(recogniser, frames, ["one two"] * 14 + ["nine", "off"]).batch(range(16))
    assert 2 <= len(Comparison(mixed).batch) <= 4


def test_silence_alone_would_deceive(language_model: Any, tokenizer: Any) -> None:
    """A model that does not listen may still be confused by silence, which it never met."""
    recogniser = make(language_model, tokenizer)
    trained(recogniser, Observer(), wrong=True, steps=60)
    shuffled, silenced = Comparison(development(recogniser)).measure(recogniser)
    assert silenced.value > 0.3 > 0.1 > shuffled.value


def test_samples_are_compared_as_frames_are(language_model: Any, tokenizer: Any, tiny_encoder: nn.Module) -> None:
    torch.manual_seed(0)
    projector = MLPProjector(24, 32, gain=0.3, stack=2)
    recogniser = Recogniser(projector, language_model, tokenizer, encoder=tiny_encoder)
    waves = [torch.randn(2000 + 2000 * (i // 2)) for i in range(4)]
    heard = [recogniser.hear({"waves": wave[None], "lengths": torch.tensor([len(wave)])})[0][0] for wave in waves]
    texts = ["one two", "off", "nine", "turn on"]
    fresh = Comparison(Utterances.of(recogniser, waves, texts, sound="waves").batch(range(4))).measure(recogniser)
    cached = Comparison(Utterances.of(recogniser, heard, texts).batch(range(4))).measure(recogniser)
    assert fresh[0].value == pytest.approx(cached[0].value, abs=1e-4)


# The observer ----------------------------------------------------------------------------------------------


def seen(watcher: Listening, *gaps: tuple[int, float]) -> list[Stop | None]:
    return [watcher.watch(Record("step", s, 0, 1.0, 0.1, 0, 0.0, {"listening_gap": g})) for s, g in gaps]


def test_two_closed_gaps_in_a_row_past_the_cliff_stop(language_model: Any, tokenizer: Any) -> None:
    batch = development(make(language_model, tokenizer))
    assert not any(seen(Listening(batch, patience=100), (50, 0.0), (99, 0.0), (100, 0.0)))
    assert not any(seen(Listening(batch, patience=100), (100, 0.0), (150, 0.2), (200, 0.0), (250, 0.1)))
    assert seen(Listening(batch, patience=100), (100, 0.09), (150, -0.3))[1] is not None
    told = Listening(batch, patience=100, stop=False)
    assert not any(seen(told, (100, 0.0), (150, 0.0), (200, 0.0)))
    assert told.watch(Record("step", 300, 0, 1.0, 0.1, 0, 0.0)) is None


def test_the_cliff_follows_the_length_of_the_run(language_model: Any, tokenizer: Any) -> None:
    assert [usual_cliff(steps) for steps in (1, 599, 602, 4000, 4001, 10**6)] == [300, 300, 301, 2000, 2000, 2000]
    recogniser = make(language_model, tokenizer)
    watcher = Listening(development(recogniser))
    trained(recogniser, watcher, steps=4)
    assert watcher.patience == 300


def test_a_short_training_is_asked_once_at_its_end(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    watcher = Listening(development(recogniser), every=20)
    engine = trained(recogniser, watcher, wrong=True, steps=60)
    assert engine.stopping == "finished"
    assert watcher.notes[0].startswith("after 60 steps the model does not listen")


def test_watching_changes_nothing(language_model: Any, tokenizer: Any) -> None:
    def weights(observers: list[Observer], **settings: Any) -> torch.Tensor:
        recogniser = make(language_model, tokenizer)
        turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-2))
        data = training(recogniser)
        Engine(recogniser, turn, observers=observers, device="cpu", log_every=1, **settings).fit(data, steps=4)
        return recogniser.projector.enter.weight.detach()

    batch = development(make(language_model, tokenizer))
    for settings in ({}, {"precision": "bf16"}, {"accumulate": 3}):
        assert torch.equal(weights([], **settings), weights([Listening(batch, every=1)], **settings))


def test_a_run_that_was_stopped_asks_on_where_it_was(language_model: Any, tokenizer: Any) -> None:
    asked: list[int] = []

    class Asked(Observer):
        name = "asked"

        def watch(self, record: Record) -> Stop | None:
            if "listening_gap" in record.values:
                asked.append(record.step)
            return None

    recogniser = make(language_model, tokenizer)
    batch, kept = development(recogniser), {}

    class Kill(Observer):
        name = "kill"
        engine: Engine | None = None

        def start(self, engine: Engine) -> None:
            self.engine = engine

        def watch(self, record: Record) -> Stop | None:
            if record.step != 13 or self.engine is None:
                return None
            kept.update(copy.deepcopy(self.engine.state_dict()))
            return Stop("killed")

    turn = partial(Turn, transcript_objective, partial(torch.optim.SGD, lr=1e-2))
    settings: Any = {"device": "cpu", "log_every": 4}
    first = [Listening(batch, every=10), Asked(), Kill()]
    Engine(recogniser, turn(), observers=first, **settings).fit(training(recogniser), steps=30)
    again = Engine(recogniser, turn(), observers=[Listening(batch, every=10), Asked()], **settings)
    kept["observers"].pop("kill", None)
    again.load_state_dict(kept)
    again.fit(training(recogniser), steps=30)
    assert asked == [1, 13, 21]  # the first step, then the first logged ones from step 10 and from step 20


def test_watchers_of_a_recogniser(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    frames, texts = spoken(30, 2)
    texts[3] = ""  # a clip of nothing tells nothing
    data = Utterances.of(recogniser, frames, texts, batch_size=8, shuffle=False)
    found = {watcher.name: watcher for watcher in watchers(recogniser, data, 0)}
    assert list(found) == ["gradient_norms", "overfitting", "listening"]
    assert isinstance(found["overfitting"], Overfitting)
    listener = found["listening"]
    assert isinstance(listener, Listening)
    assert len(listener.batch) == 16
    assert (listener.batch.weights > 1).all()
    turn = Turn(transcript_objective, partial(torch.optim.SGD, lr=1e-2))
    records: list[Record] = []

    class Keep(Observer):
        name = "keep"

        def watch(self, record: Record) -> None:
            records.append(record)

    Engine(recogniser, turn, observers=[*found.values(), Keep()], device="cpu").fit(data, epochs=1)
    assert math.isfinite(records[0].values["listening_gap"])
    assert records[-1].values["development_loss"] > 0
    one = Utterances.of(recogniser, frames[:1], texts[:1], shuffle=False)
    assert [watcher.name for watcher in watchers(recogniser, one, 0)] == ["gradient_norms", "overfitting"]


@pytest.mark.parametrize(("setting", "came"), [("every", 0), ("patience", 0), ("least", 0.0)])
def test_settings_out_of_range_are_refused(language_model: Any, tokenizer: Any, setting: str, came: float) -> None:
    batch = development(make(language_model, tokenizer))
    with pytest.raises(UserError, match=f"listening.{setting} is"):
        Listening(batch, **{setting: came})
    with pytest.raises(UserError, match="two utterances"):
        Listening(batch.rows(0, 1))
