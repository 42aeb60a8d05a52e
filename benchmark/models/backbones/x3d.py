"""X3D (Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020).

A three-dimensional ResNet of inverted bottlenecks: 1 x 1 x 1 up, channelwise 3 x 3 x 3, 1 x 1 x 1 down. XS and M are
one network; they differ in their clips (4 frames of 160 x 160 pixels, 16 of 224 x 224) and in their published weights.

Module names are our own, so that the stem convolution has the name that optimisers look for; PyTorchVideo's
checkpoints, X3D_XS.pyth and X3D_M.pyth, are renamed as they are read (`from_pytorchvideo`).

Choices, where the paper is silent or PyTorchVideo (whose weights load here) and SlowFast differ:

* The shortcut of res2, 24 to 24 channels at stride 2, is a convolution without normalisation, as in PyTorchVideo;
  SlowFast has one (48 parameters more). A narrower network keeps this structure, whatever its channels round to.
* Squeeze-and-excitation stands in every second block of a stage from the first on, between normalisation and Swish.
  Its width is a sixteenth of the block's, rounded up to a multiple of 8.
* `width` multiplies the outputs of stem and stages (24, 24, 48, 96, 192) and the feature (2048); the inner width of a
  block stays 2.25 times its output.
* The head averages over all positions of a map of any size, where PyTorchVideo's window has the size of the training
  map. Where the two agree the outputs do.
* Initialisation as in both codebases: Kaiming's normal distribution (fan out) for every convolution, zero biases, and
  gamma 0 in the last normalisation of every block, so that a block starts as its shortcut.

Speed: on a CPU the channelwise convolution is four times faster, forward and backward, on channels-last maps, so there
the input is laid out that way; elsewhere it keeps the layout that it came with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.config.models import STAGES, Stage
from benchmark.models.backbones.resnet import scaled_channels
from benchmark.models.backbones.volumes import Conv3d, to_volumes
from benchmark.models.weights import load_state, missing, weights_path, with_input_channels

STAGE_CHANNELS: dict[Stage, int] = {"res2": 24, "res3": 48, "res4": 96, "res5": 192}
STAGE_BLOCKS: dict[Stage, int] = {"res2": 3, "res3": 5, "res4": 11, "res5": 7}
FEATURES = 2048
EXPANSION = 2.25
SQUEEZE = 16

CHECKPOINTS = {"xs": "X3D_XS.pyth", "m": "X3D_M.pyth"}
ORIGIN = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"

PYTORCHVIDEO_NAMES = (
    # Its stem is a "(2+1)D convolution" with the two halves exchanged: what it calls conv_t is the spatial one.
    ("blocks.0.conv.conv_t.", "conv1."),
    ("blocks.0.conv.conv_xy.", "conv_t."),
    ("blocks.0.norm.", "bn1."),
    ("blocks.5.pool.pre_conv.", "conv5."),
    ("blocks.5.pool.pre_norm.", "bn5."),
    ("blocks.5.pool.post_conv.", "projection."),
    (".res_blocks.", "."),
    ("blocks.", "layer"),
    (".branch1_conv.", ".shortcut.0."),
    (".branch1_norm.", ".shortcut.1."),
    (".branch2.", "."),
    (".norm_b.1.block.0.", ".squeeze.reduce."),
    (".norm_b.1.block.2.", ".squeeze.expand."),
    (".norm_b.0.", ".bn_b."),
    (".norm_a.", ".bn_a."),
    (".norm_c.", ".bn_c."),
)
"""Parts of PyTorchVideo's parameter names -> ours, replaced in this order."""
PYTORCHVIDEO_CLASSIFIER = "blocks.5.proj."


class SqueezeExcitation(nn.Module):
    """A gate per channel from the clip's mean (Hu et al., CVPR 2018): (B, C, T, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = 8 * math.ceil(channels / (8 * SQUEEZE))
        self.reduce = Conv3d(channels, narrow, 1)
        self.expand = Conv3d(narrow, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The clip times sigmoid(expand(relu(reduce(its mean))))."""
        mean = x.mean((2, 3, 4), keepdim=True)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(mean))))


