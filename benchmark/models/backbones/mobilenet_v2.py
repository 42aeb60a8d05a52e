"""MobileNetV2 with temporal shift (Sandler et al., CVPR 2018; Lin et al., ICCV 2019).

Inverted residual blocks: 1 x 1 up, channelwise 3 x 3, 1 x 1 down, with a shortcut between the narrow ends. TSM shifts
the input of the branch of every block that has a shortcut; the 7 blocks without one, which change the number of
channels, do not shift, as in TSM's released code.

Torchvision keeps everything in one sequence called `features`, which is the name of a method of every backbone here,
and the stem convolution's name is the one that optimisers look for. So its ImageNet weights are renamed as they are
read (`from_torchvision`); inside a block the names are torchvision's.

Places: other mechanisms stand after a stage, "stage1" to "stage7", which are the rows of `LAYOUT`, see `insert`.
MotionSqueeze's "right after stage_3" of its own Table 10 is "stage3" here too, the three blocks of 32 channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

from benchmark.models.backbones.resnet import pooled, scaled_channels
from benchmark.models.modules.temporal_shift import TemporalShift
from benchmark.models.weights import torchvision_state, with_input_channels

STEM, FEATURES = 32, 1280

LAYOUT = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, output channels, number of blocks, stride of the first of them."""

TORCHVISION_NAMES = (
    (r"^features\.0\.0\.", "conv1."),
    (r"^features\.0\.1\.", "bn1."),
    (r"^features\.18\.0\.", "conv_last."),
    (r"^features\.18\.1\.", "bn_last."),
)


def conv_bn(in_channels: int, channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU6, as one entry of a block."""
    conv = nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """x + branch(shift(x)), or branch(x) without a shortcut.

    Args:
        in_channels: C of the input.
        channels: C of the output.
        stride: In space.
        expansion: Of the inner width; with 1 there is no convolution up.
        shortcut: Add the input; needs stride 1 and equal channels.
        shift: Temporal shift in front of the branch.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, expansion: int, shortcut: bool, shift: bool
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.shortcut = shortcut
        self.shift = TemporalShift() if shift else None
        up = [conv_bn(in_channels, inner, 1)] if expansion != 1 else []
        down = [nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.conv = nn.Sequential(*up, conv_bn(inner, inner, 3, stride, groups=inner), *down)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to (B * frames, C_out, H / stride, W / stride)."""
        branch = self.conv(x if self.shift is None else self.shift(x, frames))
        return x + branch if self.shortcut else branch


class MobileNetV2(nn.Module):
    """MobileNetV2 without a classifier.

    Args:
        width: Multiplier of every channel count. temporal_shift: Shift in every block with a shortcut. pretrained:
        "imagenet" loads torchvision's weights (width 1 only), see `load_imagenet`. in_channels: Channels of the input;
        pretrained weights of the first convolution are averaged over theirs. stem_kernel: Side of the first
        convolution's kernel, 3, or 7 as MotionSqueeze prints it (ECCV 2020, Table 10 of its
            supplement).
        insert: Called with every place, "stage1" to "stage7", and its channels. The module that it returns runs right
            after the place, as module(x, frames) on (B * frames, C, H, W), and keeps the shape; None leaves the place
            empty. It keeps its own initialisation, and the backbone starts as it would without it.

    Attributes:
        out_channels: Channels of the last maps, and of the pooled feature.
        layers: The inverted residual blocks.
        place_channels: Channels after each place.
        inserts: The modules inserted, by place.

    Raises:
        ValueError: Another `stem_kernel`.
    """

    def __init__(
        self,
        width: float = 1.0,
        temporal_shift: bool = True,
        pretrained: str | None = None,
        in_channels: int = 3,
        stem_kernel: Literal[3, 7] = 3,
        insert: Callable[[str, int], nn.Module | None] | None = None,
    ) -> None:
        super().__init__()
        if stem_kernel not in (3, 7):
            raise ValueError(f"the stem's kernel has a side of 3 or 7, got {stem_kernel}")
        channels_before = scaled_channels(STEM, width)
        self.conv1 = nn.Conv2d(in_channels, channels_before, stem_kernel, 2, padding=stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_before)
        self.relu = nn.ReLU6(inplace=True)
        self.layers = nn.ModuleList()
        self.place_channels: dict[str, int] = {}
        self._place_after: dict[int, str] = {}
        for number, (expansion, paper_channels, blocks, first_stride) in enumerate(LAYOUT, start=1):
            channels = scaled_channels(paper_channels, width)
            for index in range(blocks):
                # A block has a shortcut at any width if it has one at width 1.
                stride, shortcut = (first_stride, False) if index == 0 else (1, True)
                shift = temporal_shift and shortcut
                self.layers.append(InvertedResidual(channels_before, channels, stride, expansion, shortcut, shift))
                channels_before = channels
            self.place_channels[f"stage{number}"] = channels_before
            self._place_after[len(self.layers) - 1] = f"stage{number}"
        # Scaled, too (ours): the paper leaves the feature's 1280 as it is in narrower networks.
        self.out_channels = scaled_channels(FEATURES, width)
        self.conv_last = nn.Conv2d(channels_before, self.out_channels, 1, bias=False)
        self.bn_last = nn.BatchNorm2d(self.out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if pretrained == "imagenet":
            load_imagenet(self)
        self.inserts = nn.ModuleDict()
        if insert is not None:
            for place, place_channels in self.place_channels.items():
                inserted = insert(place, place_channels)
                if inserted is not None:
                    self.inserts[place] = inserted

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to the last feature maps, (B * frames, out_channels, H / 32, W / 32)."""
        x = self.relu(self.bn1(self.conv1(x)))
        for index, layer in enumerate(self.layers):
            x = layer(x, frames)
            place = self._place_after.get(index)
            if place is not None and place in self.inserts:
                x = self.inserts[place](x, frames)
        return self.relu(self.bn_last(self.conv_last(x)))

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to pooled features, (B, frames, out_channels)."""
        return pooled(self(x, frames)).unflatten(0, (-1, frames))


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of torchvision's MobileNetV2 under our names, without its classifier."""
    renamed = {}
    for key, value in state.items():
        if key.startswith("classifier."):
            continue
        for theirs, ours in TORCHVISION_NAMES:
            key = re.sub(theirs, ours, key)
        # Our blocks are counted from 0, without the stem.
        key = re.sub(r"^features\.(\d+)\.", lambda match: f"layers.{int(match[1]) - 1}.", key)
        renamed[key] = value
    return renamed


def load_imagenet(backbone: MobileNetV2) -> None:
    """Load torchvision's IMAGENET1K_V1 weights, without their classifier, into a backbone of width 1.

    A 7 x 7 stem gets the 3 x 3 weights in its middle.

    Raises:
        PretrainedWeightsError: See `torchvision_state`, which finds or fetches the file.
    """
    import torchvision  # as slow to import as torch, and of use for its weights alone

    weights = torchvision.models.get_model_weights("mobilenet_v2")["IMAGENET1K_V1"]
    state = from_torchvision(torchvision_state(weights, "ImageNet weights of MobileNetV2"))
    stem = with_input_channels(state["conv1.weight"], backbone.conv1.in_channels)
    # Nobody publishes weights of a 7 x 7 stem, though MotionSqueeze starts from some. Zeros around the 3 x 3 weights
    # are the same function.
    margin = (backbone.conv1.kernel_size[0] - stem.shape[-1]) // 2
    state["conv1.weight"] = nn.functional.pad(stem, (margin, margin, margin, margin))
    backbone.load_state_dict(state)
