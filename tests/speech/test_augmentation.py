"""Augmentations of sound, each against its formula; and the contract of a method, on a problem of sound."""

from __future__ import annotations

import copy
import itertools
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.loop import Engine, Turn
from locution.engine.method import Method, Plan, Step, ordered
from locution.engine.observer import Observer, Record, Stop
from locution.errors import UserError
from locution.speech.augmentation import ON_SOUND, refuse_with_cache
from locution.speech.augmentation.frame_dropout import FrameDropoutMethod, drop_frames
from locution.speech.augmentation.frame_masking import FrameMaskingMethod, mask_frames
from locution.speech.augmentation.noise import NoiseMethod, add_noise
from locution.speech.augmentation.reverberation import ReverberationMethod, convolve, room_responses
from locution.speech.augmentation.silence import SilenceMethod
from locution.speech.augmentation.sound import frames_of
from locution.speech.augmentation.spec_augment import SpecAugmentMethod
from locution.speech.augmentation.speed import SpeedMethod, play
from locution.speech.augmentation.stripes import stripes
from locution.speech.logmel import log_mel_padded
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import IGNORED, Recogniser, transcript_objective
from locution.speech.utterances import Utterances

LENGTHS = [4000, 2500, 4800, 3200, 1600, 4800]
TEXTS = ["one two", "nine", "turn the light on", "off", "six six", "five four three"]
METHODS = [
    SilenceMethod(share=0.3),
    SpeedMethod(),
    ReverberationMethod(),
    NoiseMethod(),
    SpecAugmentMethod(),
    FrameMaskingMethod(),
    FrameDropoutMethod(),
]


def clips() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(n, generator=draw) for n in LENGTHS]


def sound() -> tuple[Tensor, Tensor]:
    waves = torch.nn.utils.rnn.pad_sequence(clips(), batch_first=True)
    return waves, torch.tensor(LENGTHS)


def batch(**more: Tensor) -> Batch:
    waves, lengths = sound()
    return Batch({"waves": waves, "lengths": lengths, **more})


def step(number: int = 0, model: nn.Module | None = None) -> Step:
    return Step(number, 0, Plan(seed=0), model or nn.Identity())


def recogniser(language_model: Any, tokenizer: Any, encoder: nn.Module) -> Recogniser:
    torch.manual_seed(0)
    projector = MLPProjector(24, 32, gain=0.3, stack=2)
    return Recogniser(projector, language_model, tokenizer, encoder=encoder)


def behind(waves: Tensor, lengths: Tensor) -> Tensor:
    return waves[torch.arange(waves.shape[1]) >= lengths[:, None]]


# Noise -----------------------------------------------------------------------------------------------------


def test_noise_lies_exactly_so_many_decibels_below_each_clip() -> None:
    waves, lengths = sound()
    waves, draw = waves.double(), torch.Generator().manual_seed(1)
    noise = torch.randn(waves.shape, generator=draw, dtype=torch.float64)
    wanted = torch.tensor([-5.0, 0.0, 10.0, 20.0, 35.5, 60.0], dtype=torch.float64)
    mixed = add_noise(waves, lengths, noise, wanted)
    for row, count in enumerate(LENGTHS):
        speech, rest = waves[row, :count], (mixed - waves)[row, :count]
        found = 10 * torch.log10(speech.square().mean() / rest.square().mean())
        assert found.item() == pytest.approx(wanted[row].item(), abs=1e-6)
    assert not behind(mixed, lengths).any()


def test_noise_comes_to_its_share_of_clips_within_its_bounds() -> None:
    found = []
    for number in range(100):
        mixed = NoiseMethod(share=0.3, low=5, high=15).batch(batch(), step(number)).inputs["waves"]
        for row, count in enumerate(LENGTHS):
            rest = (mixed - batch().inputs["waves"])[row, :count]
            power = batch().inputs["waves"][row, :count].square().mean()
            found.append(10 * torch.log10(power / rest.square().mean()).item() if rest.any() else None)
    levels = [level for level in found if level is not None]
    assert len(levels) / len(found) == pytest.approx(0.3, abs=0.06)
    assert 4.99 < min(levels) < 6
    assert 14 < max(levels) < 15.01
    assert np.mean(levels) == pytest.approx(10, abs=0.8)


