"""What a reader sees of a table: labels as they are, marks, sets that are named, what is left out and why."""

import re
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from benchmark.report.cell import Cell
from benchmark.report.cells import build_cells
from benchmark.report.columns.measured import lacks
from benchmark.report.costs import CountedCost, InterpretedCost
from benchmark.report.text.csv_files import spreadsheet_text
from benchmark.report.text.formulas import claim_formula
from benchmark.report.text.latex import latex
from benchmark.report.text.latex_fit import LINE, fit, width
from benchmark.report.text.latex_text import escape as in_latex
from benchmark.report.text.latex_text import prose, substitutes
from benchmark.report.text.layout import lay_out
from benchmark.report.text.markdown import markdown
from benchmark.report.text.markdown_text import bullet, escape, grid, wrapped
from benchmark.report.text.marks import BEST, SECOND, best_and_second
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, shown_value
from benchmark.spec.load import load_table
from benchmark.spec.table import Row, Table

LABELS = (
    *("plain", "[1,1,1]", "*ours", "RGB & flow", "100% _x_ #1", "$\\alpha$=1", "costs $5 and $6", "α→β", "双流", "a|b"),
    *("<b>bold</b>", "=1+1", "+MS", "3-4", '"b"', "--npb", "tail\\", "`x|y`", "~home^2", "naïve “q”", "[link](x)"),
    *(
        "$x_$",
        "lr $5 to $6_",
        "snake_case_name",
        "_edge_",
        "a * b",
        "&amp;",
        "&#42;",
        "\\|",
        "**",
        "~~x~~",
        "1. x",
        "- x",
    ),
    *("# x", "> x", "<!-- x -->", "https://x.y/_z_", "![i](x)", "x\\*y", "a < b > c", "\\[", "(a)"),
)


def cells_of(text: str) -> list[list[str]]:
    """The first table of a Markdown text, as GitHub's dialect shows it."""

    def shown(token: Token) -> str:
        return "".join(child.content for child in token.children or () if child.type != "softbreak")

    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    end = next(i for i, token in enumerate(parsed) if token.type == "table_close")
    rows: list[list[str]] = []
    for i, token in enumerate(parsed[:end]):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            inner = parsed[i + 1]
            assert all(child.type in ("text", "text_special", "strong_open", "strong_close", "em_open", "em_close")
                       for child in inner.children or ()), inner.content  # fmt: skip
            rows[-1].append(shown(inner))
    return rows


def odd(table: Table, parts: int = 1) -> Table:
    rows = [
        Row(label=" | ".join([label.replace(" | ", "/")] * parts), quoted=True, printed={"top1": 50.0 + i}, note=label)
        for i, label in enumerate(LABELS)
    ]
    update = {"rows": (*rows, *table.rows), "caption": " ".join(LABELS), "label_header": "[*x*_]", "claims": ()}
    return table.model_copy(update=update)


@pytest.mark.parametrize("parts", [1, 2])
def test_labels_are_shown_literally_in_markdown(table_3b: Table, parts: int) -> None:
    table = odd(table_3b, parts)
    text = markdown(table, lay_out(table, build_cells(table, {}, {}), {}), [], [])
    rows = cells_of(text)
    assert rows[0][0] == "[*x*_]"
    for label, row in zip(LABELS, rows[1:], strict=False):
        shown = label.replace("^2", "²")
        assert re.sub(r" [¹²³⁴⁵⁶⁷⁸⁹⁰˒]+$", "", row[0]) == shown
        assert row[1:parts] == [shown] * (parts - 1)
    heading = MarkdownIt("commonmark").parse(text)[1]
    assert "".join(child.content for child in heading.children or ()) == f"bqn-3b: {' '.join(LABELS)}".replace(
        "^2", "²"
    )


def test_notes_and_paragraphs_begin_no_block_of_their_own() -> None:
    words = ["x" * 110, *("- y " + "z" * 110 for _ in range(2)), "1. " + "w" * 110, "+ " + "v" * 112, "# u", "= t"]
    for text in (wrapped(escape(" ".join(words))), bullet(escape(" ".join(words)))):
        blocks = {token.type for token in MarkdownIt("commonmark").parse(text)} - {"inline"}
        lists = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}
        assert blocks == {"paragraph_open", "paragraph_close"} | (lists if text.startswith("- ") else set())
        shown = "".join(
            " " if child.type == "softbreak" else child.content
            for token in MarkdownIt("commonmark").parse(text)
            for child in token.children or ()
        )
        assert shown == " ".join(words)


def test_a_grid_lines_up_and_flushes_numbers_right() -> None:
    lines = grid(["name", "n"], [["a", "1"], ["long name", "12.5"]], [False, True]).splitlines()
    assert lines[2:] == ["| a         |    1 |", "| long name | 12.5 |"]
    assert re.fullmatch(r"\|:?-+\|-+:\|", lines[1])


