"""Every base against a transcription of the papers' sections on training, written from the pages, not from the files.

A figure in brackets is one that the paper is silent on, and that its released code has.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

import pytest

from benchmark.cli.main import build_parser
from benchmark.config.bases import AXES, composed, read_bases
from benchmark.config.folders import tables_roots
from benchmark.config.overrides import Setting, resolve
from benchmark.config.parse import keys_below
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem
from benchmark.plan import make_plan
from benchmark.spec.files import table_paths
from benchmark.spec.include import gather
from benchmark.spec.load import load_table
from benchmark.spec.table import OnDataset

COSINE = ()
"""In the place of the epochs at which the rate falls to a tenth."""


class Recipe(NamedTuple):
    """Momentum is 0.9 in all of them. Where crop, weights or groups are None, the network has its own."""

    lr: float
    batch: int
    epochs: int
    decay: float
    dropout: float
    warmup: int = 0
    steps: tuple[int, ...] = COSINE
    clip: float | None = 20.0
    smoothing: float = 0.0
    nesterov: bool = False
    partial_bn: bool = False
    device: int | None = None
    start: str | None = None
    crop: str | None = None
    weights: str | None = None
    groups: str | None = None


class Network(NamedTuple):
    """The clip that a network takes, its published weights, and what its own layers need in training."""

    segments: int
    size: int
    weights: str | None
    groups: str
    normalisation: str = "imagenet"
    scale: int = 256
    crop: str = "multiscale"
    joint: str = "none"
    residual: float = 0.0


class Data(NamedTuple):
    """`views` are clips x crops, `scale` is the shorter side that they are cut from; None: as the network has it."""

    dataset: str
    sampling: str
    flip: Any
    views: tuple[int, int]
    scale: int | None = None
    resize: tuple[int, int] | None = None


FLOW, JITTER, SCRATCH = "multiscale_three", "jitter", "scratch"

# BQN, Appendix A = thesis 5.5.1 = DA, Appendix A = thesis 3.6.1: rate, batch, epochs, decay, dropout, warm-up.
# DA prints clipping at 20 and smoothing of 0.1 [BQN's commands have the same].
# Clips of a GPU: 8 of ResNet in both (BQN on Something-Something: not printed), 4 in fine-tuning and on UCF101; of X3D
# 16 in BQN (not printed from scratch on Something-Something) and 8 in DA, 2 of ViT.
BQN = Recipe(0.12, 256, 50, 8e-4, 0.8, 7, smoothing=0.1, device=8)
BQN_TUNED = BQN._replace(lr=0.001, batch=64, epochs=10, decay=1e-4, warmup=0, partial_bn=True, device=4)
X3D_TUNED = BQN._replace(decay=4e-4, weights="kinetics400")
X3D_K400 = BQN._replace(lr=0.4, epochs=256, decay=5e-5, dropout=0.5)
# Thesis 3.3.1; its "when the validation accuracy saturates" has no epochs.
TSP = Recipe(0.001, 32, 30, 4e-5, 0.5, steps=(15, 25), clip=None)
# Thesis 4.6 [clipping, clips of a GPU, groups].
RNL = Recipe(0.01, 64, 50, 1e-4, 0.5, device=16, groups="rnl")
# MotionSqueeze 4.2 [decay, dropout, clipping, groups].
MS = Recipe(0.01, 48, 40, 5e-4, 0.5, steps=(20, 30), clip=200.0, nesterov=True, device=12, groups="msnet")
MS_K400 = MS._replace(epochs=80, steps=(40, 60), decay=1e-4, clip=20.0)
# CMR, Experimental Setup [decay, dropout, clipping, groups of TSM].
CMR = Recipe(0.01, 64, 50, 5e-4, 0.5, steps=(30, 40, 45), device=8)

RECIPES = {
    "bqn": BQN,
    "bqn_kinetics400": BQN._replace(lr=0.08, batch=512, epochs=100, decay=2e-4, dropout=0.5),
    "bqn_finetuning": BQN_TUNED._replace(weights=SCRATCH, start="recipe/bqn_kinetics400 + data/kinetics400_10x1"),
    "bqn_ucf101": BQN._replace(lr=0.01, batch=64, epochs=80, decay=1e-4, dropout=0.5, device=4),  # BQN, Appendix C
    "bqn_x3d": BQN._replace(lr=0.2, epochs=100, decay=5e-5, dropout=0.5, device=16),
    "bqn_x3d_kinetics400": X3D_K400._replace(device=16),
    "bqn_x3d_finetuning": X3D_TUNED._replace(epochs=60, device=16),
    "da_x3d": X3D_TUNED._replace(crop=JITTER),
    "da_x3d_kinetics400": X3D_K400._replace(crop=JITTER),
    "da_vit": Recipe(0.004, 64, 15, 1e-4, 0.0, clip=None, device=2, crop=JITTER),
    "tsp": TSP,
    "tsp_flow": TSP._replace(lr=0.005, crop=FLOW),
    "rnl": RNL,
    "rnl_something": RNL._replace(lr=0.02, decay=8e-4, dropout=0.8),
    "msnet": MS,
    "msnet_flow": MS._replace(groups="msnet_flow", crop=FLOW),
    "msnet_kinetics400": MS_K400,
    "msnet_hmdb51": MS_K400._replace(
        lr=0.001,
        epochs=35,
        steps=(15, 30),
        weights=SCRATCH,
        start="recipe/msnet_kinetics400 + data/kinetics400_10x1",
    ),
    "cmr": CMR,
    "cmr_kinetics400": CMR._replace(epochs=100, steps=(50, 75, 90), decay=1e-4),
}

R50 = Network(8, 224, "imagenet", "tsm")
XS = Network(4, 160, None, "tsm", "kinetics", 182)
TESNET = Network(1, 299, "imagenet", "plain", "half", residual=10.0)
NETWORKS = {
    **dict.fromkeys(("tsm_r50", "tsm_r18", "msnet_r50", "msnet_r18", "tim_r50", "cmr_r50", "mobilenet_v2"), R50),
    "flow_r50": R50._replace(groups="tsm_flow", crop=FLOW),
    "da_r50": R50._replace(joint="mgda"),
    "bqn_r50": R50._replace(groups="bqn"),
    "bqn_x3d": Network(16, 256, None, "bqn", "kinetics"),
    "x3d_m": Network(16, 224, None, "tsm", "kinetics"),
    "x3d_xs": XS,
    "da_x3d_xs": XS._replace(joint="mgda"),
    "vit_b16": Network(8, 224, "imagenet21k", "vit", "half"),
    "i3d": R50._replace(weights=None),
    "inception_resnet_v2": TESNET._replace(residual=0.0),
    "tesnet": TESNET,
    "tesnet_64": TESNET,
}

SS = Data("something-v1", "uniform", False, (1, 1))
K400 = Data("kinetics400", "dense", True, (10, 3))
UCF = Data("ucf101", "uniform", True, (1, 1))
DATA = {
    "something-v1": SS,
    "something-v1_2x3": SS._replace(views=(2, 3)),
    "something-v1_msnet": SS._replace(flip="undirected", scale=240, resize=(240, 320)),
    "kinetics400": K400,
    "kinetics400_10x1": K400._replace(views=(10, 1)),
    "kinetics400_1x3": K400._replace(views=(1, 3), scale=224),
    "minikinetics": K400._replace(dataset="minikinetics", views=(1, 1)),
    "ucf101": UCF,
    "ucf101_tsp": UCF._replace(sampling="dense", views=(20, 3), scale=340),
}


def combinations() -> dict[tuple[str, str, str], tuple[str, ...]]:
    """The names of network, recipe and data that a row of the tables has together, on any data set, and its bases."""
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for path in table_paths().values():
        gathered = gather(path, [])
        assert gathered is not None
        for entry in (one for one in gathered.entries if not (one.row.quoted or one.row.average)):
            for dataset in (None, *entry.spec.also, *entry.row.also):
                also = [part.get(dataset or "", OnDataset()).base for part in (entry.spec.also, entry.row.also)]
                bases: dict[str, str] = {}
                for names in (entry.spec.base, entry.row.base, *also):
                    bases |= dict(name.split("/") for name in ([names] if isinstance(names, str) else names))
                found[bases["network"], bases["recipe"], bases["data"]] = tuple(f"{a}/{n}" for a, n in bases.items())
    return found


COMBINATIONS = combinations()


def of_bases(names: tuple[str, ...]) -> RunConfig:
    problems: list[Problem] = []
    bases = read_bases([Setting(name, "tables", 0) for name in names], problems)
    assert bases is not None, problems
    config, problems = resolve(composed(bases), ("tables", 0))
    assert config is not None, problems
    return config


def test_every_base_is_transcribed_and_is_of_some_row() -> None:
    there = [{path.stem for path in (tables_roots()[0] / "bases" / axis).glob("*.yaml")} for axis in AXES]
    assert there == [NETWORKS.keys(), RECIPES.keys(), DATA.keys()]
    assert there == [{names[i] for names in COMBINATIONS} for i in range(3)]


@pytest.mark.parametrize("names", COMBINATIONS, ids=" ".join)
def test_the_bases_of_a_row_have_the_figures_of_its_paper(names: tuple[str, str, str]) -> None:
    config = of_bases(COMBINATIONS[names])
    network, recipe, clips = NETWORKS[names[0]], RECIPES[names[1]], DATA[names[2]]
    train, data, views = config.train, config.data, config.eval
    weights = None if recipe.weights == SCRATCH else recipe.weights or network.weights
    assert recipe._replace(crop=None, weights=None, groups=None) == Recipe(
        train.lr,
        train.batch_size,
        train.epochs,
        train.weight_decay,
        config.model.dropout,
        int(train.warmup_epochs),
        train.milestones if train.schedule == "step" else COSINE,
        train.clip_norm,
        train.label_smoothing,
        train.nesterov,
        train.partial_bn,
        train.device_batch,
        train.start_from,
    )
    assert network._replace(weights=None, groups="", scale=0, crop="") == Network(
        *(data.segments, data.size, None, "", data.normalisation, 0, ""),
        train.joint.strategy,
        train.residual_weight,
    )
    assert (recipe.crop or network.crop, recipe.groups or network.groups) == (data.train_crop, train.param_groups)
    assert (weights, clips.scale or network.scale) == (config.model.pretrained, views.scale)
    shown = Data(data.dataset, data.sampling, data.flip, (views.clips, views.crops), resize=data.resize)
    assert clips._replace(scale=None) == shown
    assert (train.momentum, data.window, views.placing, views.unreadable) == (0.9, 64, "fixed", "wrong")


def test_every_table_resolves_as_printed_with_its_paper_s_crops_and_flips() -> None:
    names = [name for name in table_paths() if not name.startswith("checks-")]
    plan = make_plan([load_table(name, "paper") for name in names])
    for run in plan.runs.values():
        flow = getattr(run.config.model, "representation", "") == "flow" or run.config.modality == "flow"
        assert (run.config.data.train_crop == FLOW) == flow, run.used_by
        mirrored, something = run.config.data.flip, run.config.data.dataset == SS.dataset
        assert mirrored in ((False, "undirected") if something else (True,)), run.used_by
        assert (mirrored == "undirected") == (something and run.used_by[0][0].startswith("msnet"))


@pytest.mark.parametrize(
    ("table", "row", "segments", "size", "quiet", "views"),
    [
        ("bqn-5", "BQN | TSM R50 | 48x10", 16, 256, 160, (10, 1)),  # BQN, Appendix A
        ("bqn-6", "BQN", 16, 256, 160, (2, 3)),
        ("da-2", "DA_16x8 TSM", 16, 224, None, (10, 3)),
        ("da-3", "DA_8x16 TSM", 8, 224, None, (2, 3)),  # DA, Appendix A
    ],
)
def test_the_clips_of_a_network_on_another_data_set_are_of_its_table(
    table: str, row: str, segments: int, size: int, quiet: int | None, views: tuple[int, int]
) -> None:
    found = load_table(table, "paper").row(row)
    for config in (found.config, found.start or found.config):
        assert config is not None
        assert (config.data.segments, config.data.size) == (segments, size)
        assert getattr(config.model, "quiet_size", None) == quiet
    assert found.config is not None
    assert (found.config.eval.clips, found.config.eval.crops) == views


def test_the_thesis_longest_training() -> None:
    longest = load_table("thesis-4.7", "paper").row("RNL TSM (ours) | ResNet50 | 16").config
    assert longest is not None
    assert (longest.train.epochs, longest.train.lr, longest.data.segments) == (100, 0.01, 16)


def test_the_page_on_the_protocol_names_what_there_is() -> None:
    text = (tables_roots()[0].resolve().parent / "docs/paper_protocol.md").read_text()
    recipes = text[text.index("## Recipes") : text.index("## Batches")]
    assert set(re.findall(r"`([a-z0-9_]+)`", recipes.partition("Where text")[0])) == RECIPES.keys()
    keys = set(re.findall(r"^\| `((?:data|eval)\.\w+)`", text, re.M))
    assert keys <= set(keys_below(RunConfig))
    assert len(keys) == 10
    for command in re.findall(r"^python -m benchmark (.+)$", text, re.M):
        build_parser().parse_args(shlex.split(command))
