"""The code that made a run: what of it counts, and which edits are noticed, on a copy of the package."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmark.config.folders import REPOSITORY
from benchmark.config.models import BqnConfig, CustomConfig, TsmResNetConfig
from benchmark.config.modules import MotionSqueezeConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.launch.behaviour import miniature
from benchmark.launch.executed import traced, used_by_run
from benchmark.launch.job import prepare_torch
from benchmark.runs.code import EDITED, LEFT_OUT, Executed, Symbols, changes, digests
from benchmark.runs.syntax import read_symbols

DATA = DataConfig(dataset="ucf101", size=32, segments=4)
RECIPE = TrainConfig(epochs=9, warmup_epochs=1, batch_size=4, lr=0.01)
CONFIGS = {
    "bqn": RunConfig(
        model=BqnConfig(depth=18, width=0.125, num_bplc=8), data=DATA, train=RECIPE, eval=EvalConfig(scale=36)
    ),
    "msnet": RunConfig(
        model=TsmResNetConfig(
            depth=18,
            width=0.125,
            insert=("motion_squeeze",),
            insert_after=("res3",),
            motion_squeeze=MotionSqueezeConfig(patch=3),
        ),
        data=DATA,
        train=RECIPE,
        eval=EvalConfig(scale=36, clips=2),
    ),
}


def code_of(config: RunConfig) -> Symbols:
    threads = torch.get_num_threads()
    prepare_torch(torch.device("cpu"))
    try:
        with traced() as found:
            miniature(config, torch.device("cpu"))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    return digests(used_by_run(found, config))


@pytest.fixture(scope="module")
def made() -> dict[str, Symbols]:
    """The code of a run of each config."""
    return {name: code_of(config) for name, config in CONFIGS.items()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(REPOSITORY / "benchmark", root / "benchmark", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def edit(package: Path) -> Iterator[Callable[[str, str, str], Path]]:
    """Replaces a text of a file of the copy, which is as it was afterwards."""
    before: dict[Path, str] = {}

    def replace(file: str, old: str, new: str) -> Path:
        path = package / "benchmark" / file
        text = before.setdefault(path, path.read_text())
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return package

    yield replace
    for path, text in before.items():
        path.write_text(text)


def test_a_run_of_unchanged_code_is_current(made: dict[str, Symbols], package: Path) -> None:
    for symbols in made.values():
        assert len(symbols) > 30
        assert changes(symbols) == changes(symbols, package) == {}
        assert not any(file.startswith(entry) for file in symbols for entry in LEFT_OUT if "runs" not in entry)


MBPM, SQUEEZE, OPTIM = "models/modules/mbpm.py", "models/modules/motion_squeeze.py", "train/optim.py"
BOTH, BQN, MSNET = {"bqn", "msnet"}, {"bqn"}, {"msnet"}


@pytest.mark.parametrize(
    ("file", "old", "new", "marked"),
    [
        pytest.param(MBPM, "HIGH_PASS = (-1 / 3, 2 / 3, -1 / 3)", "HIGH_PASS = (0, 1, 0)", BQN, id="constant"),
        pytest.param(MBPM, 'mode="reflect"', 'mode="circular"', BQN, id="function of the file"),
        pytest.param(MBPM, "sigma: float = 1.1", "sigma: float = 1.2", BQN, id="default argument"),
        pytest.param(MBPM, "class Mbpm(nn.Module)", "class Mbpm(nn.Sequential)", BQN, id="base class"),
        pytest.param(MBPM, "    def extra", "    training = True\n\n    def extra", BQN, id="class attribute"),
        pytest.param(MBPM, "    def _edges", "    @torch.no_grad()\n    def _edges", BQN, id="decorator"),
        pytest.param(MBPM, "    def _edges", "    def eval(self): pass\n\n    def _edges", BQN, id="torch's replaced"),
        pytest.param(MBPM, "def reflect_pad", "F = F\n\n\ndef reflect_pad", BQN, id="name bound again"),
        pytest.param(MBPM, "nn import functional as F", "special import functional as F", BQN, id="import"),
        pytest.param(MBPM, "\nclass", "\ntorch.manual_seed(0)\n\n\nclass", BQN, id="loose statement"),
        pytest.param(MBPM, "def _edges", "def _borders", BQN, id="renamed"),
        pytest.param(SQUEEZE, "super().__init__()", "super().__init__(), 1", MSNET, id="MotionSqueeze"),
        pytest.param("models/modules/displacements.py", "def backward(", "def backward(*, ", MSNET, id="backward pass"),
        pytest.param("models/build.py", '"bqn": ', '"bqn2": ', BOTH, id="registry"),
        pytest.param(OPTIM, '"stem_mbpm": (5, 1)', '"stem_mbpm": (4, 1)', BOTH, id="constant of constants"),
        pytest.param(OPTIM, "def lr_at(epoch", "def lr_at(epoch_", BOTH, id="schedule"),
        pytest.param("data/sampling.py", "def train_uniform(", "def train_uniform(*, ", BOTH, id="sampling"),
        pytest.param("data/transforms.py", "MEAN = (", "MEAN = (0, ", BOTH, id="normalisation"),
        pytest.param("data/decode/video.py", "def read_frames(", "def read_frames(*, ", BOTH, id="decoding"),
        pytest.param("evaluate/views.py", "def average_over_views(", "def average_over_views(*, ", BOTH, id="views"),
        pytest.param("runs/metrics.py", '"top5": 5', '"top5": 4', BOTH, id="metrics"),
        pytest.param("config/modules.py", '"benchmark.models.modules.motion_s', '"x.s', MSNET, id="constructor"),
        pytest.param("config/modules.py", 'Literal["add", "multiply"', 'Literal["add", "sum"', set(), id="setting"),
        pytest.param(MBPM, '"""Motion Band-Pass Module, Eq. 3.', '"""Another docstring.', set(), id="docstring"),
        pytest.param(MBPM, "# The depthwise kernel", "# This kernel", set(), id="comment"),
        pytest.param(MBPM, "frames: int) -> Tensor", "frames: float) -> object", set(), id="annotations"),
        pytest.param(MBPM, "\nclass", "\ndef unrelated() -> None:\n    return 1\n\n\nclass", set(), id="one more"),
        pytest.param("models/modules/cbam.py", "super().__init__()", "pass", set(), id="another module"),
        pytest.param("launch/heartbeat.py", "BEAT_SECONDS and", "2 * BEAT_SECONDS and", set(), id="heartbeat"),
    ],
)
def test_an_edit_marks_the_runs_whose_code_it_changes(
    made: dict[str, Symbols], edit: Callable[[str, str, str], Path], file: str, old: str, new: str, marked: set[str]
) -> None:
    root = edit(file, old, new)
    found = {name: changes(symbols, root) for name, symbols in made.items()}
    assert {name for name, differing in found.items() if differing} == marked
    assert all(list(differing) == [f"benchmark/{file}"] for differing in found.values() if differing)


FILES = {
    "a.py": """
        import functools
        import benchmark.b as b
        from benchmark.b import Base, passed_on as given, register
        from benchmark.c import make, once as twice
        VALUE = make(2)
        KINDS = {"x": lambda x: x + 1, "y": unused}
        def unused(): ...
        @functools.wraps(unused)
        @twice
        def deco(f=b.DEFAULT): return f
        class Sub(Base):
            @property
            def p(self): return [KINDS["x"](i) for i in (given, VALUE)]
        @functools.cache
        def kept(): return inner()
        def inner(): return 1
        def run():
            kept()
            from benchmark.d import late
            return Sub().p, Sub().inherited(), deco(), late()
        """,
    "b.py": """
        from benchmark.c import HIDDEN as passed_on
        DEFAULT = 1
        class Base:
            FACTOR = 2
            def __init_subclass__(cls): register()
            def inherited(self): return self.FACTOR
            def never(self): return 0
        def register(): ...
        """,
    "c.py": """
        HIDDEN = 3
        def make(n): return below(n)
        def below(n): return n
        def once(f): return f
        def also(): return 0
        """,
    "d.py": "def late(): return LATE\nLATE = 5\n",
}
EDITS = [
    *(("c.py", old, f"{old} or 7") for old in ("HIDDEN = 3", "return below(n)", "return n", "return f")),
    *(("b.py", "HIDDEN as", "make as"), ("b.py", "DEFAULT = 1", "DEFAULT = 2"), ("b.py", "= 2", "= 3")),
    *(("b.py", "return self.F", "return 2 * self.F"), ("b.py", "cls): register()", "cls): pass")),
    *(("b.py", "def register(): ...", "def register(): return 1"), ("d.py", "LATE = 5", "LATE = 6")),
    *(
        ("a.py", "x + 1", "x + 2"),
        ("a.py", "def unused", "def other"),
        ("a.py", "from benchmark.d", "from benchmark.c"),
    ),
    *(("a.py", "return inner()", "return 2 * inner()"), ("a.py", "def inner(): return 1", "def inner(): return 2")),
    ("a.py", "    @property", "    def inherited(self): return 1\n    @property"),
    *(
        ("b.py", "return 0", "return 1"),
        ("c.py", "return 0", "return 1"),
        ("a.py", "unused(): ...", "unused(): return 1"),
    ),
]
UNNOTICED = [*EDITS[-3:], ("a.py", "def unused", "def other")]


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_what_a_function_rests_on_counts(tmp_path: Path, number: int) -> None:
    from textwrap import dedent

    package = tmp_path / "benchmark"
    package.mkdir()
    for name, text in FILES.items():
        (package / name).write_text(dedent(text))
    names = ("run", "Sub.p", "Sub.p.<locals>.<listcomp>", "<lambda>", "deco")
    line = (package / "a.py").read_text().split("\n").index('KINDS = {"x": lambda x: x + 1, "y": unused}') + 1
    used = [Executed("benchmark/a.py", name, line) for name in names]
    used += [Executed("benchmark/b.py", "Base.inherited", 0), Executed("benchmark/d.py", "late", 0)]
    symbols = digests(used, tmp_path)
    assert changes(symbols, tmp_path) == {}
    file, old, new = EDITS[number]
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new, 1))
    assert list(changes(symbols, tmp_path)) == ([] if EDITS[number] in UNNOTICED else [f"benchmark/{file}"])


SOURCE = '''
"""Of the file."""
from torch.nn import functional as F
A, B = 1, (2.5, "x" "y", b"z", None, ...)
class C(F.Base, metaclass=type):
    """Of the class."""
    x: int = 0
    def f(self, *args: int, y=A, **kw) -> str:
        """Of the method."""
        z: float = -1e-3
        return f"{z!r:>{y}} and {{}} {self.x=}" "more" if y else [i async for i in {**kw}]
match A:
    case {"a": [1, *_]} | C(x=0): pass
'''


def test_digests_are_the_same_on_every_version_of_python() -> None:
    """Also found by 3.12.7 and 3.13.2; syntax trees have other fields there."""
    symbols = read_symbols(SOURCE)
    assert {name: symbol.digest for name, symbol in symbols.items()} == {
        "F": "27b619ac",
        "A": "8d6b69fe",
        "B": "8d6b69fe",
        "C.f": "8208da5d",
        "C": "fe10247b",
        "<module>": "afab51bd",
    }


def test_a_file_that_was_edited_after_it_was_loaded_is_not_taken_for_what_was_executed(package: Path) -> None:
    used = [Executed("benchmark/train/loop.py", "train_epoch", 0)]
    at = (package / "benchmark/train/loop.py").stat().st_mtime
    assert digests(used, package, at + 1)["benchmark/train/loop.py"] == digests(used)["benchmark/train/loop.py"]
    assert set(digests(used, package, at - 1)["benchmark/train/loop.py"].values()) == {EDITED}


NET = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from torch import nn
from torch.nn import functional as F
from piece import SIDE, Block
class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.block, self.fc = Block(), nn.Linear(16 * SIDE * SIDE, num_classes)
    def forward(self, x):
        b = x.shape[0]
        x = self.block(x.flatten(0, 1))
        return self.fc(F.adaptive_avg_pool2d(x, SIDE).flatten(1).unflatten(0, (b, -1)).mean(1))
"""
BLOCK = (
    "from torch import nn\nSIDE = 2\ndef Block():\n    return nn.Sequential(nn.Conv2d(3, 16, 3, stride=4), nn.ReLU())\n"
)


