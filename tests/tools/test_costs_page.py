"""The page on printed costs: every number is a print or a count, and no sentence outlives the counts it is about."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pydantic
import pytest

from benchmark.cli.main import build_parser
from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost import cache
from benchmark.cost.audit import Lookup
from benchmark.cost.cache import cost_digest
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table
from benchmark.spec.table import Table
from tools.costs_page import __main__ as program
from tools.costs_page.costs import Costs, varied
from tools.costs_page.page import by_convention, costs_page, names, not_reproduced, template
from tools.pages import StalePageError, filled

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "costs.md"
SECTIONS = sorted(template().blocks)


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: load_table(name) for name in table_paths()}


def one_cost(macs: int, parameters: int = 10**6) -> Lookup:
    """A lookup by which every network costs the same; its representation and its inserts cost a thousandth each."""
    parts = {"": 998, "representation": 1, "backbone.inserts": 1}
    operators = tuple(
        OperatorCount(
            path=path, module_class="Conv2d", operator="conv", macs=macs * n // 1000, calls=1, inputs=1, outputs=1
        )
        for path, n in parts.items()
    )
    held = tuple(
        ModuleParameters(path=path, module_class="Conv2d", total=parameters * n // 1000, trainable=0)
        for path, n in parts.items()
    )
    record = CostRecord(
        input_shape=(1, 8, 3, 224, 224),
        operators=operators,
        uncounted=(),
        parameters=held,
        classes=dict.fromkeys(parts, "Conv2d"),
        torch_macs={},
        versions={},
    )
    return lambda config: record


def statements(section: str, costs: Costs) -> dict[str, bool]:
    """What a section of the page states, and whether it holds."""
    found: dict[str, bool] = {}
    page = template()

    def check(statement: str, holds: bool) -> None:
        found[statement] = holds and found.get(statement, True)

    assert "".join(page.blocks[section](page.new_context(names(costs, check)))).strip()
    return found


@pytest.fixture(scope="module")
def of_equal_networks(tables: dict[str, Table]) -> Costs:
    return Costs(tables.values(), one_cost(10**9))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_states_what_counts_can_contradict(section: str, of_equal_networks: Costs) -> None:
    stated = statements(section, of_equal_networks)
    assert stated
    assert section == "introduction" or not all(stated.values())


@pytest.mark.slow
def test_a_page_that_the_counts_do_not_bear_out_names_every_statement_that_fails(of_equal_networks: Costs) -> None:
    failed = [
        text for section in SECTIONS for text, holds in statements(section, of_equal_networks).items() if not holds
    ]
    with pytest.raises(StalePageError) as caught:
        costs_page(of_equal_networks)
    lines = str(caught.value).splitlines()
    assert {f"docs/costs.md says that {text}; the counts no longer say so" for text in failed} == set(lines)
    assert len(lines) > 20


def test_no_number_of_a_sentence_is_typed_by_hand() -> None:
    """The template's text holds names and words; digits come from the counts, the prints and the configs."""
    page = template()
    source = Path(str(page.filename)).read_text()
    text = "".join(value for _, kind, value in page.environment.lex(source) if kind == "data")
    assert "Self-attention is two products of matrices" in text
    known = r"ResNet-\d+|X3D-?\w*|(?:TSM|MSNet)-R\d+|NL I3D|\b1x1x?1?\b|Table 1\b|Eq\. 5\b|Early in 2021|bqn-3b"
    assert re.findall(r".*\d.*", re.sub(known, "", text)) == []


def test_text_is_filled_and_tables_code_and_headings_are_left_alone() -> None:
    long = "word " * 40
    kept = ["# " + long.strip(), "| " + long + "|", "```\n" + long + "\n```", "<!-- " + long + "-->"]
    assert filled("\n\n\n".join(kept)) == "\n\n".join(kept) + "\n"
    text = filled(f"{long}\n{long}\n\n- {long}\n  {long}\n- two\n")
    paragraph, bullets = text.rstrip("\n").split("\n\n")
    assert paragraph.split() == ["word"] * 80
    assert [line[:2] for line in bullets.splitlines()] == ["- ", *["  "] * (len(bullets.splitlines()) - 2), "- "]
    assert 110 < max(map(len, text.splitlines())) <= 118


def test_tables_of_the_page_hold_what_the_costs_say(tables: dict[str, Table]) -> None:
    costs = Costs([tables["bqn-3a"], tables["cmr-3"], tables["checks-truth"]], one_cost(32_870_000_000))
    assert costs.papers == ["bqn", "cmr"]
    assert all(f"| {name} " in by_convention(costs) for name in CONVENTIONS)
    assert "| cmr-3 | 1 | GMACs | 55 |" in re.sub(" +", " ", not_reproduced(costs))


def test_nothing_is_counted_when_no_cost_is_printed(tables: dict[str, Table]) -> None:
    def refuse(config: RunConfig) -> CostRecord:
        raise AssertionError("counted")

    assert Costs([tables["checks-truth"]], refuse).printed == []