def test_a_silent_clip_stays_silent() -> None:
    quiet = Batch({"waves": torch.zeros(2, 900), "lengths": torch.tensor([900, 500])})
    for method in (NoiseMethod(share=1.0), ReverberationMethod(share=1.0), SpeedMethod()):
        waves = method.batch(quiet, step()).inputs["waves"]
        assert not waves.any()
        assert torch.isfinite(waves).all()


# Rooms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_echoes_fall_by_sixty_decibels_in_their_time(seconds: float) -> None:
    """The energy still to come (Schroeder's integral) is a line in decibels; its slope is the reverberation time."""
    draw = torch.Generator().manual_seed(0)
    responses = room_responses(torch.full((8,), seconds), 0.0, draw).double()
    for tail in responses[:, 1:]:
        rest = tail.square().flip(0).cumsum(0).flip(0)
        decibels = 10 * torch.log10(rest / rest[0])
        early = (decibels < -5) & (decibels > -35)
        time = torch.arange(len(tail)).double()[early] / 16000
        slope = np.polyfit(time.numpy(), decibels[early].numpy(), 1)[0]
        assert -60 / slope == pytest.approx(seconds, rel=0.06)


def test_the_direct_sound_is_so_many_decibels_above_its_echoes() -> None:
    responses = room_responses(torch.tensor([0.1, 0.7]), 6.0, torch.Generator().manual_seed(0))
    assert responses.shape == (2, 11200)
    echoes = responses[:, 1:].square().sum(1)
    torch.testing.assert_close(10 * torch.log10(1 / echoes), torch.tensor([6.0, 6.0]))
    assert responses[0, 1600:].square().sum() / echoes[0] < 1e-4


