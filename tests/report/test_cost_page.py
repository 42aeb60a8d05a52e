"""The page on printed costs: every number is a print or a count, and no sentence outlives the counts it is about."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pydantic
import pytest

from benchmark.cli import main as program
from benchmark.cli import running
from benchmark.cli.main import build_parser, main
from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost import cache
from benchmark.cost.audit import Lookup
from benchmark.cost.cache import cost_digest
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount
from benchmark.report import cost_page as module
from benchmark.report import cost_stories
from benchmark.report.cost_figures import Costs, StaleProseError, varied
from benchmark.report.cost_page import cost_page, stories
from benchmark.report.cost_stories import STORIES, Story
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "costs.md"


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: load_table(name) for name in table_paths()}


def one_cost(macs: int, parameters: int = 10**6) -> Lookup:
    """A lookup by which every network costs the same."""
    conv = OperatorCount(path="", module_class="Conv2d", operator="conv", macs=macs, calls=1, inputs=1, outputs=1)
    held = ModuleParameters(path="", module_class="Conv2d", total=parameters, trainable=parameters)
    record = CostRecord(
        input_shape=(1, 8, 3, 224, 224),
        operators=(conv,),
        uncounted=(),
        parameters=(held,),
        classes={"": "Conv2d"},
        torch_macs={},
        versions={},
    )
    return lambda config: record


def test_every_story_has_its_tables(tables: dict[str, Table]) -> None:
    assert len({story.title for story in STORIES}) == len(STORIES) >= 10
    assert {name for story in STORIES for name in story.tables} <= set(tables)


def functions_of(source: ModuleType) -> list[ast.FunctionDef]:
    tree = ast.parse(Path(str(source.__file__)).read_text())
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_a_story_that_the_counts_do_not_bear_out_is_not_told(story: Story, tables: dict[str, Table]) -> None:
    with pytest.raises(StaleProseError, match=r"docs/costs\.md says .*; the counts no longer say so"):
        story.tell(Costs(tables.values(), one_cost(10**9)))


def test_a_story_names_all_tables_that_it_reads(tables: dict[str, Table]) -> None:
    functions = {node.name: node for node in functions_of(cost_stories)}
    for story in STORIES:
        texts = {n.value for n in ast.walk(functions[story.tell.__name__]) if isinstance(n, ast.Constant)}
        named = {text for text in texts if isinstance(text, str) and text in tables}
        assert named == set(story.tables), story.title


def test_no_number_of_a_story_is_typed_by_hand() -> None:
    """Their templates hold names and words; digits come from the counts, the prints and the configs."""
    told = {story.tell.__name__ for story in STORIES} | {"_introduction", "_conventions", "_by_paper"}
    names = r"ResNet-\d+|X3D-?\w*|(?:TSM|MSNet)-R\d+|NL I3D|\b1x1x?1?\b|Table 1\b|Eq\. 5\b|Early in 2021"
    typed = []
    found = [function for function in (*functions_of(cost_stories), *functions_of(module)) if function.name in told]
    assert {function.name for function in found} == told
    for function in found:
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in ("paragraph", "_bullet"):
                parts = call.args[0].values if isinstance(call.args[0], ast.JoinedStr) else call.args
                texts = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
                typed += [text for text in texts if re.search(r"\d", re.sub(names, "", text))]
    assert typed == []


def test_stories_wait_for_their_tables(tables: dict[str, Table]) -> None:
    few = [tables["bqn-3a"], tables["cmr-3"], tables["checks-shift"]]
    costs = Costs(few, one_cost(32_870_000_000))
    assert stories(costs) == {}
    assert costs.papers == ["bqn", "cmr"]
    text = cost_page(few, one_cost(32_870_000_000))
    assert all(f"| {name} " in text for name in CONVENTIONS)
    assert "## Not reproduced" in text
    assert "| cmr-3 | 1 | GMACs | 55 |" in re.sub(" +", " ", text)


def test_nothing_is_counted_when_no_cost_is_printed(tables: dict[str, Table]) -> None:
    def refuse(config: RunConfig) -> CostRecord:
        raise AssertionError("counted")

    assert Costs([tables["checks-shift"]], refuse).printed == []


def test_a_print_repeated_for_one_network_is_one_distinct_print(tables: dict[str, Table]) -> None:
    parts = [tables[name] for name in ("bqn-3a", "bqn-3b", "bqn-3d")]
    costs = Costs(parts, one_cost(65_934_000_000))
    named = [(cost.name, cost.text) for cost in costs.distinct]
    repeated = [(cost.name, cost.text) for cost in costs.printed if (cost.name, cost.text) not in named]
    # BQN as it is by default is the last row of 3b and the first of 3d.
    assert repeated == [("bqn-3b, 16", "65.9"), ("bqn-3d, 224²x8, 224²x8", "65.9")]
    whole = Costs([*parts, tables["thesis-5.8"]], one_cost(65_934_000_000))
    assert len(whole.printed) > len(costs.printed)
    again = {cost.text for cost in whole.distinct if cost.table.paper == "thesis"}
    assert not again & {"65.9", "50.5", "60.7", "55.5"}


def test_a_variant_is_the_network_that_the_reading_counts(tables: dict[str, Table]) -> None:
    checked = 0
    for table in tables.values():
        for row in table.rows:
            for reading in row.readings.values():
                if row.paper_config is not None and reading.config is not None:
                    ours = of_one_view(varied(row.paper_config, reading.set))
                    assert cost_digest(ours) == cost_digest(of_one_view(reading.config)), (table.id, row.label)
                    checked += bool(reading.set)
    assert checked > 50


def test_a_variant_that_no_network_takes_is_refused(tables: dict[str, Table]) -> None:
    config = tables["bqn-3b"].row("16").paper_config
    assert config is not None
    with pytest.raises(pydantic.ValidationError):
        varied(config, {"model.lateral.phi": "conv3x3"})
    with pytest.raises(pydantic.ValidationError):
        varied(config, {"model.laterals": 1})


def test_a_recount_is_of_the_convention_and_the_network_asked_for(tables: dict[str, Table]) -> None:
    def by_pixels(config: RunConfig) -> CostRecord:
        record = one_cost(10**4 * config.data.size**2, config.data.num_classes * 10**6)(config)
        assert record is not None
        return record

    costs = Costs([tables["da-7"]], by_pixels)
    gmacs, mparams = (costs.at("da-7", "TSM R50", key) for key in ("gmacs", "mparams"))
    assert (gmacs.text, gmacs.printed, gmacs.side) == ("42.9", 42.9, 256)
    assert gmacs.full == pytest.approx(1e-5 * 224**2)
    assert gmacs.verdict.count == gmacs.recount("fvcore", gmacs.cell.variant) == pytest.approx(1e-5 * 256**2)
    assert gmacs.recount("two_per_mac", {"data.size": 160, "eval.crops": 3}) == pytest.approx(2e-5 * 256**2)
    assert mparams.recount("fvcore", {"data.dataset": "kinetics400"}) == 400
    assert (gmacs.gives(42.949), gmacs.gives(42.95), gmacs.gives(42.999), gmacs.gives(43.0)) == (1, 1, 1, 0)
    assert (gmacs.gives(42.85), gmacs.gives(42.849)) == (1, 0)


def test_an_unknown_row_is_named(tables: dict[str, Table]) -> None:
    costs = Costs([tables["bqn-3b"]], one_cost(10**9))
    with pytest.raises(StaleProseError, match="bqn-3b, 17, gmacs; there is no such row"):
        costs.at("bqn-3b", "17", "gmacs")
    with pytest.raises(StaleProseError, match="bqn-3b, 16, Params; the table has none"):
        _ = costs.at("bqn-3b", "16", "mparams").verdict


def test_the_command_prints_or_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "count", lambda tables: True)
    monkeypatch.setattr(program, "table_paths", lambda: ["bqn-3b"])
    monkeypatch.setattr(module, "cost_page", lambda tables: "# page\n")
    assert main(["costs"]) == 0
    assert capsys.readouterr().out == "# page\n"
    out = tmp_path / "new" / "costs.md"
    assert main(["costs", "--out", str(out)]) == 0
    assert out.read_text() == "# page\n"


def _stale(tables: object) -> str:
    raise StaleProseError("docs/costs.md says so")


@pytest.mark.parametrize(("counted", "page"), [(True, _stale), (False, lambda tables: "# page\n")])
def test_a_page_that_would_be_wrong_is_not_written(
    counted: bool,
    page: Callable[[object], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(running, "count", lambda tables: counted)
    monkeypatch.setattr(program, "table_paths", lambda: ["bqn-3b"])
    monkeypatch.setattr(module, "cost_page", page)
    out = tmp_path / "costs.md"
    out.write_text("as it was\n")
    assert main(["costs", "--out", str(out)]) == 1
    assert out.read_text() == "as it was\n"
    assert capsys.readouterr().err == ("docs/costs.md says so\n" if counted else "")  # counting says itself what failed


# ---------------------------------------------------------------------------------------------- the committed page


def _lines() -> list[list[str]]:
    text = PAGE.read_text()
    return [
        [re.sub(r"\\([^\w\s])", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_committed_page_tells_every_story() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text(), re.M)
    first, last = headings.index(STORIES[0].title), headings.index(STORIES[-1].title)
    assert headings[first : last + 1] == [story.title for story in STORIES]


def test_the_committed_page_has_the_prints_of_the_tables(tables: dict[str, Table]) -> None:
    """Every line of a comparison names a row and a cost, and has its print to the digit."""
    costs = Costs(tables.values(), one_cost(10**9))
    printed = {(cost.name, cost.column.title): cost.text for cost in costs.printed}
    shown = [line for line in _lines() if len(line) >= 6 and line[0].partition(",")[0] in tables and "," in line[0]]
    assert len(shown) > 60
    assert [(line[0], line[1], line[2]) for line in shown if printed.get((line[0], line[1])) != line[2]] == []


def test_the_committed_page_has_commands_that_the_program_takes() -> None:
    commands = [line.split("#")[0] for line in PAGE.read_text().splitlines() if line.startswith("python -m")]
    assert commands
    for command in commands:
        build_parser().parse_args(shlex.split(command)[3:])


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lookup:
    """Counts from the reader's own runs where they are there, and else into a folder of the test's."""
    before: dict[str, CostRecord | None] = {}

    def lookup(config: RunConfig) -> CostRecord:
        digest = cost_digest(config)
        if digest not in before:
            before[digest] = cache.cached(config)
        record = before[digest]
        if record is None:
            with monkeypatch.context() as patch:
                patch.setenv("BENCHMARK_RUNS", str(tmp_path))
                record = before[digest] = cache.get(config)
        return record

    return lookup


@pytest.mark.slow
def test_the_committed_page_is_what_the_counts_say(tables: dict[str, Table], counted: Lookup) -> None:
    page = cost_page(tables.values(), counted)
    assert page == PAGE.read_text(), "docs/costs.md is not what `make docs` would write"

    costs = Costs(tables.values(), counted)
    unreproduced = [cost for cost in costs.distinct if not cost.verdict.reproduced]
    listed = page.partition("## Not reproduced")[2]
    assert all(f"| {cost.text} |" in re.sub(" +", " ", listed) for cost in unreproduced)
    assert listed.count("\n| ") == len(unreproduced) + 1  # and the heads: the rule below them starts with "|:"
    assert {cost.column.quantity for cost in costs.distinct} == {"macs", "params"}
    assert {COLUMNS[cost.cell.column].source for cost in costs.printed} == {"counted"}

    # TVNet by hand: 40 flows a clip, of each pixel 16 MACs an iteration and 48 besides; 16 weights an iteration and 10.
    operations, weights = (costs.at("bqn-1", "TVNet", key) for key in ("extra_gmacs", "extra_mparams"))
    for iterations in (12, 100):
        variant = {"model.tvnet.iterations": iterations}
        macs, parameters = operations.recount("fvcore_core", variant), weights.recount("fvcore_core", variant)
        assert macs == pytest.approx(40 * 224**2 * (16 * iterations + 48) / 1e9, abs=1e-12)
        assert parameters == pytest.approx((16 * iterations + 10) / 1e6, abs=1e-15)
        assert (operations.gives(macs), weights.gives(parameters)) == (iterations == 100, iterations == 12)

    def heavier(config: RunConfig) -> CostRecord:
        record = counted(config)
        assert record is not None
        operators = [
            entry.model_copy(update={"macs": entry.macs * 11 // 10, "at_outputs": entry.at_outputs * 11 // 10})
            for entry in record.operators
        ]
        parameters = [entry.model_copy(update={"total": entry.total * 11 // 10}) for entry in record.parameters]
        return record.model_copy(update={"operators": tuple(operators), "parameters": tuple(parameters)})

    changed = Costs(tables.values(), heavier)
    for story in STORIES:
        with pytest.raises(StaleProseError):
            story.tell(changed)