def test_a_module_a_gate_and_a_representation_of_ones_own_are_their_files_and_those_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "by", raising=False)
    Path("mine").mkdir()
    text = (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\n"
        "from torch import nn\nfrom by import by\n\n\n"
        "class Scale(nn.Module):\n    def forward(self, x, frames):\n        return by(x)\n\n\n"
        "class First(nn.Module):\n    def forward(self, x):\n        return x[:, 0]\n\n\n"
        "class Unused(Scale):\n    def forward(self, x, frames):\n        return 2 * x\n"
    )
    Path("mine/scale.py").write_text(text)
    Path("mine/by.py").write_text("FACTOR = 2\n\n\ndef by(x):\n    return FACTOR * x\n")
    Path("first.py").write_text(text.replace("from by import by", "by = abs"))
    model = TsmResNetConfig(
        depth=18,
        width=0.125,
        insert=("mine/scale.py:Scale",),
        insert_after=("res3",),
        gate="mine/scale.py:Scale",
        representation="first.py:First",
        representation_options={"frames": 2},
    )
    symbols = code_of(CONFIGS["msnet"].model_copy(update={"model": model}))
    own = {file: set(found) for file, found in symbols.items() if not file.startswith("benchmark/")}
    assert set(own) == {"first.py", "mine/by.py", "mine/scale.py"}
    assert own["mine/by.py"] == {"<module>", "FACTOR", "by"}
    assert {"First", "First.forward"} <= own["first.py"]
    assert changes(symbols) == {}
    Path("mine/by.py").write_text("FACTOR = 3\n\n\ndef by(x):\n    return FACTOR * x\n")
    Path("mine/scale.py").write_text(text.replace("2 * x", "3 * x"))
    assert changes(symbols).keys() == {"mine/by.py"}


@pytest.mark.parametrize(
    ("old", "new"), [("stride=4", "stride=2"), ("SIDE = 2", "SIDE = 3"), ("from", "# as it was\nfrom")]
)
def test_a_custom_network_is_its_own_file_and_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "piece", raising=False)
    Path("nets").mkdir()
    Path("nets/net.py").write_text(NET)
    Path("nets/piece.py").write_text(BLOCK)
    model = CustomConfig(entry="nets/net.py:Net", frames_per_segment=1)
    symbols = code_of(CONFIGS["bqn"].model_copy(update={"model": model}))
    assert [file for file in symbols if file.startswith("nets")] == ["nets/net.py", "nets/piece.py"]
    assert changes(symbols) == {}
    Path("nets/piece.py").write_text(BLOCK.replace(old, new, 1))
    assert list(changes(symbols)) == ([] if "#" in new else ["nets/piece.py"])
