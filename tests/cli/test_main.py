"""What the command line says of a request that it does not understand."""

from __future__ import annotations

import pytest

from benchmark.cli.main import main


def test_a_misspelt_command_gets_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shwo", "bqn-3b"]) == 2
    assert capsys.readouterr().err == "no command 'shwo'. Did you mean 'show'?\n"


def test_a_table_that_is_not_there_gets_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bqn-33b"]) == 2
    assert capsys.readouterr().err == "tables: no table 'bqn-33b'. Did you mean 'bqn-3b'?\n"
