"""Files of weights as they were published, made here with random weights, against the networks that they are of.

The networks are torchvision's and obvious re-statements around them; the names are written out by hand.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from benchmark.config.run import DataConfig, RunConfig
from benchmark.models.build import build_model
from benchmark.models.weights import PretrainedWeightsError
from benchmark.released.class_order import likely_order, outputs_of
from benchmark.released.formats import MisfitError, load_weights, read_state

State = dict[str, Tensor]
CLASSES = 7


def network(settings: dict[str, Any], segments: int = 4) -> nn.Module:
    """One of ours in evaluation mode, for CLASSES classes."""
    config = RunConfig.model_validate({"model": settings, "data": {"dataset": "motionpairs", "segments": segments}})

    class Data(DataConfig):
        @property
        def num_classes(self) -> int:
            return CLASSES

    torch.manual_seed(0)
    return build_model(config.model, Data(**config.data.model_dump())).eval()


def randomised(module: nn.Module) -> nn.Module:
    """Weights and statistics of batch normalisations from a normal distribution, so that none is like another."""
    torch.manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not name.endswith("mask"):
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) * 0.05)
    return module.eval()


def shifted(x: Tensor, frames: int) -> Tensor:
    """TSM, channel by channel: the first eighth from the next frame, the second from the one before."""
    clips, fold = x.unflatten(0, (-1, frames)), x.shape[1] // 8
    out = clips.clone()
    for t in range(frames):
        out[:, t, :fold] = clips[:, t + 1, :fold] if t + 1 < frames else 0
        out[:, t, fold : 2 * fold] = clips[:, t - 1, fold : 2 * fold] if t else 0
    return out.flatten(0, 1)


class Shifted(nn.Module):
    """A convolution behind a shift, with the name that TSM's code gives it: `net`."""

    def __init__(self, net: nn.Module, frames: int) -> None:
        super().__init__()
        self.net, self.frames = net, frames

    def forward(self, x: Tensor) -> Tensor:
        return self.net(shifted(x, self.frames))


class Published(nn.Module):
    """TSN around a network of images: `base_model` without a classifier, `new_fc`, the mean over the frames."""

    def __init__(self, base_model: nn.Module, features: int, frames: int) -> None:
        super().__init__()
        self.base_model, self.new_fc, self.frames = base_model, nn.Linear(features, CLASSES), frames

    def forward(self, x: Tensor) -> Tensor:
        return self.new_fc(self.base_model(x.flatten(0, 1))).unflatten(0, (-1, self.frames)).mean(1)


def published_resnet(depth: int, every: int = 1, frames: int = 4) -> nn.Module:
    net: Any = {18: torchvision.models.resnet18, 101: torchvision.models.resnet101}[depth]()
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for i, block in enumerate(stage):
            if i % every == 0:
                block.conv1 = Shifted(block.conv1, frames)
    features = net.fc.in_features
    net.fc = nn.Identity()
    return randomised(Published(net, features, frames))


class Block(nn.Module):
    """An inverted residual block."""

    def __init__(self, layers: list[nn.Module], residual: bool) -> None:
        super().__init__()
        self.conv, self.residual = nn.Sequential(*layers), residual

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x if self.residual else self.conv(x)


