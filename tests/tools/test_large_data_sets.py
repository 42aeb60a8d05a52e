"""The measurement of large data sets, on small ones."""

import re

import pytest

from tools.large_data_sets import TREES, main


@pytest.mark.slow
def test_every_step_is_measured_on_both_trees(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--clips", "12"])
    printed = capsys.readouterr().out
    steps = [f"{name}, {step}" for name in TREES for step in ("prepare", "prepare again", "open", "epoch")]
    assert re.findall(r"^([^:]+):", printed, re.M) == steps
    assert printed.count("open: clips 12.0") == 2
    assert printed.count("readable 0.0") == 2
