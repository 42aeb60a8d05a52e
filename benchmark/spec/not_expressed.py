"""Claims of the papers that stand in no table's spec, and why: `tables/claims_not_expressed.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pydantic
from pydantic import Field

from benchmark.config.fields import Strict
from benchmark.config.folders import shown, tables_roots
from benchmark.config.parse import problem_text
from benchmark.config.source import Problem, SpecError, read_yaml

FILE = "claims_not_expressed.yaml"
_ID = re.compile(r"[a-z]+-[a-z0-9.]+\.\d{2}")


class NotExpressed(Strict):
    """Why a claim of a paper is not a comparison of rows on a metric."""

    reason: str = Field(min_length=1)
    where: str = Field("", description="where the paper claims it: section, or caption")


def claims_not_expressed() -> dict[str, NotExpressed]:
    """By id.

    Raises:
        SpecError: with every problem of the file.
    """
    found: dict[str, NotExpressed] = {}
    problems: list[Problem] = []
    for path in (root / FILE for root in tables_roots()):
        if not path.is_file():
            continue
        source = read_yaml(path, shown(path))
        for name, value in source.data.items():
            if not _ID.fullmatch(name):
                message = f"'{name}' is not the id of a claim, such as bqn-4.14"
                problems.append(Problem(source.file, source.line(name), message))
            if not isinstance(value, Mapping):
                problems.append(Problem(source.file, source.line(name), f"'{name}' needs {{reason: ...}}"))
                continue
            try:
                found[name] = NotExpressed.model_validate(value, strict=True)
            except pydantic.ValidationError as error:
                for detail in error.errors():
                    text = problem_text(detail, str(detail["loc"][-1]), list(NotExpressed.model_fields))
                    problems.append(Problem(source.file, source.line(name, *detail["loc"]), text))
    if problems:
        raise SpecError(problems)
    return found
