import pytest

from benchmark.spec.columns import COLUMNS, multiple_of, printed_value


@pytest.mark.parametrize(
    ("text", "multiple"),
    [("7.13K", "K"), ("48.0M", "M"), ("121G", "G"), ("65.9", ""), ("K", "K"), ("", ""), ("5k", "")],
)
def test_the_multiple_that_a_number_ends_in(text: str, multiple: str) -> None:
    assert multiple_of(text) == multiple


def test_a_multiple_is_turned_into_the_unit_of_its_column() -> None:
    assert printed_value("7.13K", COLUMNS["mparams"]) == pytest.approx(0.00713)
    assert printed_value(" 0.5G ", COLUMNS["mparams"]) == pytest.approx(500)
    assert printed_value("30.4", COLUMNS["latency_ms"]) == 30.4
    with pytest.raises(ValueError, match="latency_ms is not counted in multiples"):
        printed_value("1K", COLUMNS["latency_ms"])


def test_a_timed_column_says_how_many_clips_a_pass_has_and_which_way_is_better() -> None:
    timed = {key: (column.batch, column.better) for key, column in COLUMNS.items() if column.kind == "timed"}
    assert timed == {"latency_ms": (1, "lower"), "throughput": (8, "higher"), "speed": (1, "higher")}