class Pooled(nn.Module):
    """Layers, and the mean over positions."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))


def published_mobilenet(frames: int = 4) -> nn.Module:
    """Torchvision's layers in one flat sequence a block, as TSM's code has them."""
    whole: Any = torchvision.models.mobilenet_v2()
    layers: list[nn.Module] = [whole.features[0]]
    for block in whole.features[1:18]:
        flat: list[nn.Module] = []
        for layer in block.conv:
            flat += list(layer) if isinstance(layer, nn.Sequential) else [layer]
        if block.use_res_connect:
            flat[0] = Shifted(flat[0], frames)
        layers.append(Block(flat, block.use_res_connect))
    return randomised(Published(Pooled([*layers, whole.features[18]]), 1280, frames))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "TSM-R18": (lambda: published_resnet(18), {"name": "tsm_resnet", "depth": 18}),
    "TSM-R101": (lambda: published_resnet(101, every=2), {"name": "tsm_resnet", "depth": 101, "shift_every": 2}),
    "TSN-R18": (lambda: published_resnet(18, every=9**9), {"name": "tsm_resnet", "depth": 18, "temporal_shift": False}),
    "MobileNetV2": (published_mobilenet, {"name": "mobilenet_v2"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_file_gives_the_published_logits(name: str, tmp_path: Path) -> None:
    make, settings = NETWORKS[name]
    theirs, ours = make(), network(settings)
    if name == "TSN-R18":  # the first block of a stage is the 0th of every
        for module in theirs.modules():
            if isinstance(module, Shifted):
                module.forward = module.net.forward  # type: ignore[method-assign]
    path = tmp_path / "published.pth"
    held = {"epoch": 44, "arch": "resnet", "best_prec1": torch.tensor(45.6), "args": argparse.Namespace(lr=0.1)}
    torch.save({**held, "state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, path)
    loaded = load_weights(ours, read_state(path))
    assert loaded.format == "tsm"
    clips = torch.randn(2, 4, 3, 64, 64)
    with torch.no_grad():
        logits = theirs(clips)
        assert torch.allclose(ours(clips), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))
    assert float(logits.std()) > 1e-3


def renamed(state: State, rules: list[Any]) -> State:
    found = {}
    for key, value in state.items():
        for pattern, theirs in rules:
            key = re.sub(pattern, theirs, key)
        found[key] = value
    return found


TSM = [(r"^backbone\.", "base_model."), (r"^fc\.", "new_fc.")]
NL = [
    (
        r"^base_model\.inserts\.res(\d)_(\d)\.(?:nl\.|rnl\.)?(?!gc)",
        lambda m: f"base_model.layer{int(m[1]) - 1}.{m[2]}.nl.",
    ),
    (r"\.output\.conv\.", ".W.0."),
    (r"\.output\.bn\.", ".W.1."),
    (r"\.region\.", ".penta."),
]
GATE = [
    (r"^base_model\.inserts\.res(\d)_(\d)\.gc\.", lambda m: f"base_model.layer{int(m[1]) - 1}.{m[2]}.cg."),
    (r"\.cg\.mask\.", ".cg.W_k."),
    (r"\.cg\.mlp\.reduce\.", ".cg.W_v1."),
    (r"\.cg\.mlp\.norm\.", ".cg.bn1."),
    (r"\.cg\.mlp\.expand\.", ".cg.W_v2."),
]
BLOCKS = [
    (r"^(base_model\.layer(?:2\.[02]|3\.[024]))\.(?!nl|cg)", r"\1.block."),
    (r"(\.\d+(?:\.block)?\.conv1)\.", r"\1.net."),
]
MSNET = [
    *TSM,
    (r"^new_fc\.", "base_model.fc1."),
    (r"^base_model\.inserts\.res3_1\.reduction\.", "base_model.chnl_reduction."),
    (
        r"^base_model\.inserts\.res3_1\.transformation\.(\d+)\.",
        lambda m: f"base_model.flow_refinement.conv{int(m[1]) // 6 + 1}.{int(m[1]) % 6}.",
    ),
]
BQN_PATHS = [
    (r"^stem_mbpm\.spatial", "mbpf1.conv_s.weight"),
    (r"^stem_mbpm\.temporal", "mbpf1.conv_t.weight"),
    (r"^busy\.(conv1|bn1)\.", r"d_\1."),
    (r"^quiet\.(conv1|bn1)\.", r"\1."),
    (r"^busy\.(layer\d\.\d+)\.", r"\1.path_f."),
    (r"^quiet\.(layer\d\.\d+)\.", r"\1.path_c."),
    (r"^laterals\.res(\d)_(\d+)\.", lambda m: f"layer{int(m[1]) - 1}.{m[2]}."),
    (r"\.to_busy\.mbpm\.spatial", ".mbpf.conv_s.weight"),
    (r"\.to_busy\.mbpm\.temporal", ".mbpf.conv_t.weight"),
]
SMALL = {"width": 0.25}
RENAMED: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "NL": (
        {"name": "tsm_resnet", "insert": ("nl",), "nl": {"sub_sample": True}, **SMALL},
        [*TSM, *NL, *BLOCKS, (r"\.nl\.(g|phi)\.", r".nl.\1.0.")],
        "tsm",
    ),
    "RNL": (
        {
            **{"name": "tsm_resnet", "insert": ("gc", "rnl"), "insert_only": {"gc": ("res3.0",)}},
            **{"gc": {"reduction": 2}, "rnl": {"form": "refactorised"}, **SMALL},
        },
        [*TSM, *GATE, *NL, *BLOCKS],
        "rnl",
    ),
    "MotionSqueeze": (
        {"name": "tsm_resnet", "depth": 18, "insert": ("motion_squeeze",), "insert_after": ("res3",), **SMALL},
        MSNET,
        "msnet",
    ),
    "BQN": (
        {"name": "bqn", **SMALL},
        [*BQN_PATHS, (r"\.to_busy\.bn\.", ".up.1."), (r"\.to_quiet\.bn\.", ".down.1."), (r"^", "base_model.")],
        "bqn",
    ),
    "BQN, both ways": (
        {"name": "bqn", "lateral": {"direction": "bidirectional", "phi": "conv1x1", "phi_after_mbpm": True}, **SMALL},
        [
            *BQN_PATHS,
            (r"\.to_busy\.phi\.0\.", ".d_up.0."),
            (r"\.to_busy\.bn\.", ".d_up.1."),
            (r"\.to_quiet\.phi\.0\.", ".d_down.0."),
            (r"\.to_quiet\.bn\.", ".d_down.1."),
            (r"^", "base_model."),
        ],
        "bqn",
    ),
}


@pytest.mark.parametrize("name", RENAMED)
def test_the_names_of_published_files(name: str) -> None:
    settings, rules, format = RENAMED[name]
    theirs = {k: v.clone() for k, v in randomised(network(settings)).state_dict().items() if "num_batches" not in k}
    published = renamed(theirs, rules)
    assert not set(published) & set(theirs)
    if name == "MotionSqueeze":
        published |= {f"base_model.bn2.{k}": torch.ones(128) for k in ("weight", "bias", "running_mean", "running_var")}
        published["base_model.fc1.weight"] = published["base_model.fc1.weight"].unsqueeze(-1)
    if name == "RNL":
        key = "base_model.layer2.0.cg.W_k.weight"
        published[key] = published[key].unsqueeze(-1)
    ours = network(settings)
    loaded = load_weights(ours, published, format)  # type: ignore[arg-type]
    assert bool(loaded.unused) == (name == "MotionSqueeze")
    for weight, value in theirs.items():
        assert torch.equal(ours.state_dict()[weight], value), weight
    assert load_weights(network(settings), published).format in (format, "tsm")


def test_pytorchvideo_s_classifier_is_loaded() -> None:
    from benchmark.models.backbones.x3d import PYTORCHVIDEO_NAMES

    theirs = randomised(network({"name": "x3d", "width": 0.25})).state_dict()
    published = {}
    for key, value in theirs.items():
        name = key.removeprefix("backbone.")
        if name.startswith("fc."):
            name = name.replace("fc.", "blocks.5.proj.")
        else:
            inner = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
            pairs = [(ours, their) for their, ours in PYTORCHVIDEO_NAMES if their.startswith("blocks.")]
            if inner is None:
                name = next((their + name[len(ours) :] for ours, their in pairs if name.startswith(ours)), name)
            else:
                rest = inner[3]
                for their, ours in (
                    *(("branch1_conv.", "shortcut.0."), ("branch1_norm.", "shortcut.1.")),
                    *(("norm_b.1.block.0.", "squeeze.reduce."), ("norm_b.1.block.2.", "squeeze.expand.")),
                    *(("norm_b.0.", "bn_b."), ("norm_a.", "bn_a."), ("norm_c.", "bn_c.")),
                ):
                    if rest.startswith(ours):
                        rest = their + rest[len(ours) :]
                        break
                rest = rest if rest.startswith("branch1") else f"branch2.{rest}"
                name = f"blocks.{inner[1]}.res_blocks.{inner[2]}.{rest}"
        published[name] = value.clone()
    net = network({"name": "x3d", "width": 0.25})
    assert load_weights(net, published).format == "pytorchvideo"
    assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items())


def test_what_does_not_fit_is_named_with_its_shape(tmp_path: Path) -> None:
    theirs = published_resnet(18).state_dict()
    theirs.pop("base_model.layer1.0.bn1.bias")
    theirs["base_model.layer4.1.extra"] = torch.zeros(3)
    theirs["new_fc.weight"] = torch.zeros(5, 512)
    with pytest.raises(MisfitError) as caught:
        load_weights(network({"name": "tsm_resnet", "depth": 18}), theirs)
    for said in (
        "read as 'tsm', 3 differ",
        "backbone.layer1.0.bn1.bias (64,): not in the file",
        "backbone.layer4.1.extra (3,): not in the network",
        "fc.weight: (5, 512) in the file, (7, 512) in the network",
    ):
        assert said in str(caught.value)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, said in (
        ("code.pth", {"state_dict": {"a": torch.zeros(1)}, "more": Harmful()}, "could run code"),
        ("empty.pth", {"epoch": 3}, "holds no weights"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(PretrainedWeightsError, match=said):
            read_state(tmp_path / name)
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04cut off")
    with pytest.raises(PretrainedWeightsError, match="cannot be read"):
        read_state(tmp_path / "cut.pth")
    assert "it ran" not in capsys.readouterr().out


def test_outputs_in_the_order_of_names() -> None:
    labels = ("Pushing", "Closing", "Dropping", "Opening")
    assert outputs_of("alphabetical", labels) == [3, 0, 1, 2]
    assert outputs_of("dataset", labels) == [0, 1, 2, 3]
    with pytest.raises(PretrainedWeightsError, match="2 of the data set's 4 classes have no name"):
        outputs_of("alphabetical", ("a", "b", "class 2", "class 3"))


def test_outputs_in_the_order_of_a_file(tmp_path: Path) -> None:
    labels = ("Pushing", "Closing", "Dropping")
    path = tmp_path / "names.txt"
    path.write_text("dropping\n pushing \nClosing\n")
    assert outputs_of(path, labels) == [1, 2, 0]
    path.write_text("dropping\npushing\nClosin\n")
    with pytest.raises(PretrainedWeightsError, match=r"has no 'Closing', which is a class .* Did you mean 'Closin'"):
        outputs_of(path, labels)
    path.write_text("dropping\npushing\n")
    with pytest.raises(PretrainedWeightsError, match="names 2 classes, the data set has 3"):
        outputs_of(path, labels)


def test_a_wrong_order_of_classes_is_suspected() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 400)
    logits = rng.normal(size=(400, 10))
    logits[np.arange(400), labels] += 4
    assert likely_order(logits, labels) == ""
    said = likely_order(np.roll(logits, 3, axis=1), labels)
    assert re.search(r"top-1 is [0-9.]+ %, and would be 9[0-9.]+ % with the outputs in another order", said)
    assert likely_order(rng.normal(size=(400, 10)), labels) == ""
    assert likely_order(np.full((4, 10), np.nan), labels[:4]) == ""
    few = rng.permutation(174)[:120]  # a clip a class, and a network that is right on half of them
    logits = rng.normal(size=(120, 174))
    logits[np.arange(120), np.where(np.arange(120) % 2, few, rng.permutation(174)[:120])] += 9
    assert likely_order(logits, few) == ""


def test_the_network_that_bqn_s_training_script_imports_has_its_parameters() -> None:
    """88.2 million, which the file of the released network has."""
    both = {"direction": "bidirectional", "phi": "conv1x1", "phi_after_mbpm": True}
    config = RunConfig.model_validate({"model": {"name": "bqn", "lateral": both}})
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build_model(config.model, config.data).parameters())
    assert count == 88_212_010


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"insert_only": {"gc": ("res3.0",)}}, "insert_only is set, but insert names no module"),
        ({"insert": ("rnl",), "insert_only": {"gc": ("res3.0",)}}, "insert has no 'gc'. Valid: rnl"),
        ({"insert": ("gc", "rnl"), "insert_only": {"gc": ("res3.1",)}}, "'res3.1' is none of insert_after (res3.0, "),
        ({"insert": ("gc",), "insert_only": {"gc": ("res3.0",)}}, "leaves nothing at 'res3.2'"),
        ({"temporal_shift": False, "shift_every": 2}, "shift_every is set, and there is no shift"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        RunConfig.model_validate({"model": {"name": "tsm_resnet", **settings}})


def test_a_module_stands_at_its_places_alone() -> None:
    net = network(
        {"name": "tsm_resnet", "insert": ("gc", "rnl"), "insert_only": {"gc": ("res3.all",)}, **SMALL}
        | {"insert_after": ("res3.all", "res4")}
    )
    inserts = {name.split(".")[2] for name in net.state_dict() if ".inserts." in name and ".gc." in name}
    assert inserts == {f"res3_{i}" for i in range(4)}
    shifts = {
        name
        for name, module in network({"name": "tsm_resnet", "shift_every": 2, **SMALL}).named_modules()
        if name.endswith(".shift") and module is not None
    }
    assert {name.split(".", 1)[1] for name in shifts} == {
        f"layer{stage}.{i}.shift" for stage, blocks in enumerate((3, 4, 6, 3), 1) for i in range(0, blocks, 2)
    }


def test_every_entry_of_the_registry_is_a_network_on_its_data() -> None:
    from benchmark.released.formats import FORMATS
    from benchmark.released.registry import config_of, released
    from benchmark.released.stored import without_training

    parameters = {}
    for name, entry in released().items():
        config = without_training(config_of(name))
        assert entry.format in FORMATS
        assert set(entry.published) <= {"top1", "top5"}
        assert config.data.dataset in name or config.data.dataset.removesuffix("400") in name
        with torch.device("meta"):
            net = build_model(config.model, config.data)
        parameters[name] = round(sum(p.numel() for p in net.parameters()) / 1e6, 2)
    # As TSM's and PyTorchVideo's networks with these numbers of classes have.
    assert parameters["tsm-r50-something-v1"] == parameters["tsm-r50-16f-something-v1"] == 23.86
    assert parameters["tsm-r50-kinetics400"] == parameters["tsn-r50-kinetics400"] == 24.33
    assert parameters["x3d-m-kinetics400"] == parameters["x3d-xs-kinetics400"] == 3.79
