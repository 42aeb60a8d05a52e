"""FlowNetS and FlowNetC (Dosovitskiy et al., "FlowNet: Learning Optical Flow with Convolutional Networks", ICCV 2015).

An encoder of strided convolutions and a decoder of transposed ones that predicts flow at five scales, 1/64 to 1/4. S
stacks the two frames at the input. C sees each alone up to conv3, correlates the two maps over a window of 21 x 21
displacements, two positions apart (the mean over channels of products), and goes on with 32 channels of the first frame
beside the correlation.

As a representation: the flow between all neighbouring frames of a segment, resized to the input, as channels.

Choices, from the PyTorch release of FlowNet unless said (its variant without batch normalisation, with its names of
weights, so that its files load):

* Deconvolutions, the predictions and the flow's own upsampling have no bias; LeakyReLU of slope 0.1, also after the
  correlation. Kaiming initialisation for that slope, zero biases.
* A side that 64 does not divide: a deconvolution then gives one row or column more than the map that it joins, which
  is cropped.
* The networks take RGB in 0..1 less the mean colour of FlyingChairs, not divided by a deviation. The normalisation of
  the input is undone for that.
* The layers predict flow in units of 20 pixels of the input. `estimate` and the representation give pixels.
* The bilinear resize from 1/4 does not align corners.
* A width other than 1 (ours): every channel count times the width, at least 4; the correlation keeps its 441 channels.

Cost at width 1, 40 pairs of 256 x 256: 210.5 G MACs (S) and 298.4 G (C). The correlation, 4.6 G, is written as
multiplications and means of shifted maps, which no counter of convolutions and matrix products sees; the printed
figures leave it out as well. Those, 356 G and 444 G, count transposed convolutions at the positions of their output,
which is 4 times too many at stride 2: multiply the operators whose `module_class` is `ConvTranspose2d` by 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data.transforms import MEAN, STD
from benchmark.models.weights import load_state, missing, weights_path

SLOPE = 0.1
PIXELS_PER_UNIT = 20.0
MEAN_COLOUR = (0.45, 0.432, 0.411)
"""Of FlyingChairs, RGB in 0..1."""

MAX_DISPLACEMENT = 20
DISPLACEMENT_STEP = 2
DISPLACEMENTS = (2 * MAX_DISPLACEMENT // DISPLACEMENT_STEP + 1) ** 2

SCALE_WEIGHTS = (0.005, 0.01, 0.02, 0.08, 0.32)
"""Of the five scales in the training loss, the finest first."""


def scaled_to_width(channels: int, width: float) -> int:
    """`channels * width`, rounded, at least 4."""
    return max(4, round(channels * width))


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Mean over channels of the products of two maps, the second displaced.

    Args:
        first: (P, C, h, w).
        second: Likewise.

    Returns:
        (P, 441, h, w): rows of displacements from -20 to 20 in steps of 2, y outermost; positions outside are zero.
    """
    height, width = first.shape[-2:]
    padded = F.pad(second, (MAX_DISPLACEMENT,) * 4)
    # Small maps are left by most displacements.
    outside = torch.zeros_like(first[:, 0])
    scores = [
        (first * padded[..., y : y + height, x : x + width]).mean(1)
        if abs(y - MAX_DISPLACEMENT) < height and abs(x - MAX_DISPLACEMENT) < width
        else outside
        for y in range(0, 2 * MAX_DISPLACEMENT + 1, DISPLACEMENT_STEP)
        for x in range(0, 2 * MAX_DISPLACEMENT + 1, DISPLACEMENT_STEP)
    ]
    return torch.stack(scores, dim=1)


