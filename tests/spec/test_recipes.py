"""Every base against a transcription of the papers' sections on training, written from the pages, not from the files.

A figure in brackets is one that the paper is silent on, and that its released code has.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

import pytest

from benchmark.cli.main import build_parser
from benchmark.config.bases import base_layer
from benchmark.config.folders import tables_root
from benchmark.config.overrides import keys_below, resolve
from benchmark.config.run import RunConfig
from benchmark.config.source import read_yaml
from benchmark.plan import make_plan
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table

COSINE = ()
"""In the place of the epochs at which the rate falls to a tenth."""


class Recipe(NamedTuple):
    """Momentum is 0.9 in all of them."""

    lr: float
    batch: int
    epochs: int
    decay: float
    dropout: float
    warmup: int = 0
    steps: tuple[int, ...] = COSINE
    clip: float | None = 20.0
    smoothing: float = 0.0
    groups: str = "tsm"
    nesterov: bool = False
    partial_bn: bool = False
    device: int | None = None
    start: str | None = None


class Clips(NamedTuple):
    """`views` are clips x crops, `scale` the shorter side that they are cut from."""

    dataset: str
    segments: int
    sampling: str
    size: int
    crop: str
    flip: Any
    views: tuple[int, int]
    scale: int
    weights: str | None
    normalisation: str = "imagenet"
    resize: tuple[int, int] | None = None


SS, K400, UCF, HMDB = "something-v1", "kinetics400", "ucf101", "hmdb51"
TSN, FLOW, JITTER = "multiscale", "multiscale_three", "jitter"
IN1K, IN21K = "imagenet", "imagenet21k"

# BQN, Appendix A = thesis 5.5.1 = DA, Appendix A = thesis 3.6.1: rate, batch, epochs, decay, dropout, warm-up.
# DA prints clipping at 20 and smoothing of 0.1 [BQN's commands have the same].
# Clips of a GPU: 8 of ResNet in both (BQN on Something-Something: not printed), 4 in fine-tuning and on UCF101; of X3D
# 16 in BQN (not printed from scratch on Something-Something) and 8 in DA, 2 of ViT.
R50_SS = Recipe(0.12, 256, 50, 8e-4, 0.8, 7, smoothing=0.1, device=8)
R50_K400 = Recipe(0.08, 512, 100, 2e-4, 0.5, 7, smoothing=0.1, device=8)
R50_UCF = Recipe(0.001, 64, 10, 1e-4, 0.8, smoothing=0.1, partial_bn=True, device=4)
R50_UCF_ALONE = Recipe(0.01, 64, 80, 1e-4, 0.5, 7, smoothing=0.1, device=4)  # BQN, Appendix C
X3D_SS = Recipe(0.2, 256, 100, 5e-5, 0.5, 7, smoothing=0.1, device=16)
X3D_K400 = Recipe(0.4, 256, 256, 5e-5, 0.5, 7, smoothing=0.1, device=8)
X3D_SS_BQN_TUNED = Recipe(0.12, 256, 60, 4e-4, 0.8, 7, smoothing=0.1, device=16)  # BQN: from Kinetics-400
X3D_SS_DA_TUNED = Recipe(0.12, 256, 50, 4e-4, 0.8, 7, smoothing=0.1, device=8)  # DA: from Kinetics-400
VIT = Recipe(0.004, 64, 15, 1e-4, 0.0, clip=None, groups="vit", device=2)
# Thesis 3.3.1; its "when the validation accuracy saturates" has no epochs.
TSP = Recipe(0.001, 32, 30, 4e-5, 0.5, steps=(15, 25), clip=None, groups="plain")
TSP_FLOW = TSP._replace(lr=0.005)
# Thesis 4.6 [clipping, clips of a GPU].
RNL_K400 = Recipe(0.01, 64, 50, 1e-4, 0.5, device=16)
RNL_SS = Recipe(0.02, 64, 50, 8e-4, 0.8, device=16)
# MotionSqueeze 4.2 [decay, dropout, clipping, groups].
MS_SS = Recipe(0.01, 48, 40, 5e-4, 0.5, steps=(20, 30), clip=200.0, groups="msnet", nesterov=True, device=12)
MS_K400 = MS_SS._replace(epochs=80, steps=(40, 60), decay=1e-4, clip=20.0)
MS_HMDB = MS_K400._replace(lr=0.001, epochs=35, steps=(15, 30), start="msnet_kinetics_r50")
# CMR, Experimental Setup [decay, dropout, clipping, groups of TSM].
CMR_SS = Recipe(0.01, 64, 50, 5e-4, 0.5, steps=(30, 40, 45), device=8)
CMR_K400 = CMR_SS._replace(epochs=100, steps=(50, 75, 90), decay=1e-4)

SS_R50 = Clips(SS, 8, "uniform", 224, TSN, False, (1, 1), 256, IN1K)
K400_R50 = Clips(K400, 16, "dense", 224, TSN, True, (1, 1), 256, IN1K)
K400_X3D = Clips(K400, 16, "dense", 224, JITTER, True, (10, 3), 256, None, "kinetics")
XS = Clips(SS, 4, "uniform", 160, JITTER, False, (1, 1), 182, K400, "kinetics")
VIT_SS = Clips(SS, 8, "uniform", 224, JITTER, False, (1, 1), 256, IN21K, "half")
SQUEEZED = Clips(UCF, 1, "dense", 299, TSN, True, (20, 3), 340, IN1K, "half")
MS_FRAMES = Clips(SS, 8, "uniform", 224, TSN, "undirected", (1, 1), 240, IN1K, resize=(240, 320))
MS_DENSE = Clips(K400, 8, "dense", 224, TSN, True, (10, 1), 256, IN1K)
RNL_DENSE = Clips(K400, 8, "dense", 224, TSN, True, (10, 3), 256, IN1K)

RECIPES: dict[str, tuple[Recipe, Clips]] = {
    "bqn_r50": (R50_SS._replace(groups="bqn"), SS_R50),
    "quiet_r50": (R50_SS, SS_R50),
    "busy_r50": (R50_SS, SS_R50),
    "mobilenet_v2": (R50_SS, SS_R50),
    "flow_r50": (R50_SS._replace(groups="tsm_flow"), SS_R50._replace(crop=FLOW)),
    "da_r50": (R50_SS, SS_R50),
    "x3d_m": (X3D_SS, SS_R50._replace(segments=16, weights=None, normalisation="kinetics")),
    "bqn_x3d": (
        X3D_SS._replace(groups="bqn"),
        SS_R50._replace(segments=16, size=256, weights=None, normalisation="kinetics"),
    ),
    "bqn_x3d_k400": (
        X3D_SS_BQN_TUNED._replace(groups="bqn"),
        SS_R50._replace(segments=16, size=256, weights=K400, normalisation="kinetics"),
    ),
    "x3d_xs": (X3D_SS_DA_TUNED, XS),
    "da_x3d_xs": (X3D_SS_DA_TUNED, XS),
    "x3d_m_k400": (X3D_SS_DA_TUNED, XS._replace(segments=16, size=224, scale=256)),
    "da_x3d_m": (X3D_SS_DA_TUNED, XS._replace(segments=16, size=224, scale=256)),
    "vit_b16": (VIT, VIT_SS),
    "da_vit_b16": (VIT, VIT_SS),
    "kinetics_vit_b16": (
        VIT,
        VIT_SS._replace(dataset=K400, sampling="dense", flip=True, views=(1, 3), scale=224),
    ),
    "kinetics_da_vit_b16": (
        VIT,
        VIT_SS._replace(dataset=K400, sampling="dense", flip=True, views=(1, 3), scale=224),
    ),
    "kinetics_r50": (R50_K400, K400_R50),
    "kinetics_tsm_r50": (R50_K400, K400_R50._replace(views=(10, 3))),
    "kinetics_da_r50": (R50_K400, K400_R50._replace(views=(10, 3))),
    "kinetics_da_r50_8x16": (R50_K400, K400_R50._replace(segments=8, views=(10, 3))),
    "kinetics_bqn_r50": (R50_K400._replace(groups="bqn"), K400_R50._replace(size=256, views=(10, 1))),
    "kinetics_x3d_m": (X3D_K400, K400_X3D),
    "kinetics_da_x3d_m": (X3D_K400, K400_X3D),
    "kinetics_x3d_m_bqn": (X3D_K400._replace(device=16), K400_X3D._replace(crop=TSN)),
    "kinetics_bqn_x3d": (X3D_K400._replace(groups="bqn", device=16), K400_X3D._replace(size=256, crop=TSN)),
    "mini_da_x3d_xs": (
        X3D_K400,
        K400_X3D._replace(dataset="minikinetics", segments=4, size=160, views=(1, 1), scale=182),
    ),
    "ucf_bqn_r50": (
        R50_UCF._replace(groups="bqn", start="kinetics_bqn_r50"),
        SS_R50._replace(dataset=UCF, segments=16, size=256, flip=True, views=(2, 3), weights=None),
    ),
    "hmdb_bqn_r50": (
        R50_UCF._replace(groups="bqn", start="kinetics_bqn_r50"),
        SS_R50._replace(dataset=HMDB, segments=16, size=256, flip=True, views=(2, 3), weights=None),
    ),
    "ucf_da_r50": (
        R50_UCF._replace(start="kinetics_da_r50_8x16"),
        SS_R50._replace(dataset=UCF, flip=True, views=(2, 3), weights=None),
    ),
    "hmdb_da_r50": (
        R50_UCF._replace(start="kinetics_da_r50_8x16"),
        SS_R50._replace(dataset=HMDB, flip=True, views=(2, 3), weights=None),
    ),
    "ucf_busy_r50": (R50_UCF_ALONE, SS_R50._replace(dataset=UCF, flip=True)),
    "inception_resnet_v2": (TSP, SQUEEZED._replace(sampling="uniform")),
    "inception_resnet_v2_flow": (TSP_FLOW, SQUEEZED._replace(sampling="uniform", crop=FLOW)),
    "tesnet": (TSP, SQUEEZED),
    "tesnet_64": (TSP._replace(batch=8), SQUEEZED),
    "tesnet_64_flow": (TSP_FLOW._replace(batch=8), SQUEEZED._replace(crop=FLOW)),
    "rnl_r50": (RNL_K400, RNL_DENSE),
    "rnl_r50_ssv1": (RNL_SS, SS_R50._replace(views=(2, 3))),
    **dict.fromkeys(("msnet_tsm_r18", "msnet_r18", "msnet_tsm_r50", "msnet_r50"), (MS_SS, MS_FRAMES)),
    "msnet_i3d": (MS_SS, MS_FRAMES._replace(weights=None)),
    "msnet_mobilenet_v2": (MS_SS, MS_FRAMES),
    "msnet_flow_r18": (MS_SS._replace(groups="msnet_flow"), MS_FRAMES._replace(crop=FLOW)),
    "msnet_kinetics_tsm_r50": (MS_K400, MS_DENSE),
    "msnet_kinetics_r50": (MS_K400, MS_DENSE),
    "msnet_kinetics_r50_16": (MS_K400, MS_DENSE._replace(segments=16)),
    "msnet_hmdb_r50": (MS_HMDB, MS_DENSE._replace(dataset=HMDB, weights=None)),
    **dict.fromkeys(("cmr_res50", "cmr_tim_r50", "cmr_r50"), (CMR_SS, SS_R50)),
    "cmr_kinetics_r50": (CMR_K400, RNL_DENSE),
}
PARTS = {"bqn_recipe"}
"""Bases that name no network."""


def of_base(name: str) -> RunConfig:
    path = tables_root() / "bases" / f"{name}.yaml"
    problems: list[Any] = []
    layer = base_layer(name, read_yaml(path, str(path)), (), problems)
    assert layer is not None, problems
    config, problems = resolve(layer, (str(path), 1))
    assert config is not None, problems
    return config


def test_every_base_is_transcribed() -> None:
    assert {path.stem for path in (tables_root() / "bases").glob("*.yaml")} == {*RECIPES, *PARTS}


@pytest.mark.parametrize("name", RECIPES)
def test_a_base_has_the_figures_of_its_paper(name: str) -> None:
    config = of_base(name)
    train, data, views = config.train, config.data, config.eval
    recipe = Recipe(
        train.lr,
        train.batch_size,
        train.epochs,
        train.weight_decay,
        config.model.dropout,
        int(train.warmup_epochs),
        train.milestones if train.schedule == "step" else COSINE,
        train.clip_norm,
        train.label_smoothing,
        train.param_groups,
        train.nesterov,
        train.partial_bn,
        train.device_batch,
        train.start_from,
    )
    clips = Clips(
        data.dataset,
        data.segments,
        data.sampling,
        data.size,
        data.train_crop,
        data.flip,
        (views.clips, views.crops),
        views.scale,
        config.model.pretrained,
        data.normalisation,
        data.resize,
    )
    assert (recipe, clips) == RECIPES[name]
    assert (train.momentum, data.window, views.placing, views.unreadable) == (0.9, 64, "fixed", "wrong")


def test_every_table_resolves_as_printed_with_its_paper_s_crops_and_flips() -> None:
    names = [name for name in table_paths() if not name.startswith("checks-")]
    plan = make_plan([load_table(name, "paper") for name in names])
    for run in plan.runs.values():
        flow = getattr(run.config.model, "representation", "") == "flow" or run.config.modality == "flow"
        assert (run.config.data.train_crop == FLOW) == flow, run.used_by
        mirrored = run.config.data.flip
        assert mirrored in ((False, "undirected") if run.config.data.dataset == SS else (True,)), run.used_by
        assert (mirrored == "undirected") == (run.used_by[0][0].startswith("msnet") and run.config.data.dataset == SS)


def test_what_a_table_adds_to_its_base() -> None:
    """The thesis' longer schedule of Table 4.7, and the joint training of DA."""
    longest = load_table("thesis-4.7", "paper").row("RNL TSM (ours) | ResNet50 | 16").config
    assert longest is not None
    assert (longest.train.epochs, longest.train.lr, longest.data.segments) == (100, 0.01, 16)
    for name in RECIPES:
        config = of_base(name)
        joint = "mgda" if config.representation == "dynamic_appearance" else "none"
        assert config.train.joint.strategy == joint
        assert config.train.residual_weight == (10.0 if config.model.name == "tesnet" else 0.0)


def test_the_page_on_the_protocol_names_what_there_is() -> None:
    text = (tables_root().resolve().parent / "docs/paper_protocol.md").read_text()
    recipes = text[text.index("## Recipes") : text.index("## Batches")]
    named = {name for name in re.findall(r"`(\w+)`", recipes) if name != "_flow"}
    assert named <= RECIPES.keys()
    keys = set(re.findall(r"^\| `((?:data|eval)\.\w+)`", text, re.M))
    assert keys <= set(keys_below(RunConfig))
    assert len(keys) == 10
    for command in re.findall(r"^python -m benchmark (.+)$", text, re.M):
        build_parser().parse_args(shlex.split(command))
