"""What a claim may say: its sides, sizes and margins, and the message for each mistake."""

from pathlib import Path

import pytest

from benchmark.config.source import SpecError
from benchmark.spec.claim import Claim, first_made, parse_difference, parse_ratio
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

TABLE = """\
paper: mine
table: t1
caption: A table.
dataset: something-v1
columns: [num_bplc, top1, top5]
base: [network/bqn_r50, recipe/bqn, data/something-v1]
rows:
  - {label: A, printed: {top1: 50.0}}
  - {label: B, set: {model.num_bplc: 4}, printed: {top1: 49.0}}
  - {label: C, set: {model.num_bplc: 8}, printed: {top1: 48.0}}
  - {label: D, set: {model.num_bplc: 2}}
claims:
  - """


def loaded(folder: Path, *claims: str) -> Table:
    path = folder / "t1.yaml"
    path.write_text(TABLE + "\n  - ".join(claims) + "\n")
    return load_table(str(path))


def claim(folder: Path, text: str) -> Claim:
    """The one claim of a table; `text` is what stands after its id."""
    return loaded(folder, f"{{id: mine-t1.01, {text}, text: as stated}}").claims[0]


def problems(folder: Path, *claims: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loaded(folder, *claims)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_side_is_one_row_or_several(tmp_path: Path) -> None:
    assert claim(tmp_path, 'lhs: A, relation: ">", rhs: B, metric: top1').labels == ("A", "B")
    found = claim(tmp_path, 'lhs: [A, B], relation: ">", rhs: [C, D], metric: top1')
    assert (found.lhs, found.rhs) == (("A", "B"), ("C", "D"))


def test_a_star_is_every_other_row_that_prints_the_metric(tmp_path: Path) -> None:
    assert claim(tmp_path, 'lhs: A, relation: best, rhs: "*", metric: top1').rhs == ("B", "C")
    assert claim(tmp_path, 'lhs: [A, C], relation: best, rhs: "*", metric: top1').rhs == ("B",)
    # No row prints top-5: the table is nobody's print, and every other row is meant.
    assert claim(tmp_path, 'lhs: A, relation: best, rhs: "*", metric: top5').rhs == ("B", "C", "D")


def test_a_row_of_another_table_is_a_side_by_that_table_s_settings(tmp_path: Path) -> None:
    path = tmp_path / "t1.yaml"
    side = "bqn-3a :: Quiet+Busy"
    path.write_text(TABLE + f'{{id: mine-t1.01, lhs: A, relation: ">", rhs: "{side}", metric: top1, text: better}}\n')
    table, other = load_table(str(path), "paper"), load_table("bqn-3a", "paper")
    assert table.claims[0].rhs == (side,)
    assert [row.label for row in table.rows] == ["A", "B", "C", "D"]
    # A fused row brings the rows that it averages.
    assert [row.label for row in table.elsewhere] == [side, "bqn-3a :: Quiet", "bqn-3a :: Busy"]
    fused = table.row(side)
    assert fused.printed == other.row("Quiet+Busy").printed
    assert [row.config for row in table.members(fused)] == [other.row(name).config for name in ("Quiet", "Busy")]


def test_a_row_of_another_table_follows_to_another_data_set_where_it_has_settings_there(tmp_path: Path) -> None:
    path = tmp_path / "t1.yaml"
    path.write_text(
        "paper: mine\ntable: t1\ncaption: c\ndataset: ucf101\ncolumns: [top1, top1@hmdb51, mean_class_acc]\n"
        "base: [network/bqn_r50, recipe/bqn_finetuning, data/ucf101]\n"
        "also: {hmdb51: {}}\nrows:\n  - {label: A}\nclaims:\n"
        '  - {id: mine-t1.01, lhs: A, relation: ">", rhs: "bqn-6 :: BQN", metric: mean_class_acc, text: t}\n'
        '  - {id: mine-t1.02, lhs: A, relation: ">", rhs: "bqn-fig6 :: trained | 9^2 | 1.1", metric: top1, text: t}\n'
    )
    both, alone = load_table(str(path), "paper", dataset="hmdb51").elsewhere
    assert both.config is not None
    assert both.config.data.dataset == "hmdb51"
    assert both.printed == {"mean_class_acc": 77.6, "mean_class_acc@ucf101": 97.6}
    assert (alone.config, alone.quoted) == (None, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('lhs: A, relation: ">", rhs: E, metric: top1', "no row 'E'. Valid: A, B, C, D."),
        ('lhs: A, relation: ">", rhs: [B, A], metric: top1', "rhs: 'A' is on both sides"),
        ('lhs: A, relation: ">", rhs: [B, B], metric: top1', "rhs: 'B' is given twice"),
        ('lhs: "*", relation: ">", rhs: B, metric: top1', 'lhs: "*" can only be the rhs'),
        ('lhs: A, relation: ">", rhs: ["*", B], metric: top1', 'rhs: "*" stands alone'),
        (
            "lhs: [A, B], relation: monotone, rhs: C, metric: top1",
            "lhs: a monotone claim has one lhs; the rows that follow stand in rhs, in their order",
        ),
        ('lhs: A, relation: monotone, rhs: "*", metric: top1', "rhs: a monotone claim names its rows, in their order"),
        ("lhs: A, relation: bests, rhs: B, metric: top1", "'relation' cannot be 'bests'. Did you mean 'best'?"),
        ("lhs: A, relation: best, rhs: B, metric: num_bplc", "no num_bplc is better than another, so none is best"),
        ('lhs: A, relation: ">", rhs: B, metric: top1, margin: 1', "margin: only ~, >= and <= have a margin, not >"),
        (
            'lhs: A, relation: "~", rhs: B, metric: top1, margin: 0.0',
            "'margin': the value 0.0 should be greater than 0",
        ),
        ('lhs: A, relation: "~", rhs: B, metric: top1, by: "1"', "by: a claim of ~ has no size"),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, by: 2.30',
            'by: write it in quotes, "2.3", so that its digits count',
        ),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, by: "+2.3"',
            "by: '+2.3' must be a number such as 2.3, ~6 or >2.7 in the metric's unit",
        ),
        ('lhs: A, relation: ">", rhs: B, metric: top1, by: "0.0"', "by: '0.0' must be above 0"),
        ('lhs: A, relation: ">", rhs: B, metric: top1, by: "3% less"', "by: '3% less' is a ratio: write `factor`"),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, factor: "0.5"',
            "factor: a factor is of the larger to the smaller, so above 1, not 0.5",
        ),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, factor: "120% of"',
            "factor: the smaller cannot be 120% of the larger",
        ),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, factor: "a half"',
            "factor: 'a half' must be a number such as 7, ~2 or >3.5, or one such as 2.5% more, 22% less or 14% of",
        ),
        ('lhs: A, relation: ">", rhs: B, metric: top1, wher: x', "unknown key 'wher'. Did you mean 'where'?"),
        (
            'lhs: A, relation: ">", rhs: "bqn-3a :: Quite", metric: top1',
            "'bqn-3a' has no row 'Quite'. Did you mean 'Quiet'?",
        ),
        ('lhs: A, relation: ">", rhs: "bqn-3aa :: Quiet", metric: top1', "no table 'bqn-3aa'. Did you mean 'bqn-3a'?"),
        ('lhs: A, relation: ">", rhs: "mine-t1 :: B", metric: top1', "'B' is of this table: leave 'mine-t1 :: ' out"),
        ('lhs: A, relation: ">", rhs: "bqn-3a :: Quiet", metric: num_bplc', "'bqn-3a' has no column num_bplc"),
        (
            'lhs: A, relation: ">", rhs: "bqn-5 :: TSM | R50 | 16x30", metric: top1',
            "'bqn-5' prints values of kinetics400, this table of something-v1",
        ),
        ('lhs: A, relation: ">", rhs: B, metric: top1, repeats: mine-t1.01', "repeats: a claim cannot repeat itself"),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, repeats: mine-t1.02',
            "no claim 'mine-t1.02'. Did you mean 'mine-t1.01'?",
        ),
        (
            'lhs: A, relation: ">", rhs: B, metric: top1, repeats: bqn-3aa.01',
            "no table 'bqn-3aa' whose claim could be repeated. Did you mean 'bqn-3a'?",
        ),
        (
            'lhs: A, relation: ">", rhs: B, metric: top5, repeats: bqn-3a.01',
            "bqn-3a.01 is about top1, not top5: it is another claim",
        ),
    ],
)
def test_each_mistake_is_one_clear_sentence_at_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, f"{{id: mine-t1.01, {text}, text: as stated}}") == [f"t1.yaml:13: {expected}"]


