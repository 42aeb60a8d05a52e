"""The embedded data set: what its labels depend on, and what they must not."""

import dataclasses

import numpy as np
import pytest

from benchmark.config.datasets import DATASETS
from benchmark.data.embedded.motionpairs import (
    MOTIONS,
    SETTINGS,
    Setting,
    pair_accuracies,
    progress,
    stream,
    texture_seeds,
    trajectory,
)
from benchmark.data.embedded.render import render

SETTING = SETTINGS["motionpairs"]


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_registry_agrees_with_the_generator(name: str) -> None:
    info, setting = DATASETS[name], SETTINGS[name]
    assert (info.num_classes, info.train_clips, info.val_clips) == (
        setting.num_classes,
        setting.train_clips,
        setting.val_clips,
    )
    assert info.generated


PINNED = {"motionpairs": "df1135d5", "motionpairs-tiny": "efaf2198", "motionpairs-hard": "7ceeab9e"}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_other_clips_need_another_version(name: str) -> None:
    """Run keys hold the version: where it fails, raise `version` in config/datasets.py and pin the new digest here."""
    assert (DATASETS[name].version, SETTINGS[name].digest) == ("1", PINNED[name])


@pytest.mark.parametrize("pair", range(0, len(MOTIONS), 2))
def test_a_clip_played_backwards_is_its_mirrored_class(pair: int) -> None:
    """With equal draws, one member's states in reverse are the other's, so no set of frames tells them apart."""
    still = dataclasses.replace(SETTING, jitter=0.0)
    for seed in range(5):
        forward = trajectory(still, MOTIONS[pair], stream("test", seed)).state
        mirrored = trajectory(still, MOTIONS[pair + 1], stream("test", seed)).state
        if MOTIONS[pair].pretend:
            assert np.sort(forward, axis=0)[[0, -1]] == pytest.approx(np.sort(mirrored, axis=0)[[0, -1]], abs=0.05)
        else:
            assert forward[::-1] == pytest.approx(mirrored)


def test_progress_is_symmetric_in_time_and_a_pretence_returns() -> None:
    assert progress(32, 0.4)[::-1] == pytest.approx(-progress(32, 0.4))
    there = progress(33, 0.0, turn=0.5)
    assert (there[0], there[16], there[-1]) == pytest.approx((-0.5, 0.5, -0.5))


@pytest.mark.parametrize(("label", "axis", "sign"), [(0, 1, -1), (1, 1, 1), (2, 0, -1), (3, 0, 1)])
def test_the_sprite_moves_as_the_label_says(label: int, axis: int, sign: int) -> None:
    """Followed in the pixels, on a background without texture."""
    setting = dataclasses.replace(SETTING, distractors=0, background_contrast=0.0)
    frames = render(setting, "train", label).astype(float)
    mass = np.abs(frames - 127.5).sum(axis=-1)
    centres = (mass * np.indices(mass.shape[1:])[axis]).sum(axis=(1, 2)) / mass.sum(axis=(1, 2))
    assert sign * (centres[-1] - centres[0]) > 0.3 * setting.short_side


def test_approach_grows_and_recede_shrinks() -> None:
    setting = dataclasses.replace(SETTING, distractors=0, background_contrast=0.0)
    for label, grows in ((4, True), (5, False)):
        area = (np.abs(render(setting, "train", label).astype(float) - 127.5).sum(axis=-1) > 10).sum(axis=(1, 2))
        assert (area[-1] > 2 * area[0]) == grows
        assert (area[0] > 2 * area[-1]) == (not grows)


def test_places_sizes_and_speeds_are_drawn_alike_for_every_class() -> None:
    """Everything but the moving coordinate is equal for equal draws, whatever the class."""
    names = ("x", "y", "size", "angle")
    states = {m.name: trajectory(SETTING, m, stream("same", 1)).state for m in MOTIONS[:8]}
    for column, name in enumerate(names):
        still = [states[m.name][0, column] for m in MOTIONS[:8] if m.coordinate != name]
        assert np.ptp(still) == 0


def test_clips_are_reproducible_and_differ() -> None:
    assert np.array_equal(render(SETTING, "val", 3), render(SETTING, "val", 3))
    assert not np.array_equal(render(SETTING, "val", 3), render(SETTING, "val", 11))


def test_splits_share_no_texture_and_classes_are_balanced() -> None:
    seeds = {split: {s for i in range(600) for s in texture_seeds(SETTING, split, i)} for split in ("train", "val")}
    assert not seeds["train"] & seeds["val"]
    assert len(seeds["train"]) == 600 * (2 + SETTING.distractors)
    assert np.ptp(np.bincount([SETTING.label(i) for i in range(SETTING.val_clips)])) == 0


def test_any_change_of_the_setting_changes_the_digest() -> None:
    assert dataclasses.replace(SETTING, jitter=0.02).digest != SETTING.digest
    with pytest.raises(ValueError, match="even height and width"):
        Setting("odd", height=63)


def test_pair_and_member_are_told_apart() -> None:
    """Labels 0 to 3, two pairs: right; the mirrored member; the wrong pair but the right order within; all wrong."""
    logits = np.array([[9, 1, 0, 0], [9, 1, 0, 0], [9, 0, 2, 1], [9, 0, 2, 1]], float)
    assert pair_accuracies(logits, np.array([0, 1, 2, 3])) == (50.0, 50.0)