def multiscale_epe(flows: Sequence[Tensor], target: Tensor) -> Tensor:
    """The training loss: end-point errors at all scales, weighted.

    The target is averaged over the area of each prediction's positions, and keeps its unit. The errors of a scale are
    summed over its positions, so that the weights, which favour the coarse scales, leave the scales a similar say.

    Args:
        flows: The five results of `FlowNet.estimate`, finest first, (P, 2, h_i, w_i), in pixels of the input.
        target: (P, 2, H, W), in pixels.

    Returns:
        A scalar: mean over the pairs, in pixels; 20 times what the paper's units give.
    """
    loss = target.new_zeros(())
    for flow, weight in zip(flows, SCALE_WEIGHTS, strict=True):
        height, width = flow.shape[-2:]
        error = flow - F.adaptive_avg_pool2d(target, (height, width))
        loss = loss + weight * torch.linalg.vector_norm(error, dim=1).sum((1, 2)).mean()
    return loss


def _conv(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE))


def _deconv(in_channels: int, out_channels: int) -> nn.Sequential:
    deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(deconv, nn.LeakyReLU(SLOPE))


class FlowNet(nn.Module):
    """Flow between neighbouring frames.

    Args:
        variant: "s" or "c".
        frames: T, at least 2.
        width: Multiplier of every channel count.
        weights: W, for the file `flownet<variant>_<W>.pth` of the weights folder, or a file name that ends in .pth;
            those that are trained here are put in by build.py. None, or building on the
            meta device, leaves the initialisation.
        trainable: False fixes the weights, runs without a graph and stays in evaluation mode.

    Parameters at width 1: 38.676 M (S), 39.174 M (C).

    Raises:
        ValueError: Another variant, or fewer than two frames.
        PretrainedWeightsError: The file of the weights is missing.
    """

    def __init__(
        self, variant: str, frames: int, width: float = 1.0, weights: str | None = None, trainable: bool = False
    ) -> None:
        super().__init__()
        if variant not in ("s", "c"):
            raise ValueError(f"the variants of FlowNet are s and c, got {variant!r}")
        if frames < 2:
            raise ValueError(f"flow needs two frames, got {frames}")
        self.variant, self.frames, self.width = variant, frames, width
        self.weights, self.trainable = weights, trainable
        c1, c2, c3, c4, c5, c6 = (scaled_to_width(c, width) for c in (64, 128, 256, 512, 512, 1024))
        d5, d4, d3, d2 = (scaled_to_width(c, width) for c in (512, 256, 128, 64))
        self.conv1 = _conv(6 if variant == "s" else 3, c1, 7, stride=2)
        self.conv2 = _conv(c1, c2, 5, stride=2)
        self.conv3 = _conv(c2, c3, 5, stride=2)
        if variant == "c":
            redirected = scaled_to_width(32, width)
            self.conv_redir = _conv(c3, redirected, 1)
            self.conv3_1 = _conv(redirected + DISPLACEMENTS, c3)
        else:
            self.conv3_1 = _conv(c3, c3)
        self.conv4, self.conv4_1 = _conv(c3, c4, stride=2), _conv(c4, c4)
        self.conv5, self.conv5_1 = _conv(c4, c5, stride=2), _conv(c5, c5)
        self.conv6, self.conv6_1 = _conv(c5, c6, stride=2), _conv(c6, c6)
        joined = {6: c6, 5: c5 + d5 + 2, 4: c4 + d4 + 2, 3: c3 + d3 + 2, 2: c2 + d2 + 2}
        for level, out_channels in ((5, d5), (4, d4), (3, d3), (2, d2)):
            self.add_module(f"deconv{level}", _deconv(joined[level + 1], out_channels))
        for level, channels in joined.items():
            self.add_module(f"predict_flow{level}", nn.Conv2d(channels, 2, 3, padding=1, bias=False))
        for level in (6, 5, 4, 3):
            upsampled = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False)
            self.add_module(f"upsampled_flow{level}_to_{level - 1}", upsampled)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.scale: Tensor
        self.offset: Tensor
        std, mean, colour = torch.tensor(STD), torch.tensor(MEAN), torch.tensor(MEAN_COLOUR)
        self.register_buffer("scale", std.view(3, 1, 1), persistent=False)
        self.register_buffer("offset", (mean - colour).view(3, 1, 1), persistent=False)
        self.requires_grad_(trainable)
        self.train(trainable)
        if weights is not None and not any(p.is_meta for p in self.parameters()):
            self.load()

    def load(self) -> None:
        """Load the weights that the constructor was asked for.

        Raises:
            PretrainedWeightsError: Their file is missing.
            RuntimeError: They are of another variant or width.
        """
        if self.weights is None:
            return
        name = self.weights if self.weights.endswith(".pth") else f"flownet{self.variant}_{self.weights}.pth"
        path = weights_path(name)
        if not path.exists():
            origin = f"FlowNet{self.variant.upper()} without batch normalisation of ClementPinard/FlowNetPytorch"
            raise missing(f"Weights of FlowNet{self.variant.upper()}", path, origin)
        self.load_state_dict(load_state(path))

    def train(self, mode: bool = True) -> FlowNet:
        """Training mode only where the weights are trained."""
        super().train(mode and self.trainable)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Flow of every pair of neighbouring frames.

        Args:
            x: (N, T, 3, H, W), normalised RGB.

        Returns:
            (N, 2 (T - 1), H, W), in pixels: (u, v) of the first pair first; u is positive to the right, v downwards.

        Raises:
            ValueError: Another number of frames than T.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected {self.frames} frames, got {x.shape[1]}")
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            finest = self.estimate(x[:, :-1].flatten(0, 1), x[:, 1:].flatten(0, 1))[0]
            flow = F.interpolate(finest, x.shape[-2:], mode="bilinear", align_corners=False)
        return flow.unflatten(0, (-1, self.frames - 1)).flatten(1, 2)

    def estimate(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Flow from the first to the second frame of pairs, at all scales, with a graph where gradients are on.

        Args:
            first: (P, 3, H, W), normalised RGB.
            second: Likewise.

        Returns:
            Five tensors (P, 2, h, w) in pixels of the input, the finest first: 1/4, 1/8, 1/16, 1/32 and 1/64 of its
            sides, rounded up.
        """
        first, second = (frame * self.scale + self.offset for frame in (first, second))
        skips = self._encode(first, second)
        joined, flow = skips[-1], self.get_submodule("predict_flow6")(skips[-1])
        flows = [flow]
        for level, skip in zip((5, 4, 3, 2), reversed(skips[:-1]), strict=True):
            upsampled = self.get_submodule(f"upsampled_flow{level + 1}_to_{level}")(flow)
            decoded = self.get_submodule(f"deconv{level}")(joined)
            height, width = skip.shape[-2:]
            joined = torch.cat([skip, decoded[..., :height, :width], upsampled[..., :height, :width]], dim=1)
            flow = self.get_submodule(f"predict_flow{level}")(joined)
            flows.append(flow)
        return [PIXELS_PER_UNIT * flow for flow in reversed(flows)]

    def _encode(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Maps at 1/4, 1/8, 1/16, 1/32 and 1/64."""
        if self.variant == "s":
            quarter = self.conv2(self.conv1(torch.cat([first, second], dim=1)))
            eighth = self.conv3_1(self.conv3(quarter))
        else:
            quarter = self.conv2(self.conv1(first))
            features = self.conv3(quarter)
            others = self.conv3(self.conv2(self.conv1(second)))
            scores = F.leaky_relu(correlation(features, others), SLOPE)
            eighth = self.conv3_1(torch.cat([self.conv_redir(features), scores], dim=1))
        maps = [quarter, eighth]
        for conv, conv_1 in ((self.conv4, self.conv4_1), (self.conv5, self.conv5_1), (self.conv6, self.conv6_1)):
            maps.append(conv_1(conv(maps[-1])))
        return maps

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.variant}, frames={self.frames}, width={self.width}, weights={self.weights!r}"