def test_ids_are_the_table_s_own_and_given_once(tmp_path: Path) -> None:
    body = 'lhs: A, relation: ">", rhs: B, metric: top1, text: as stated'
    assert problems(tmp_path, f"{{id: mine-t1.01, {body}}}", f"{{id: mine-t1.01, {body}}}") == [
        "t1.yaml:14: claim id 'mine-t1.01' is given twice"
    ]
    assert problems(tmp_path, f"{{id: mine-t2.01, {body}}}") == [
        "t1.yaml:13: claim id 'mine-t2.01' must begin with 'mine-t1.'"
    ]


@pytest.mark.parametrize(
    ("text", "agreeing", "contradicting"),
    [
        ("2.3", (2.26, 2.3, 2.35), (2.2, 2.4, -2.3)),  # rounds to the stated digits
        ("2", (1.5, 2.4), (1.4, 2.6)),
        ("1.02", (1.02,), (1.03,)),
        ("50", (45.0, 51.6), (44.0, 56.0)),  # a round number
        ("5.0", (4.96,), (4.9,)),
        ("~6", (5.5, 6.5), (5.3, 6.7)),
        ("~160", (144, 176), (140, 180)),
        (">2.7", (2.66, 2.7, 9.0), (2.6,)),
    ],
)
def test_a_difference_agrees_as_far_as_its_digits_and_words_go(
    text: str, agreeing: tuple[float, ...], contradicting: tuple[float, ...]
) -> None:
    size = parse_difference(text)
    assert all(size.agrees(value) for value in agreeing)
    assert not any(size.agrees(value) for value in contradicting)


