"""YAML whose values know their lines: what it reads, and what it refuses."""

from pathlib import Path

import pytest

from benchmark.config.source import SpecError, read_yaml


def test_folders_and_strange_tags(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("a: !foo 1\n")
    with pytest.raises(SpecError, match=r"y\.yaml:1: cannot be used"):
        read_yaml(tmp_path / "y.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "x.yaml:2: key 'a' is given twice"),
        ("a: [1, 2\nb: 3\n", "x.yaml:2: is not valid YAML"),
        ("- 1\n", "x.yaml:1: must hold a mapping"),
        ("", "x.yaml:1: must hold a mapping"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: is not valid YAML: expected a single document in the stream, but found"),
        ("a:\n\t- 1\n", r"x.yaml:2: is not valid YAML: found character '\t' that cannot start any token (indent by"),
        ("s: &s {a: 1}\nt: {<<: *s, b: 2}\n", "x.yaml:2: '<<' (YAML's merge) is not read: write the settings out"),
        ("set: {a.b: 1, a: {b: 2}}\n", "x.yaml:1: 'a.b' is given twice, below 'a.b' and below 'a'"),
        ("set: {a: {b.c: 1}, a.b: {c: 2}}\n", "x.yaml:1: 'a.b.c' is given twice, below 'a' and below 'a.b'"),
        ("a: 1e400\n", "x.yaml:1: cannot be used: 1e400 is beyond the largest number there is"),
        (f"a: {'9' * 5000}\n", "x.yaml:1: cannot be used: the number is too long"),
        (f"a: {'[' * 200_000}{']' * 200_000}\n", "x.yaml: is nested too deeply, or refers to itself"),
        (f"a:\n  {'- ' * 200_000}1\n", "x.yaml: is nested too deeply, or refers to itself"),
        ("\n".join(" " * i + "a:" for i in range(1500)), "x.yaml: is nested too deeply, or refers to itself"),
        ("a: &a [*a]\n", "x.yaml: is nested too deeply, or refers to itself"),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"x\.yaml") as caught:
        read_yaml(path, "x.yaml")
    assert str(caught.value).startswith(expected)


def test_scalars_mean_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("time: 10:30\nlr: 1e-4\nno: no\non: on\nyes: true\nnone: null\noctal: 010\nempty:\n")
    assert read_yaml(path).data == {
        "time": "10:30", "lr": 1e-4, "no": "no", "on": "on", "yes": True, "none": None, "octal": "010", "empty": None,
    }  # fmt: skip