class X3dBlock(nn.Module):
    """An inverted bottleneck: relu(shortcut(x) + branch(x)).

    Args:
        in_channels: C of the input.
        channels: C of the output.
        first: Of its stage: stride 2 in space, and a convolution in the shortcut.
        normalise: Batch normalisation after that convolution.
        squeeze: Squeeze-and-excitation in the branch.
    """

    def __init__(self, in_channels: int, channels: int, first: bool, normalise: bool, squeeze: bool) -> None:
        super().__init__()
        inner, strides = int(EXPANSION * channels), (1, 2, 2) if first else (1, 1, 1)
        self.shortcut: nn.Module | None = None
        if first:
            norm = [nn.BatchNorm3d(channels)] if normalise else []
            self.shortcut = nn.Sequential(Conv3d(in_channels, channels, 1, strides, bias=False), *norm)
        self.conv_a = Conv3d(in_channels, inner, 1, bias=False)
        self.bn_a = nn.BatchNorm3d(inner)
        self.conv_b = Conv3d(inner, inner, 3, strides, padding=1, groups=inner, bias=False)
        self.bn_b = nn.BatchNorm3d(inner)
        self.squeeze = SqueezeExcitation(inner) if squeeze else None
        self.swish = nn.SiLU()
        self.conv_c = Conv3d(inner, channels, 1, bias=False)
        self.bn_c = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch, before the addition."""
        x = self.relu(self.bn_a(self.conv_a(x)))
        x = self.bn_b(self.conv_b(x))
        if self.squeeze is not None:
            x = self.squeeze(x)
        return self.bn_c(self.conv_c(self.swish(x)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) to (B, C_out, T, H, W); the first block of a stage halves H and W."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.relu(shortcut + self.branch(x))


class X3d(nn.Module):
    """X3D without its classifier.

    Args:
        width: Multiplier of every channel count.
        variant: "xs" or "m": whose weights `pretrained` loads; the networks are one.
        pretrained: "kinetics400" loads PyTorchVideo's weights (width 1 only), see `load_kinetics`.
        in_channels: Channels of the input; pretrained weights of the first convolution are averaged over theirs.

    Attributes:
        out_channels: Channels of the feature of a clip, after the head's two convolutions.
        stage_channels: Channels after each stage.
    """

    def __init__(
        self,
        width: float = 1.0,
        variant: Literal["xs", "m"] = "m",
        pretrained: str | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.variant = variant
        channels_before = scaled_channels(STAGE_CHANNELS["res2"], width)
        self.conv1 = Conv3d(in_channels, channels_before, (1, 3, 3), (1, 2, 2), padding=(0, 1, 1), bias=False)
        self.conv_t = Conv3d(
            channels_before, channels_before, (5, 1, 1), padding=(2, 0, 0), groups=channels_before, bias=False
        )
        self.bn1 = nn.BatchNorm3d(channels_before)
        self.relu = nn.ReLU(inplace=True)
        self.stage_channels = {stage: scaled_channels(channels, width) for stage, channels in STAGE_CHANNELS.items()}
        for number, (stage, channels) in enumerate(self.stage_channels.items(), start=1):
            blocks = nn.ModuleList()
            for index in range(STAGE_BLOCKS[stage]):
                normalise, squeeze = stage != "res2", index % 2 == 0
                blocks.append(X3dBlock(channels_before, channels, index == 0, normalise, squeeze))
                channels_before = channels
            self.add_module(f"layer{number}", blocks)
        inner = int(EXPANSION * channels_before)
        self.out_channels = scaled_channels(FEATURES, width)
        self.conv5 = Conv3d(channels_before, inner, 1, bias=False)
        self.bn5 = nn.BatchNorm3d(inner)
        self.projection = Conv3d(inner, self.out_channels, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, X3dBlock):
                nn.init.zeros_(module.bn_c.weight)
        if pretrained == "kinetics400":
            load_kinetics(self)

    def stem(self, x: Tensor, frames: int, average: int = 1) -> Tensor:
        """The stem, 1 x 3 x 3 and channelwise 5 x 1 x 1 convolutions.

        Args:
            x: (B * frames * average, C_in, H, W), the images of a clip consecutive.
            frames: Frames of a clip, T.
            average: Images per frame, of which the mean is taken after the spatial convolution. As that is linear, this
                is the stem of the images' mean, but the convolution runs, and is counted, on all of them.

        Returns:
            (B, C, T, H / 2, W / 2).
        """
        x = to_volumes(x, frames * average)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last_3d)
        x = self.conv1(x)
        if average > 1:
            x = x.unflatten(2, (frames, average)).mean(3)
        return self.relu(self.bn1(self.conv_t(x)))

    def blocks(self) -> Iterator[tuple[Stage, int, X3dBlock]]:
        """The residual blocks in order, each with its stage and its 0-based index within the stage."""
        for number, stage in enumerate(STAGES, start=1):
            for index, block in enumerate(self.get_submodule(f"layer{number}").children()):
                assert isinstance(block, X3dBlock)
                yield stage, index, block

    def head(self, x: Tensor) -> Tensor:
        """The last maps, (B, C, T, H, W), to the feature of each clip, (B, out_channels)."""
        x = nn.functional.adaptive_avg_pool3d(self.relu(self.bn5(self.conv5(x))), 1)
        return self.relu(self.projection(x)).flatten(1)

    def forward(self, x: Tensor, frames: int, average: int = 1) -> Tensor:
        """(B * frames * average, C_in, H, W) to the last maps, (B, C, frames, H / 32, W / 32)."""
        x = self.stem(x, frames, average)
        for _, _, block in self.blocks():
            x = block(x)
        return x

    def features(self, x: Tensor, frames: int, average: int = 1) -> Tensor:
        """(B * frames * average, C_in, H, W) to one feature per clip, (B, 1, out_channels); see `stem`."""
        return self.head(self(x, frames, average)).unsqueeze(1)


def from_pytorchvideo(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of PyTorchVideo's X3D under our names, without its classifier."""
    renamed = {}
    for key, value in state.items():
        if key.startswith(PYTORCHVIDEO_CLASSIFIER):
            continue
        for theirs, ours in PYTORCHVIDEO_NAMES:
            key = key.replace(theirs, ours)
        renamed[key] = value
    return renamed


def load_kinetics(backbone: X3d) -> None:
    """Load PyTorchVideo's Kinetics-400 weights, without their classifier, into a backbone of width 1.

    The file, X3D_XS.pyth or X3D_M.pyth, is looked for in the folder that BENCHMARK_WEIGHTS names (default `weights`).
    The weights were trained on RGB with mean 0.45 and standard deviation 0.225 removed.

    Raises:
        PretrainedWeightsError: The file is not there; the message says what to put where.
    """
    path = weights_path(CHECKPOINTS[backbone.variant])
    if not path.is_file():
        raise missing(f"Kinetics-400 weights of X3D-{backbone.variant.upper()}", path, ORIGIN + path.name)
    state = from_pytorchvideo(load_state(path))
    state["conv1.weight"] = with_input_channels(state["conv1.weight"], backbone.conv1.in_channels)
    backbone.load_state_dict(state)
