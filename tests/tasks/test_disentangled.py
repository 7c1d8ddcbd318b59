"""What beta-VAE and FactorVAE promise, on sprites and over five seeds: causes told apart further than by a VAE."""

from __future__ import annotations

from pathlib import Path

import pytest

from locution.runs import train

SEEDS = range(5)


@pytest.mark.long
def test_causes_are_told_apart_further_than_by_a_plain_vae(tmp_path: Path) -> None:
    gaps: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    for recipe in ("sprites", "sprites/beta", "sprites/factor"):
        for seed in SEEDS:
            run = train(recipe, f"seed={seed}", f"run_dir={tmp_path}/{recipe}-{seed}", quiet=True)
            found = run.results["metrics"]
            gaps.setdefault(recipe, []).append(found["mutual_information_gap"]["value"])
            scores.setdefault(recipe, []).append(found["disentanglement"]["value"])
    plain = sum(gaps["sprites"]) / len(SEEDS)
    for recipe in ("sprites/beta", "sprites/factor"):
        assert sum(gaps[recipe]) / len(SEEDS) > plain + 0.03, gaps
        ahead = sum(more > less for more, less in zip(gaps[recipe], gaps["sprites"], strict=True))
        assert ahead >= 4, gaps
    assert sum(scores["sprites/factor"]) > sum(scores["sprites"]) + 0.2, scores