@pytest.mark.parametrize(
    ("text", "larger", "smaller", "agrees"),
    [
        ("5", 303, 60, True),
        ("210", 168, 0.8, True),
        ("4", 48, 16, False),  # thesis 5.9: "four times the frames", of 48 and 16
        ("~2", 121, 65, True),
        (">3.5", 291, 70, True),
        ("2.5% more", 41, 40, True),
        ("2.5% more", 34, 33, False),
        ("22% less", 129, 101, True),
        ("26% less", 20.4, 15.0, True),
        ("14% of", 65, 9.7, False),  # BQN 4: it is 14.9 %
        ("~70% of", 100, 66, True),
        (">70% of", 100, 66, True),  # at most 70 %
        (">70% of", 100, 76, False),
    ],
)
def test_a_ratio_agrees_in_the_terms_that_it_is_stated_in(
    text: str, larger: float, smaller: float, agrees: bool
) -> None:
    assert parse_ratio(text).agrees(larger / smaller) == agrees


def test_a_claim_has_the_sizes_that_it_states(tmp_path: Path) -> None:
    found = claim(tmp_path, 'lhs: A, relation: ">", rhs: B, metric: top1, by: "~1.0", factor: "2% more"')
    assert [(size.value, size.kind, size.half, size.form) for size in found.sizes] == [
        (1.0, "about", 0.05, "difference"),
        (2.0, "exact", 0.5, "more"),
    ]
    assert claim(tmp_path, 'lhs: A, relation: ">", rhs: B, metric: top1').sizes == ()


def _chain(**repeats: str | None) -> dict[str, Claim]:
    return {
        name: Claim(id=name, lhs=("A",), relation=">", rhs=("B",), metric="top1", text="", repeats=target)
        for name, target in repeats.items()
    }


def test_a_chain_of_repeats_leads_to_the_claim_that_is_first_made() -> None:
    assert first_made(_chain(a=None, b="a", c="b", d=None)) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    with pytest.raises(ValueError, match="b repeats x, which there is not"):
        first_made(_chain(a=None, b="x"))
    with pytest.raises(ValueError, match="a repeats itself by way of b"):
        first_made(_chain(a="b", b="a"))