def test_a_cell_is_printed_beside_ours(make: SimpleNamespace, table_3b: Table) -> None:
    layout = lay_out(table_3b, build_cells(table_3b, make.runs(table_3b), make.costs(table_3b)), {})
    text = markdown(table_3b, layout, [], [])
    rows = {row[0].split(" ")[0]: row for row in cells_of(text)}
    assert rows["#"][1:] == ["Top-1 (%)", "Top-5 (%)", "GMACs", "Params (M)"] or "printed / measured" in rows["#"][1]
    assert re.fullmatch(r"51\.6 / 6\d\.\d ± 0\.\d \(3\)", rows["16"][1])
    assert rows["16"][3].split(" / ")[0] == "65.9"


def test_the_header_says_that_data_sets_differ_and_only_then(table_3b: Table) -> None:
    warning = "must not be compared as equal"
    text = markdown(table_3b, lay_out(table_3b, build_cells(table_3b, {}, {}), {}), [], [])
    assert warning in text.splitlines()[2]
    ours = load_table("bqn-3b", "paper")
    layout = lay_out(ours, build_cells(ours, {}, {}), {})
    assert warning not in markdown(ours, layout, [], [])
    assert warning in latex(table_3b, lay_out(table_3b, build_cells(table_3b, {}, {}), {}))


def test_top_5_of_few_classes_is_not_shown_and_the_caption_says_so(make: SimpleNamespace) -> None:
    small, large = load_table("bqn-3b", "embedded"), load_table("bqn-3b", "paper")
    assert lacks(small, COLUMNS["top5"])
    assert not any(lacks(small, COLUMNS[key]) for key in ("top1", "mean_class_acc", "gmacs", "top5@ucf101"))
    assert not lacks(large, COLUMNS["top5"])
    layout = lay_out(small, build_cells(small, make.runs(small), {}), {})
    assert "Top-5 is not measured on a data set of 10 classes." in layout.caption
    assert [h.part for h in layout.headings if h.group == "Top-5 (%)"] == ["printed"]
    assert [h.part for h in lay_out(large, build_cells(large, {}, {}), {}).headings if h.group == "Top-5 (%)"] == [
        "printed",
        "measured",
    ]


def printed(values: dict[str, float], key: str = "top1") -> list[Cell]:
    return [Cell(label, key, "printed", value) for label, value in values.items()]


def test_best_and_second_are_marked_by_column_and_direction(table_3b: Table) -> None:
    values = dict(zip((row.label for row in table_3b.rows), (1.0, 3.0, 2.0, 3.0), strict=True))
    labels = list(values)
    top = best_and_second(table_3b, printed(values))
    assert top == {
        (labels[1], "top1", False): BEST,
        (labels[3], "top1", False): BEST,
        (labels[2], "top1", False): SECOND,
    }
    low = best_and_second(table_3b, printed(values, "mae"))
    assert low == {(labels[0], "mae", False): BEST, (labels[2], "mae", False): SECOND}
    assert best_and_second(table_3b, printed(values, "gmacs") + printed(values, "num_bplc")) == {}
    assert best_and_second(table_3b, printed(dict(list(values.items())[:2]))) == {}
    assert best_and_second(table_3b, printed(dict.fromkeys(labels, 1.0))) == {}


def test_what_reads_the_same_is_marked_the_same(table_3b: Table) -> None:
    cells = [
        Cell(row.label, "top1", "measured", value, wanted=3, n=3)
        for row, value in zip(table_3b.rows, (50.04, 50.0, 49.0, 48.0), strict=True)
    ]
    marks = best_and_second(table_3b, cells)
    assert [marks.get((row.label, "top1", True)) for row in table_3b.rows] == [BEST, BEST, SECOND, None]


def test_rows_of_two_data_sets_do_not_compete() -> None:
    table = load_table("thesis-4.6")
    marks = best_and_second(table, build_cells(table, {}, {}))
    best = [row for (row, key, _), mark in marks.items() if mark == BEST and key == "top1"]
    assert best == ["K400 | + 5 [SE+RNL]", "SS V1 | + 5 [SE+RNL]"]


def test_rows_that_are_one_run_say_so(make: SimpleNamespace, table_3b: Table) -> None:
    runs = make.runs(table_3b)
    runs["8"] = runs["4"]
    layout = lay_out(table_3b, build_cells(table_3b, runs, {}), {})
    note = "4 and 8 are the same runs: they differ in nothing that is measured here."
    number = layout.notes.index(note) + 1
    assert [number in line.notes for line in layout.lines] == [False, True, True, False]
    assert not any("same run" in n for n in lay_out(table_3b, build_cells(table_3b, make.runs(table_3b), {}), {}).notes)


def test_readings_are_counted_in_one_line_and_told_in_the_audit_alone(table_3b: Table) -> None:
    read = {"gmacs": InterpretedCost(65.7, "thop_2005 with a.b=c", "reproduced, truncated")}
    missed = {"gmacs": InterpretedCost(65.7, "fvcore", "not reproduced; nearest 1 by fvcore")}
    costs = {row.label: CountedCost({}, missed if row.label == "0" else read) for row in table_3b.rows}
    layout = lay_out(table_3b, build_cells(table_3b, {}, costs), costs)
    text = " ".join(markdown(table_3b, layout, [], [], "../../../docs/costs.md").split())
    assert "Printed costs: 3 of 4 reproduced by a named reading; [audit.md](audit.md) has them," in text
    assert "[docs/costs.md](../../../docs/costs.md) says what a convention such as thop_2005 counts." in text
    assert "read as" not in text
    assert "a.b=c" not in text
    assert " docs/costs.md says what" in " ".join(markdown(table_3b, layout, [], []).split())


