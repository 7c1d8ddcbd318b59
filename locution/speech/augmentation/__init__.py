"""Augmentation of speech: methods that change what is heard, on the device, drawn once a step."""

from __future__ import annotations

from collections.abc import Iterable

from locution.engine.method import Method
from locution.errors import UserError
from locution.speech.augmentation.noise import NoiseMethod
from locution.speech.augmentation.reverberation import ReverberationMethod
from locution.speech.augmentation.silence import SilenceMethod
from locution.speech.augmentation.sound import CACHED
from locution.speech.augmentation.spec_augment import SpecAugmentMethod
from locution.speech.augmentation.speed import SpeedMethod

ON_SOUND = (SilenceMethod, SpeedMethod, ReverberationMethod, NoiseMethod, SpecAugmentMethod)


def refuse_with_cache(methods: Iterable[Method]) -> None:
    """Refuse methods that change the sound itself where the encoder's frames come from a cache, which never change.

    >>> refuse_with_cache([NoiseMethod()])
    Traceback (most recent call last):
    locution.errors.UserError: '+noise' changes sounds, which are not in the cache of encoder frames; allowed: ...
    """
    for method in methods:
        if isinstance(method, ON_SOUND):
            raise UserError(f"'+{method.name}' changes sounds, {CACHED}.")
