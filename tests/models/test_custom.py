"""A network of the user's own: what a table may ask of it, and what is refused before anything runs."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmark.config.models import CustomConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.models.build import build_model
from benchmark.runs.key import run_key

SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, width, depth, kind="a"):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
        self.seen = (num_classes, width, depth, kind)
"""


@pytest.fixture
def entry(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return f"{path}:Net"


def test_the_harness_gives_what_the_class_names_and_the_table_the_rest(entry: str) -> None:
    model = build_model(CustomConfig(entry=entry, options={"depth": 3}), DataConfig(dataset="motionpairs"))
    assert model.seen == (8, 1.0, 3, "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"depth": 3, "kindd": "b"}}, "unknown option 'kindd' of Net. Did you mean 'kind'?"),
        ({"options": {}}, "Net needs the option depth"),
        ({"entry": "net.py"}, "entry must be 'path/to/file.py:Class'"),
        ({"entry": "nowhere.py:Net"}, "no file 'nowhere.py'"),
    ],
)
def test_mistakes_are_found_from_the_source_alone(entry: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CustomConfig.model_validate({"entry": entry, "options": {"depth": 3}, **change})
    assert message in str(caught.value)


def test_a_class_that_is_not_there(entry: str) -> None:
    with pytest.raises(ValidationError, match=r"has no class 'Nett'\. Did you mean 'Net'"):
        CustomConfig(entry=f"{entry}t", options={"depth": 3})


def test_an_edited_file_is_a_new_run_and_the_old_plan_is_refused(entry: str) -> None:
    before = CustomConfig(entry=entry, options={"depth": 3})
    path = Path(entry.rpartition(":")[0])
    path.write_text(SOURCE + "\n# edited\n")
    after = CustomConfig(entry=entry, options={"depth": 3})
    assert run_key(RunConfig(model=before)) != run_key(RunConfig(model=after))
    with pytest.raises(ValueError, match="changed since this run was planned"):
        build_model(before, DataConfig(dataset="motionpairs"))
