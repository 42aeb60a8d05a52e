import itertools

import pytest

from benchmark.report.plots.placement import MARKER, Box, Places, find_places

BOUNDS = Box(0, 0, 220, 120)
SIZE = (60.0, 7.0)
CROWD = [(100.0, 50.0), (100.0, 52.0), (103.0, 50.0), (100.0, 70.0), (215.0, 118.0), (2.0, 1.0)]


def overlap(a: Box, b: Box) -> bool:
    return min(a.right, b.right) > max(a.left, b.left) and min(a.top, b.top) > max(a.bottom, b.bottom)


def boxes(places: Places) -> list[Box]:
    return [place.box for place in places.of if place]


def test_names_hide_neither_markers_nor_each_other_nor_leave_the_axes() -> None:
    lines = [[(0.0, 60.0), (220.0, 60.0)]]
    found = boxes(find_places(CROWD, [SIZE] * len(CROWD), CROWD, lines, BOUNDS))
    assert len(found) == len(CROWD)
    for a, b in itertools.combinations(found, 2):
        assert not overlap(a, b)
    for box, (x, y) in itertools.product(found, CROWD):
        assert not overlap(box, Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER))
    for box in found:
        assert (box.right - box.left, box.top - box.bottom) == pytest.approx(SIZE)
        assert box.left >= 0
        assert box.bottom >= 0
        assert box.right <= 220
        assert box.top <= 120
        assert not box.bottom < 60 < box.top


def test_a_lone_point_has_its_name_at_its_right_without_a_line() -> None:
    (place,) = find_places([(100.0, 50.0)], [SIZE], [(100.0, 50.0)], [], BOUNDS).of
    assert place is not None
    assert place.line is None
    assert place.box.left == pytest.approx(104.0)
    assert (place.box.bottom + place.box.top) / 2 == pytest.approx(50.0)


def test_a_name_that_stands_off_has_a_line_that_ends_before_it() -> None:
    crowd = [(100.0 + 3 * i, 50.0) for i in range(6)]
    places = find_places(crowd, [(10.0, 7.0)] * 6, crowd, [], BOUNDS)
    for spot, place in zip(crowd, places.of, strict=True):
        assert place is not None
        if place.line is not None:
            assert place.line[0] == spot
            assert 0 < place.box.distance(place.line[1]) < 1
    assert sum(place.line is not None for place in places.of if place) >= 3


def test_what_has_no_place_is_left_out_unless_it_must_be_written() -> None:
    crowd = [(100.0, 50.0 + i / 10) for i in range(40)]
    assert None in find_places(crowd, [SIZE] * 40, crowd, [], BOUNDS).of
    few = [(100.0, 60.0)] * 3
    wide = [(219.0, 60.0)] * 3
    assert find_places(few, wide, few, [], BOUNDS).of == (None, None, None)


def test_the_same_points_get_the_same_places() -> None:
    assert find_places(CROWD, [SIZE] * 6, CROWD, [], BOUNDS) == find_places(CROWD, [SIZE] * 6, CROWD, [], BOUNDS)
