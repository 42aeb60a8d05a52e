"""I3D (Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017) as MotionSqueeze has it (ECCV 2020).

Inception-v1 with every kernel inflated to three dimensions: a stem of three convolutions, then nine Inception modules,
each of four branches side by side, with batch normalisation and ReLU after every convolution. MotionSqueeze (section 3
of its supplement, Figure 7) feeds it 8 frames and therefore flattens the stem's 7 x 7 x 7 kernel to 1 x 7 x 7; it is
trained from scratch, so nothing is loaded here. Module names follow the released I3D.

Maps over time, at 8 frames of 224 x 224: 8 x 56 x 56 (conv2c), 8 x 28 x 28 (mixed_3b, 3c), 4 x 14 x 14 (mixed_4b to
4f), 2 x 7 x 7 (mixed_5b, 5c).

Places: other mechanisms (MotionSqueeze's module, for one) stand after "conv2c" and after any Inception module, see
`insert`. Their frames are the maps that there are at the place: 8, 4 or 2 of 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmark.models.backbones.volumes import Conv3d
from benchmark.models.clips import to_frames, to_volumes

STEM, STEM_OUT = 64, 192

MIXED = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Inception module -> widths of branch 0, of branches 1 and 2 (reduced, then out) and of branch 3."""

POOL_BEFORE = {"mixed_3b": "pool3", "mixed_4b": "pool4", "mixed_5b": "pool5"}
"""Module -> the pool in front of it."""


def scaled_to_four(channels: int, width: float) -> int:
    """`channels * width`, rounded to the nearest multiple of 4 and at least 4."""
    # All widths of the paper are multiples of 16 or 8: a network of a half or a quarter keeps nearly all proportions.
    return max(4, round(channels * width / 4) * 4)


class ConvBn(nn.Sequential):
    """A cubic convolution that keeps the size of the map, batch normalisation and ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        conv = Conv3d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        # A gamma, which I3D's own code leaves out, and PyTorch's epsilon and momentum.
        super().__init__(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))
        self.kernel_size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) to (B, C_out, T, H, W)."""
        # On CPUs, the bfloat16 weight gradient of a convolution over 1 < T < kernel frames is wrong, often not finite
        # (oneDNN 3.13, jit_bf16). The last maps of 8 frames are 2 long.
        if x.device.type == "cpu" and 1 < x.shape[2] < self.kernel_size and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class Inception(nn.Module):
    """Four branches over one map, concatenated in this order.

    0: 1 x 1 x 1. 1 and 2: 1 x 1 x 1, then 3 x 3 x 3 (Inception-v1's 5 x 5 is a 3 x 3 x 3 in I3D). 3: the maximum over
    3 x 3 x 3 neighbours, then 1 x 1 x 1.

    Args:
        in_channels: C of the input.
        widths: Channels of branch 0; of branch 1, reduced and out; of branch 2, reduced and out; of branch 3.

    Attributes:
        out_channels: Of all branches together.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        point, wide_reduced, wide, narrow_reduced, narrow, pooled = widths
        self.branch0 = ConvBn(in_channels, point, 1)
        self.branch1 = nn.Sequential(ConvBn(in_channels, wide_reduced, 1), ConvBn(wide_reduced, wide, 3))
        self.branch2 = nn.Sequential(ConvBn(in_channels, narrow_reduced, 1), ConvBn(narrow_reduced, narrow, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, padding=1), ConvBn(in_channels, pooled, 1))
        self.out_channels = point + wide + narrow + pooled

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) to (B, out_channels, T, H, W)."""
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], dim=1)


class I3d(nn.Module):
    """I3D without its classifier.

    Args:
        width: Multiplier of every channel count.
        in_channels: Channels of the input.
        insert: Called with every place, in the order of the network, and its channels: "conv2c", "mixed_3b", ...
            "mixed_5c". The module that it returns runs right after the place, as module(x, frames) on
            (B * frames, C, H, W) with the frames of that place, and keeps the shape; None leaves the place empty. It
            keeps its own initialisation, and the backbone starts as it would without it.

    Attributes:
        out_channels: Channels of the last maps, and of the feature.
        place_channels: Channels after each place.
        inserts: The modules inserted, by place.
    """

    def __init__(
        self,
        width: float = 1.0,
        in_channels: int = 3,
        insert: Callable[[str, int], nn.Module | None] | None = None,
    ) -> None:
        super().__init__()
        stem, channels = scaled_to_four(STEM, width), scaled_to_four(STEM_OUT, width)
        # Stride 1 in time (MotionSqueeze is silent): a kernel that sees one frame at stride 2 would throw every second
        # of 8 frames away. Padding is symmetric, where I3D's (TensorFlow's "same") has one pixel more at the far end of
        # even maps; all maps have the same sizes.
        self.conv1 = Conv3d(in_channels, stem, (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.pool2 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
        self.conv2b = ConvBn(stem, stem, 1)
        self.conv2c = ConvBn(stem, channels, 3)
        self.pool3 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
        # These halve the frames as they do in I3D. Odd maps, which only small clips meet, round up, as there.
        self.pool4 = nn.MaxPool3d(3, 2, padding=1)
        self.pool5 = nn.MaxPool3d(2, 2, ceil_mode=True)
        self.place_channels = {"conv2c": channels}
        for name, widths in MIXED.items():
            mixed = Inception(channels, [scaled_to_four(branch, width) for branch in widths])
            self.add_module(name, mixed)
            self.place_channels[name] = channels = mixed.out_channels
        self.out_channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.inserts = nn.ModuleDict()
        if insert is not None:
            for place, place_channels in self.place_channels.items():
                inserted = insert(place, place_channels)
                if inserted is not None:
                    self.inserts[place] = inserted

    def stem(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to the maps of conv2c, (B, C, frames, H / 4, W / 4)."""
        if x.shape[0] % frames:
            raise ValueError(f"{x.shape[0]} images are not clips of {frames} frames")
        x = to_volumes(x, frames)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last_3d)
        return self.conv2c(self.conv2b(self.pool2(self.relu(self.bn1(self.conv1(x))))))

    def _inserted(self, place: str, x: Tensor) -> Tensor:
        """What the module inserted at a place makes of its maps, (B, C, T, H, W) to the same shape."""
        if place not in self.inserts:
            return x
        frames = x.shape[2]
        return to_volumes(self.inserts[place](to_frames(x), frames), frames)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Maps of clips.

        Args:
            x: (B * frames, C_in, H, W), the frames of a clip consecutive.
            frames: Frames of a clip, T.

        Returns:
            (B, out_channels, T / 4, H / 32, W / 32), every side rounded up at each halving.

        Raises:
            ValueError: The number of images is no multiple of `frames`.
        """
        x = self._inserted("conv2c", self.stem(x, frames))
        for name in MIXED:
            if name in POOL_BEFORE:
                x = self.get_submodule(POOL_BEFORE[name])(x)
            x = self._inserted(name, self.get_submodule(name)(x))
        return x

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to one feature per clip, (B, 1, out_channels); see `forward`."""
        # In place of a 2 x 7 x 7 window; at 8 frames of 224 x 224 they are one.
        return nn.functional.adaptive_avg_pool3d(self(x, frames), 1).flatten(1).unsqueeze(1)
