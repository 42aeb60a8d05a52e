import colorsys

import numpy as np
import pytest

from benchmark.visualize.colours import flow_colours, flow_wheel, number, robust_scale, signed_colours


@pytest.mark.parametrize(
    ("direction", "colour"),
    [((1, 0), (255, 0, 0)), ((-1, 0), (0, 255, 255)), ((0, 1), (128, 255, 0)), ((0, -1), (128, 0, 255))],
)
def test_flow_to_the_right_is_red_and_hues_go_on_clockwise(
    direction: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    flow = np.array([direction], np.float32)
    assert flow_colours(5 * flow, 5.0)[0] == pytest.approx(colour, abs=1)
    # Beyond the rim the colour stays; half-way it is half-way to white.
    assert flow_colours(50 * flow, 5.0)[0] == pytest.approx(colour, abs=1)
    assert flow_colours(2.5 * flow, 5.0)[0] == pytest.approx([(255 + c) / 2 for c in colour], abs=1)


def test_flow_colours_are_those_of_hsv() -> None:
    rng = np.random.default_rng(0)
    flow = rng.normal(size=(200, 2))
    shown = flow_colours(flow, 1.5)
    for (u, v), rgb in zip(flow, shown, strict=True):
        saturation = min(np.hypot(u, v) / 1.5, 1.0)
        expected = colorsys.hsv_to_rgb(np.arctan2(v, u) / (2 * np.pi) % 1, saturation, 1.0)
        assert rgb == pytest.approx([255 * c for c in expected], abs=0.6)


def test_no_motion_is_white_also_where_nothing_moves_at_all() -> None:
    still = np.zeros((4, 5, 2), np.float32)
    assert (flow_colours(still, 3.0) == 255).all()
    assert (flow_colours(still, robust_scale(still)) == 255).all()


def test_the_wheel_shows_right_at_its_right() -> None:
    wheel = flow_wheel(101).astype(int)
    assert wheel[50, 50, :3].tolist() == [255] * 3
    assert wheel[50, 75, :3].tolist() == [255, 129, 129]  # 25 of the 50.5 pixels to the rim
    assert (wheel[0, 0, 3], wheel[50, 50, 3]) == (0, 255)


def test_signed_colours_are_symmetric_about_mid_grey() -> None:
    values = np.random.default_rng(0).normal(size=(8, 9, 3))
    scale = robust_scale(values)
    positive, negative = (signed_colours(sign * values, scale).astype(int) for sign in (1, -1))
    inside = np.abs(values) < scale
    assert (np.abs(positive + negative - 256)[inside] <= 1).all()
    assert signed_colours(np.zeros(3), scale).tolist() == [128] * 3
    assert signed_colours(np.array([-scale, 0, scale]), scale).tolist() == [0, 128, 255]
    assert robust_scale(-values) == scale


def test_one_extreme_value_does_not_grey_the_rest() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    before = robust_scale(values)
    values[0] = 1e6
    assert robust_scale(values) == pytest.approx(before, rel=0.02)
    rare = np.zeros(10_000)
    rare[7] = -3
    assert robust_scale(rare) == 3


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [number(v) for v in (0.01234, 4.567, 789.4, 5421, 2_345_678)] == [
        "0.0123",
        "4.57",
        "789",
        "5420",
        "2.35e+06",
    ]