@pytest.mark.parametrize(
    ("rhs", "quoted", "formula"),
    [
        (("4", "8"), (), "Top-1: 16 best of 16; 4; 8"),
        (("0", "4", "8"), (), "Top-1: 16 best of all rows of this table"),
        (("0", "4", "8"), ("theirs",), "Top-1: 16 best of the measured rows of this table"),
        (("0", "4", "8", "theirs"), ("theirs",), "Top-1: 16 best of all rows of this table"),
        (("0", "4"), ("theirs",), "Top-1: 16 best of 16; 0; 4"),
    ],
)
def test_a_best_claim_names_its_set(
    table_3b: Table, rhs: tuple[str, ...], quoted: tuple[str, ...], formula: str
) -> None:
    extra = tuple(Row(label=label, quoted=True, printed={"top1": 99.0}) for label in quoted)
    table = table_3b.model_copy(update={"rows": (*table_3b.rows, *extra)})
    claim = Claim(id="c", lhs="16", relation="best", rhs=rhs, metric="top1", text="")
    assert claim_formula(claim, table) == formula
    assert claim_formula(claim) == f"Top-1: 16 best of {'; '.join(('16', *rhs))}"


def test_no_claim_of_the_papers_is_best_of_an_unnamed_set() -> None:
    for name in ("da-6", "msnet-4", "thesis-3.12", "thesis-4.4", "thesis-4.6"):
        table = load_table(name)
        for claim in (claim for claim in table.claims if claim.relation == "best"):
            others = {row.label for row in table.rows if claim.metric in row.printed} - set(claim.labels)
            assert ("all rows" in claim_formula(claim, table)) == (not others), claim.id


def test_rows_that_look_like_an_option_are_protected_in_latex(table_3b: Table) -> None:
    table = odd(table_3b)
    tex = latex(table, lay_out(table, build_cells(table, {}, {}), {}))
    assert tex.isascii()
    lines = tex.splitlines()
    assert not [line for line in lines if line.startswith(("[", "*", "("))]
    assert sum(line.startswith(("{}[1,1,1]", "{}*ours", "{}(a)")) for line in lines) == 3
    assert "% U+53CC (CJK UNIFIED IDEOGRAPH-53CC) is shown as [U+53CC]: pdflatex has no glyph for it." in lines
    assert "[U+53CC][U+6D41]" in tex
    assert lines[0] == r"% Needs \usepackage{amssymb,array,booktabs,graphicx}."


def test_characters_without_a_glyph_are_replaced_and_named() -> None:
    assert substitutes("αβ→é± double 双 Ą") == {"双": "[U+53CC]", "Ą": "A"}
    assert in_latex("e\u0301") == in_latex("é") == r"\'e"
    assert in_latex("--npb") == r"-{}-npb"
    assert in_latex("β") == r"\ensuremath{\beta}"
    assert in_latex("a<b|c>d") == r"a\ensuremath{<}b\ensuremath{|}c\ensuremath{>}d"
    assert r"\allowbreak{}" in prose("model.lateral.direction=bidirectional")
    assert r"\allowbreak" not in prose("short words only, none of them long")


def test_no_label_is_a_formula_of_a_spreadsheet() -> None:
    formulas, others = ("=1", "+1", "-1", "@a", "\ta"), ("a=1", "1+1", "", "'a")
    assert [spreadsheet_text(text) for text in (*formulas, *others)] == [*(f"'{text}" for text in formulas), *others]


def test_long_labels_wrap_before_the_type_gets_too_small() -> None:
    numbers = ["51.4"] * 3
    easy = fit([["a", "b", "c"], numbers], [True, False], 500)
    assert (easy.size, easy.wraps) == ("small", (None, None))
    hard = fit([["many words that make a label long " * 4] * 3, *[numbers] * 6], [True, *[False] * 6], 500)
    assert hard.wraps[0] is not None
    assert hard.width <= LINE
    assert fit([["word"] * 3, *[["1" * 12] * 3] * 9], [True, *[False] * 9], 500).width > LINE
    assert width("mm") == pytest.approx(2 * 0.833 * 1.04, abs=0.01)


@pytest.mark.parametrize(
    ("value", "multiple", "shown"),
    [(47.43, "", "47.43"), (0.0002, "", "0.20K"), (0.00713, "K", "7.13K"), (0.0, "", "0.00"), (0.05, "", "0.05")],
)
def test_a_count_too_small_for_its_unit_is_shown_in_a_smaller_one(value: float, multiple: str, shown: str) -> None:
    assert shown_value(value, COLUMNS["mparams"], 2, multiple) == shown
