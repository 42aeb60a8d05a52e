"""What a spec's author is told: file, line, what is wrong and the nearest valid name, all of a file's errors at once."""

from pathlib import Path

import pytest

from benchmark.config.source import SpecError
from benchmark.spec.load import load_table, select

GOOD = """\
paper: mine
table: t1
caption: A table.
dataset: something-v1
columns: [top1, gmacs]
base: [network/bqn_r50, recipe/bqn, data/something-v1]
rows:
  - {label: A, printed: {top1: 50.0}}
  - label: B
    set: {model.num_bplc: 4}
    printed: {top1: 49.0}
claims:
  - {id: mine-t1.01, lhs: A, relation: ">", rhs: B, metric: top1, text: A wins}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """Load a table and return its errors, without the folder."""
    path = tmp_path / "t1.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_table(str(path))
    return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]


def test_the_good_table_loads(tmp_path: Path) -> None:
    path = tmp_path / "t1.yaml"
    path.write_text(GOOD)
    assert [row.label for row in load_table(str(path)).rows] == ["A", "B"]


def test_an_unknown_key_names_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    text = GOOD.replace("model.num_bplc: 4", "model.num_bplcs: 4")
    assert problems(tmp_path, text) == ["t1.yaml:10: unknown key 'model.num_bplcs'. Did you mean 'model.num_bplc'?"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("model.num_bplc: 4", "modle.num_bplc: 4", "t1.yaml:10: unknown key 'modle'. Did you mean 'model'?"),
        (
            "model.num_bplc: 4",
            "model.lateral.phy: identity",
            "t1.yaml:10: unknown key 'model.lateral.phy'. Did you mean 'model.lateral.phi'?",
        ),
        (
            "model.num_bplc: 4",
            "model.fusion: average",
            "t1.yaml:10: 'model.fusion' cannot be 'average'. Did you mean 'average_after_fc'?",
        ),
        (
            "model.num_bplc: 4",
            "model.num_bplc: many",
            "t1.yaml:10: 'model.num_bplc': the value 'many' should be a valid integer",
        ),
        (
            "model.num_bplc: 4",
            "model.num_bplc: true",
            "t1.yaml:10: 'model.num_bplc': the value True should be a valid integer",
        ),
        (
            "model.num_bplc: 4",
            "model.num_bplc: 17",
            "t1.yaml:9: model: num_bplc is 17, but ResNet-50 has 16 residual blocks in res2, res3, res4, res5",
        ),
        ("model.num_bplc: 4", "train.lr: -1", "t1.yaml:10: 'train.lr': the value -1 should be greater than 0"),
        (
            "model.num_bplc: 4",
            "model.name: tsm_resnt",
            "t1.yaml:10: 'model.name' cannot be 'tsm_resnt'. Did you mean 'tsm_resnet'?",
        ),
        ("model.num_bplc: 4", "model.quiet_size: 512", "t1.yaml:9: model.quiet_size (512) exceeds data.size (224)"),
        (
            "network/bqn_r50",
            "network/bqn_r5",
            "t1.yaml:6: no base 'bqn_r5' in tables/bases/network. Did you mean 'bqn_r50'?",
        ),
        ("rhs: B", "rhs: C", "t1.yaml:13: no row 'C'. Valid: A, B."),
        ("label: B", "label: A", "t1.yaml:9: label 'A' is given twice"),
        ("label: B", "label: 'A '", "t1.yaml:9: label 'A ' has a blank too many, at an end or beside another"),
        ("label: B", "label: 4", "t1.yaml:9: 'label': 4 is a number: put it in quotes"),
        ("label: B", "label: true", "t1.yaml:9: 'label': True is no text: put it in quotes"),
        ("captio", "capton: x\ncaptio", "t1.yaml:3: unknown key 'capton'. Did you mean 'caption'?"),
        (
            "dataset: something-v1",
            "dataset: something-1",
            "t1.yaml:4: dataset: unknown data set 'something-1'. Did you mean 'something-v1'?",
        ),
        ("metric: top1", "metric: top5", "t1.yaml:13: metric 'top5' is not among the table's columns"),
        (
            "{top1: 50.0}",
            "{top_1: 50.0}",
            "t1.yaml:8: printed: unknown column 'top_1'. Did you mean 'top1'?",
        ),
        ("table: t1", "table: t2", "t1.yaml:2: table 't2' is in a file named 't1.yaml': write `table: t1`"),
        ("caption: A table.\n", "", "t1.yaml:1: 'caption' is required"),
    ],
)
def test_each_mistake_is_one_clear_sentence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert expected in found


def test_all_errors_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    """An unknown key of the file, of a row and of the config, a wrong value, and a claim on a missing row."""
    text = GOOD.replace("set: {model.num_bplc: 4}", "set: {model.num_bplcs: 4, train.lr: -1}\n    nte: x")
    text = text.replace("rhs: B", "rhs: C").replace("caption:", "captoin: y\ncaption:")
    assert [p.split(":")[1] for p in problems(tmp_path, text)] == ["3", "11", "11", "12", "15"]


def test_a_missing_base_is_the_only_error_of_its_rows(tmp_path: Path) -> None:
    assert len(problems(tmp_path, GOOD.replace("network/bqn_r50", "network/nothing"))) == 1


def test_a_value_that_is_wrong_only_at_the_protocols_scale_is_found_where_it_was_written(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("model.num_bplc: 4", "data.size: 24"))
    assert found == ["t1.yaml:10: 'data.size': the value 6 should be greater than or equal to 8"]


def test_a_wrong_item_of_a_list_is_found_at_the_list(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("model.num_bplc: 4", "model.bplc_stages: [res2, res9]"))
    assert found[0].startswith("t1.yaml:10: 'model.bplc_stages.1' cannot be 'res9'")


def test_a_copy_of_a_known_table_cannot_take_its_place(tmp_path: Path) -> None:
    text = GOOD.replace("paper: mine", "paper: bqn").replace("table: t1", "table: 3b").replace("mine-t1", "bqn-3b")
    path = tmp_path / "3b.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"'bqn-3b' is tables/bqn/3b\.yaml; give a table of your own another"):
        load_table(str(path))


def test_a_missing_file_and_an_unknown_table() -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml: no such file"):
        load_table("nowhere.yaml")
    with pytest.raises(SpecError, match="Did you mean 'bqn-3b'"):
        select(["bqn-3bb"])
    with pytest.raises(SpecError, match=r"no protocol 'embeded'\. Did you mean 'embedded'"):
        load_table("bqn-3b", "embeded")