def test_a_room_is_a_convolution() -> None:
    waves, lengths = sound()
    waves = waves.double()
    responses = torch.randn(6, 700, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = convolve(waves, lengths, responses)
    assert found.shape == waves.shape
    for row, count in enumerate(LENGTHS):
        expected = np.convolve(waves[row, :count].numpy(), responses[row].numpy())[:count]
        np.testing.assert_allclose(found[row, :count].numpy(), expected, atol=1e-10)
    assert not behind(found, lengths).any()


def test_a_clip_in_a_room_keeps_its_loudness_and_its_length() -> None:
    before = batch()
    after = ReverberationMethod(share=1.0).batch(before, step())
    assert torch.equal(after.inputs["lengths"], before.inputs["lengths"])
    powers = [one.inputs["waves"].square().sum(1) for one in (before, after)]
    torch.testing.assert_close(*powers, rtol=1e-4, atol=0)
    assert not torch.allclose(after.inputs["waves"], before.inputs["waves"], atol=1e-3)
    assert not behind(after.inputs["waves"], after.inputs["lengths"]).any()
    some = ReverberationMethod(share=0.5).batch(before, step()).inputs["waves"]
    same = [torch.equal(one, other) for one, other in zip(some, before.inputs["waves"], strict=True)]
    assert 0 < sum(same) < 6


# Speed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [Fraction(9, 10), Fraction(11, 10), Fraction(4, 5), Fraction(107, 100)])
def test_a_tone_that_is_played_faster_is_shorter_and_higher(pace: Fraction) -> None:
    time = torch.arange(16000, dtype=torch.float64) / 16000
    swell = torch.sin(torch.pi * time).square()  # in and out, so that nothing begins at once
    played = play((swell * torch.sin(2 * torch.pi * 1000 * time))[None], pace)[0]
    assert len(played) == -(-16000 * pace.denominator // pace.numerator)
    time = torch.arange(len(played), dtype=torch.float64) / 16000 * float(pace)
    expected = torch.sin(torch.pi * time).square() * torch.sin(2 * torch.pi * 1000 * time)
    torch.testing.assert_close(played[time <= 1], expected[time <= 1], rtol=0, atol=1e-5)


def test_what_would_be_too_high_to_hold_is_gone_and_not_folded_back() -> None:
    time = torch.arange(16000, dtype=torch.float64) / 16000
    tone = torch.sin(torch.pi * time).square() * torch.sin(2 * torch.pi * 7600 * time)
    assert play(tone[None], Fraction(11, 10)).abs().max() < 1e-3  # 8,360 Hz
    assert play(tone[None], Fraction(9, 10)).abs().max() > 0.9


def test_playing_agrees_with_soxr() -> None:
    import soxr

    wave = torch.randn(16000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = torch.fft.rfft(wave)
    spectrum[6000:] = 0  # below what any filter touches
    wave = torch.fft.irfft(spectrum) * torch.sin(torch.pi * torch.arange(16000) / 16000).square()
    expected = soxr.resample(wave.numpy(), 11, 10, quality="VHQ")
    found = play(wave[None], Fraction(11, 10))[0].numpy()
    assert abs(len(found) - len(expected)) <= 1
    np.testing.assert_allclose(found[:14000], expected[:14000], atol=1e-4)


def test_a_third_of_the_clips_goes_each_way_and_lengths_follow() -> None:
    seen = []
    for number in range(60):
        before, after = batch(), SpeedMethod().batch(batch(), step(number))
        waves, lengths = after.inputs["waves"], after.inputs["lengths"]
        assert waves.shape[1] == int(lengths.max())
        assert not behind(waves, lengths).any()
        for row, count in enumerate(LENGTHS):
            pace = {-(-count * 10 // 9): "slow", count: "same", -(-count * 10 // 11): "fast"}[int(lengths[row])]
            seen.append(pace)
            if pace == "same":
                assert torch.equal(waves[row, :count], before.inputs["waves"][row, :count])
            else:
                alone = play(before.inputs["waves"][row : row + 1, :count], Fraction(9 if pace == "slow" else 11, 10))
                torch.testing.assert_close(waves[row, : lengths[row]], alone[0], rtol=0, atol=6e-3)  # they ring apart
    assert all(seen.count(pace) / len(seen) == pytest.approx(1 / 3, abs=0.08) for pace in ("slow", "same", "fast"))


def test_a_clip_that_an_encoder_could_not_hear_whole_keeps_its_pace() -> None:
    lengths = {int(SpeedMethod(longest=0.25).batch(batch(), step(n)).inputs["lengths"][0]) for n in range(20)}
    assert lengths == {4000, 3637}  # never 4,445 samples, 0.28 s


# Stripes ---------------------------------------------------------------------------------------------------


def test_stripes_are_as_many_and_as_wide_as_they_may_be() -> None:
    draw = torch.Generator().manual_seed(0)
    counts = torch.tensor([30, 12, 3]).repeat(4000)
    hidden = stripes(counts, 30, 1, 6, draw)
    widths = hidden.sum(1)
    assert not hidden[torch.arange(30) >= counts[:, None]].any()
    edges = hidden.int().diff(dim=1, prepend=torch.zeros(12000, 1).int())
    assert (edges == 1).sum(1).max() == 1  # one stripe, whole
    for first, most in ((0, 6), (1, 6), (2, 3)):
        shares = torch.bincount(widths[first::3], minlength=8) / 4000
        even = torch.zeros(8).index_fill(0, torch.arange(most + 1), 1 / (most + 1))  # uniform from 0
        torch.testing.assert_close(shares, even, rtol=0, atol=0.025)
    inner = hidden[0::3].float().mean(0)
    assert inner[5:25].max() - inner[5:25].min() < 0.04  # every place alike
    assert stripes(counts, 30, 3, torch.full((12000,), 2), draw).sum(1).max() == 6


def test_spec_augment_blanks_bands_and_times_within_bounds() -> None:
    mel, lengths = log_mel_padded(*sound())
    given = Batch({"mel": mel, "lengths": lengths})
    method = SpecAugmentMethod(bands=9, times=4, most=0.1)
    for number in range(30):
        found = method.batch(given, step(number)).inputs["mel"]
        for row, count in enumerate(lengths.tolist()):
            changed = found[row, :count] != mel[row, :count]  # (F, M)
            bands, times = changed.all(0), changed.all(1)
            assert torch.equal(changed, bands | times[:, None])  # whole stripes and nothing else
            assert bands.sum() <= 2 * 9
            assert times.sum() <= 2 * min(4, int(0.1 * count))
            filled = found[row, :count][changed]
            torch.testing.assert_close(filled, mel[row, :count].mean().expand_as(filled), rtol=0, atol=1e-5)
            assert not found[row, count:].any()


def test_spec_augment_makes_the_spectrogram_of_samples_on_the_way(
    language_model: Any, tokenizer: Any, tiny_encoder: nn.Module
) -> None:
    model = recogniser(language_model, tokenizer, tiny_encoder)
    text = {"text": torch.zeros(6, 1).long(), "text_lengths": torch.ones(6).long()}
    changed = SpecAugmentMethod().batch(batch(**text), step(3, model))
    mel, lengths = log_mel_padded(*sound())
    assert set(changed.inputs) == {"mel", "lengths", "text", "text_lengths"}  # the samples are spent
    direct = SpecAugmentMethod().batch(Batch({"mel": mel, "lengths": lengths}), step(3))
    torch.testing.assert_close(changed.inputs["mel"], direct.inputs["mel"])
    assert torch.equal(changed.inputs["lengths"], lengths)
    assert torch.isfinite(model(changed.inputs)).all()


# Frames ----------------------------------------------------------------------------------------------------


def test_masked_frames_are_whole_and_few() -> None:
    frames, lengths = torch.ones(300, 40, 3), torch.randint(1, 41, (300,), generator=torch.Generator().manual_seed(0))
    hidden = mask_frames(frames, lengths, 2, 5, torch.Generator().manual_seed(1)) == 0
    assert torch.equal(hidden.all(2), hidden.any(2))
    counts = hidden.all(2).sum(1)
    assert counts.max() <= 10
    assert counts.float().mean() == pytest.approx(4.3, abs=0.5)  # two of 2.5, overlaps apart
    assert not hidden[torch.arange(40) >= lengths[:, None]].any()
    assert mask_frames(frames.bfloat16(), lengths, 2, 5, torch.Generator()).dtype == torch.bfloat16


def test_dropped_frames_leave_the_mean() -> None:
    frames = torch.rand(64, 50, 3, generator=torch.Generator().manual_seed(0))
    dropped = drop_frames(frames, 0.2, torch.Generator().manual_seed(1))
    gone = (dropped == 0).all(2)
    assert gone.float().mean() == pytest.approx(0.2, abs=0.02)
    torch.testing.assert_close(dropped[~gone], frames[~gone] / 0.8)
    assert dropped.mean() == pytest.approx(frames.mean().item(), rel=0.02)
    assert drop_frames(frames.bfloat16(), 0.2, torch.Generator()).dtype == torch.bfloat16


@pytest.mark.parametrize("method", [FrameMaskingMethod(), FrameDropoutMethod()], ids=lambda one: one.name)
def test_frames_are_changed_alike_cached_or_fresh(
    language_model: Any, tokenizer: Any, tiny_encoder: nn.Module, method: Method
) -> None:
    model = recogniser(language_model, tokenizer, tiny_encoder)
    frames, lengths = model.hear(batch().inputs)
    cached = method.batch(Batch({"frames": frames, "lengths": lengths}), step(1)).inputs
    fresh = method.batch(batch(), step(1, model)).inputs
    assert torch.equal(cached["frames"], fresh["frames"])
    assert torch.equal(cached["lengths"], fresh["lengths"])


def test_many_clips_are_heard_a_few_at_a_time(language_model: Any, tokenizer: Any, tiny_encoder: nn.Module) -> None:
    model = recogniser(language_model, tokenizer, tiny_encoder)
    waves, lengths = (torch.cat([part] * 12) for part in sound())  # 72 clips
    waves[:64], lengths[:64] = 0, 1600  # the longest are in the last part
    waves[:64, :1600] = 0.1
    frames, counts = frames_of(Batch({"waves": waves, "lengths": lengths}), step(0, model), "frame_dropout")
    expected, expected_counts = model.hear({"waves": waves, "lengths": lengths})
    assert torch.equal(counts, expected_counts)
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(frames[row, :count], expected[row, :count])


# Silence ---------------------------------------------------------------------------------------------------


def test_silence_examples_hold_noise_and_say_nothing(
    language_model: Any, tokenizer: Any, tiny_encoder: nn.Module
) -> None:
    model = recogniser(language_model, tokenizer, tiny_encoder)
    data = Utterances.of(model, clips(), TEXTS, sound="waves").batch(range(6))
    emptied, perfect, levels = 0, 0, []
    for number in range(80):
        changed = SilenceMethod(share=0.4).batch(data, step(number))
        written = changed.inputs["text_lengths"]
        assert torch.equal(changed.weights, written.float())
        assert torch.equal((changed.targets != IGNORED).sum(1), written)
        assert not behind(changed.inputs["waves"], changed.inputs["lengths"]).any()
        for row, count in enumerate(LENGTHS):
            if torch.equal(changed.inputs["waves"][row], data.inputs["waves"][row]):
                assert torch.equal(changed.targets[row], data.targets[row])
                continue
            emptied += 1
            assert changed.targets[row].tolist() == [IGNORED] * (data.targets.shape[1] - 1) + model.end
            level = changed.inputs["waves"][row, :count].square().mean()
            perfect += int(level == 0)
            levels += [10 * torch.log10(level).item()] if level else []
    assert emptied / 480 == pytest.approx(0.4, abs=0.07)
    assert perfect / emptied == pytest.approx(0.1, abs=0.06)
    assert -51 < min(levels) < -45
    assert -15 < max(levels) < -9
    _, loss = transcript_objective(model, SilenceMethod(share=1.0).batch(data, step()))
    assert torch.isfinite(loss)


def test_silence_needs_transcripts_to_take_away() -> None:
    with pytest.raises(UserError, match="'silence' came upon clips without transcripts"):
        SilenceMethod(share=1.0).batch(batch(), step())


# What cannot be combined -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ON_SOUND, ids=lambda kind: kind.name)
def test_what_changes_sound_and_the_cache_are_refused_together(kind: type[Method]) -> None:
    cached = Batch({"frames": torch.zeros(2, 5, 3), "lengths": torch.tensor([5, 4])})
    for refuse in (lambda: refuse_with_cache([FrameDropoutMethod(), kind()]), lambda: kind().batch(cached, step())):
        with pytest.raises(UserError, match=r"data\.cache=false") as refused:
            refuse()
        assert kind.name in str(refused.value)
        assert "\n" not in str(refused.value)
    refuse_with_cache([FrameDropoutMethod(), FrameMaskingMethod()])


def test_kept_spectrograms_take_stripes_and_no_noise() -> None:
    kept = Batch({"mel": torch.randn(2, 60, 80), "lengths": torch.tensor([60, 40])})
    assert not torch.equal(SpecAugmentMethod().batch(kept, step()).inputs["mel"], kept.inputs["mel"])
    with pytest.raises(UserError, match="this recipe keeps its sounds as spectrograms; allowed: "):
        NoiseMethod().batch(kept, step())


def test_frames_are_refused_where_nobody_can_make_them() -> None:
    with pytest.raises(UserError, match="'frame_dropout' needs a recogniser's encoder; this recipe trains a Identity"):
        FrameDropoutMethod().batch(batch(), step())


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (NoiseMethod, {"low": 10.0, "high": 5.0}, "noise.high is 5.0; allowed: decibels from 10"),
        (ReverberationMethod, {"low": 0.5, "high": 0.2}, "reverberation.high is 0.2; allowed: seconds from 0.5"),
        (SpeedMethod, {"spread": 0.9}, "speed.spread is 0.9"),
        (FrameDropoutMethod, {"rate": 1.0}, "frame_dropout.rate is 1.0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind: Any, settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind(**settings)


# The contract of a method ----------------------------------------------------------------------------------


def train(
    model: Recogniser, methods: list[Method], steps: int = 5, *, state: Any = None, **settings: Any
) -> dict[str, Tensor]:
    data = Utterances.of(model, clips(), TEXTS, batch_size=4, sound="waves")
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-2))
    engine = Engine(model, turn, methods, device="cpu", log_every=1, **settings)
    if state is not None:
        engine.load_state_dict(state)
    engine.fit(data, steps=steps)
    return {name: weight.detach().clone() for name, weight in model.projector.named_parameters()}


CASES = [*([method] for method in METHODS), METHODS]


def names(methods: list[Method]) -> str:
    return "+".join(method.name for method in methods)


@pytest.mark.parametrize("methods", CASES, ids=names)
def test_it_trains_repeats_itself_and_goes_on_to_the_bit(
    language_model: Any, tokenizer: Any, tiny_encoder: nn.Module, methods: list[Method]
) -> None:
    make = partial(recogniser, language_model, tokenizer, tiny_encoder)
    whole = train(make(), methods)
    plain = train(make(), [])
    assert all(torch.isfinite(weight).all() for weight in whole.values())
    assert any(not torch.equal(whole[name], plain[name]) for name in plain), "at its defaults it does something"
    kept: dict[str, Any] = {}

    class Kill(Observer):
        name = "kill"
        engine: Engine | None = None

        def start(self, engine: Engine) -> None:
            self.engine = engine

        def watch(self, record: Record) -> Stop | None:
            if record.kind != "step" or record.step != 3 or self.engine is None:
                return None
            kept.update(copy.deepcopy(self.engine.state_dict()))
            return Stop("killed")

    torch.manual_seed(99)  # nothing is drawn from torch's own generator
    train(make(), methods, observers=[Kill()])
    kept["observers"].pop("kill", None)
    again = train(make(), methods, state=kept)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("methods", CASES, ids=names)
def test_micro_batches_equal_the_whole_batch(
    language_model: Any, tokenizer: Any, tiny_encoder: nn.Module, methods: list[Method]
) -> None:
    model = recogniser(language_model, tokenizer, tiny_encoder)
    data = Utterances.of(model, clips(), TEXTS, batch_size=6, sound="waves")
    found = []
    for accumulate in (1, 4):
        made = recogniser(language_model, tokenizer, tiny_encoder)
        turn = Turn(transcript_objective, partial(torch.optim.SGD, lr=0.1))
        Engine(made, turn, methods, device="cpu", accumulate=accumulate).fit(data, steps=2)
        found.append(made.projector.enter.weight.detach())
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-3)


def test_they_act_in_the_order_of_sound_however_they_are_listed() -> None:
    expected = ["silence", "speed", "reverberation", "noise", "spec_augment", "frame_masking", "frame_dropout"]
    for listed in itertools.islice(itertools.permutations(METHODS), 0, 5040, 101):
        assert [method.name for method in ordered(listed)] == expected


def test_all_passes_of_a_step_hear_the_same(language_model: Any, tokenizer: Any, tiny_encoder: nn.Module) -> None:
    from locution.optimizers.sam import SAMMethod

    model, seen = recogniser(language_model, tokenizer, tiny_encoder), []

    def objective(model: nn.Module, batch: Batch) -> Any:
        seen.append(batch.inputs["frames"])
        return transcript_objective(model, batch)

    data = Utterances.of(model, clips(), TEXTS, batch_size=6, sound="waves")
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    Engine(model, turn, [*METHODS, SAMMethod()], device="cpu").fit(data, steps=2)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