def test_a_print_repeated_for_one_network_is_one_distinct_print(tables: dict[str, Table]) -> None:
    parts = [tables[name] for name in ("bqn-3a", "bqn-3b", "bqn-3d")]
    costs = Costs(parts, one_cost(65_934_000_000))
    named = [(cost.name, cost.as_printed) for cost in costs.distinct]
    repeated = [(cost.name, cost.as_printed) for cost in costs.printed if (cost.name, cost.as_printed) not in named]
    # BQN as it is by default is the last row of 3b and the first of 3d.
    assert repeated == [("bqn-3b, 16", "65.9"), ("bqn-3d, 224²x8, 224²x8", "65.9")]
    whole = Costs([*parts, tables["thesis-5.8"]], one_cost(65_934_000_000))
    assert len(whole.printed) > len(costs.printed)
    again = {cost.as_printed for cost in whole.distinct if cost.table.paper == "thesis"}
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
    assert (gmacs.as_printed, gmacs.printed, gmacs.side) == ("42.9", 42.9, 256)
    assert gmacs.full == pytest.approx(1e-5 * 224**2)
    assert gmacs.by_reading == gmacs.as_counted == pytest.approx(1e-5 * 256**2)
    assert gmacs.recount("two_per_mac", {"data.size": 160, "eval.crops": 3}) == pytest.approx(2e-5 * 256**2)
    assert mparams.recount("fvcore", {"data.dataset": "kinetics400"}) == 400
    assert (gmacs.gives(42.949), gmacs.gives(42.95), gmacs.gives(42.999), gmacs.gives(43.0)) == (1, 1, 1, 0)
    assert (gmacs.gives(42.85), gmacs.gives(42.849)) == (1, 0)


def test_an_unknown_cost_or_claim_is_named(tables: dict[str, Table]) -> None:
    costs = Costs([tables["bqn-3b"]], one_cost(10**9))
    with pytest.raises(StalePageError, match="bqn-3b, 17, gmacs; there is no such row"):
        costs.at("bqn-3b", "17", "gmacs")
    with pytest.raises(StalePageError, match="bqn-3z, 16, gmacs; there is no such row"):
        costs.at("bqn-3z", "16", "gmacs")
    with pytest.raises(StalePageError, match="bqn-3b, 16, Params; the table has none"):
        _ = costs.at("bqn-3b", "16", "mparams").verdict
    with pytest.raises(StalePageError, match=r"quotes claim bqn-3b\.99"):
        costs.claim("bqn-3b.99")


@pytest.fixture
def page_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program writes the page: a file of the test's, from one table."""
    out = tmp_path / "costs.md"
    out.write_text("as it was\n")
    monkeypatch.setattr(program, "PAGE", out)
    monkeypatch.setattr(program, "table_paths", lambda: ["bqn-3b"])
    return out


def test_the_program_writes_the_page(page_to_write: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "count", lambda tables: True)
    monkeypatch.setattr(program, "costs_page", lambda costs: f"# page of {', '.join(costs.tables)}\n")
    assert program.main() == 0
    assert page_to_write.read_text() == "# page of bqn-3b\n"


@pytest.mark.parametrize("counted", [True, False])
def test_a_page_that_would_be_wrong_is_not_written(
    counted: bool, page_to_write: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stale(costs: Costs) -> str:
        raise StalePageError("docs/costs.md says so")

    monkeypatch.setattr(program, "count", lambda tables: counted)
    monkeypatch.setattr(program, "costs_page", stale if counted else lambda costs: "# page\n")
    assert program.main() == 1
    assert page_to_write.read_text() == "as it was\n"
    assert capsys.readouterr().err == ("docs/costs.md says so\n" if counted else "")  # counting says itself what failed


# ---------------------------------------------------------------------------------------------- the committed page


def _lines() -> list[list[str]]:
    text = PAGE.read_text()
    return [
        [re.sub(r"\\([^\w\s])", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_committed_page_has_the_headings_of_the_template() -> None:
    heading = re.compile(r"^##? (.*)$", re.M)
    headings = heading.findall(Path(str(template().filename)).read_text())
    assert len(headings) > 12
    assert heading.findall(PAGE.read_text()) == headings


def test_the_committed_page_has_the_prints_of_the_tables(of_equal_networks: Costs) -> None:
    """Every line of a comparison names a row and a cost, and has its print to the digit."""
    printed = {(cost.name, cost.column.title): cost.as_printed for cost in of_equal_networks.printed}
    tables = of_equal_networks.tables
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
    costs = Costs(tables.values(), counted)
    page = costs_page(costs)
    assert page == PAGE.read_text(), "docs/costs.md is not what `make docs` would write"

    unreproduced = [cost for cost in costs.distinct if not cost.reproduced]
    listed = page.partition("## Not reproduced")[2]
    assert all(f"| {cost.as_printed} |" in re.sub(" +", " ", listed) for cost in unreproduced)
    assert listed.count("\n| ") == len(unreproduced) + 1  # and the heads: the rule below them starts with "|:"
    assert {cost.column.quantity for cost in costs.distinct} == {"macs", "params"}
    assert {COLUMNS[cost.cell.column].kind for cost in costs.printed} == {"counted"}

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
    assert [name for name in SECTIONS if all(statements(name, changed).values())] == ["introduction"]
