"""MotionSqueeze (Kwon et al., "MotionSqueeze: Neural Motion Feature Learning...", ECCV 2020, Section 3.1).

Every frame's features are correlated with the next frame's over a neighbourhood of P x P (Eq. 1); the best displacement
of every position, with its score as the confidence (Eq. 2 to 5), goes through a few convolutions to features of motion,
which join the frame's own (Eq. 6):

    S = relu(<f_x, f'_(x + p)>),   f, f': the reduced maps of frames t and t + 1, of unit length at every position
    d = sum_p softmax(g S / tau) p / k,   g: a Gaussian around the highest score,   k = P // 2
    F' = F + M,   M = transformation(d_x, d_y, max S)

What the paper leaves silent or open is taken from its released code where that shows it.

Parameters with the default settings: 64 C + 128 of the reduction and 4,217 + 66 C of the transformation; 20,985 at
C 128 and 70,905 at C 512. (The released model carries 256 more that it never uses.)

Measured on one core of a busy EPYC, milliseconds of CPU: at 8 x 128 x 28 x 28 the module takes 22 forward and 59 with
the backward pass (23 correlation, 11 displacements, 16 transformation), res3 of ResNet-18 in front of it 66 and 218.
At an eighth of the width and 64 maps of 7 x 7 it is 17 against 5, for P^2 does not shrink with the network.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.models.modules.correlation import local_correlation
from benchmark.models.modules.displacements import displacements, sharpening
from benchmark.models.precision import at_least_float32

Estimator = Literal["kernel_soft_argmax", "soft_argmax"]
Transformation = Literal["separable", "1x(1,1)", "1x(3,3)", "4x(3,3)"]
Fusion = Literal["add", "multiply", "concat", "replace"]

EPSILON = 1e-6
"""Added to the squared norm of features."""

NARROWEST = 4
"""Channels that `width` leaves at least."""


def _conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    # Normalisation and ReLU follow every convolution, so M >= 0. gamma 1 in the last normalisation, too: a new module
    # changes its network from the start.
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def build_transformation(kind: Transformation, inputs: int, channels: int, width: float = 1.0) -> nn.Sequential:
    """The layers from displacements, (N, inputs, H, W), to features of motion, (N, channels, H, W).

    Raises:
        ValueError: Another kind.
    """
    # 64 channels within `4x(3,3)` as the printed 35.8 GFLOPs need. Separable (Section 3.1): depthwise 7 x 7 and three
    # depthwise 3 x 3, each followed by a 1 x 1 convolution.
    inner = {"separable": (16, 32, 64), "1x(1,1)": (), "1x(3,3)": (), "4x(3,3)": (64, 64, 64)}
    if kind not in inner:
        raise ValueError(f"unknown transformation '{kind}', expected one of {', '.join(inner)}")
    widths = [inputs, *(_narrow(n, width) for n in inner[kind]), channels]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        if kind == "separable":
            layers += _conv(before, before, 3 if i else 7, groups=before) + _conv(before, after, 1)
        else:
            layers += _conv(before, after, 1 if kind == "1x(1,1)" else 3)
    return nn.Sequential(*layers)


def _narrow(channels: int, width: float) -> int:
    return max(NARROWEST, round(channels * width))


class MotionSqueeze(nn.Module):
    """MotionSqueeze module.

    Args:
        channels: C of the maps.
        reduced: Channels that are correlated; None or 0: the maps as they are. The printed costs need 64 for every
            network; the text has C / 2.
        patch: P, side of the searched neighbourhood in positions of the map, odd.
        estimator: With the Gaussian around the highest score, or without.
        confidence: Give the highest score to the transformation as well.
        backward_displacement: Give it the displacements from the next frame to this one as well.
        transformation: Its layers.
        fusion: How M joins the maps: F + M, F M, a convolution of both, or M alone.
        temperature: tau.
        sigma: Of the Gaussian, in positions.
        width: Scales `reduced` and the inner widths of the transformation, for narrow networks (ours).

    Raises:
        ValueError: An even patch or one of 1, a temperature, sigma or width that is not positive, or an unknown name.
    """

    factors: Tensor
    offsets: Tensor

    def __init__(
        self,
        channels: int,
        reduced: int | None = 64,
        patch: int = 15,
        estimator: Estimator = "kernel_soft_argmax",
        confidence: bool = True,
        backward_displacement: bool = False,
        transformation: Transformation = "separable",
        fusion: Fusion = "add",
        temperature: float = 0.01,
        sigma: float = 5.0,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if patch < 3 or patch % 2 == 0:
            raise ValueError(f"the patch of MotionSqueeze needs an odd side of 3 or more, got {patch}")
        if min(temperature, sigma, width) <= 0:
            raise ValueError(f"temperature {temperature}, sigma {sigma} and width {width} must be positive")
        if estimator not in ("kernel_soft_argmax", "soft_argmax"):
            raise ValueError(f"unknown estimator '{estimator}', expected kernel_soft_argmax or soft_argmax")
        if fusion not in ("add", "multiply", "concat", "replace"):
            raise ValueError(f"unknown fusion '{fusion}', expected add, multiply, concat or replace")
        self.channels, self.patch, self.estimator, self.fusion = channels, patch, estimator, fusion
        self.confidence, self.backward_displacement = confidence, backward_displacement
        self.reduction = nn.Sequential(*_conv(channels, _narrow(reduced, width), 1)) if reduced else None
        kernel = sigma if estimator == "kernel_soft_argmax" else None
        self.register_buffer("factors", sharpening(patch, temperature, kernel), persistent=False)
        self.register_buffer("offsets", torch.linspace(-1, 1, patch), persistent=False)
        inputs = (3 if confidence else 2) * (2 if backward_displacement else 1)
        self.transformation = build_transformation(transformation, inputs, channels, width)
        self.join: nn.Conv2d | None = None
        if fusion == "concat":
            self.join = nn.Conv2d(2 * channels, channels, 1, bias=False)
            nn.init.kaiming_normal_(self.join.weight, mode="fan_out", nonlinearity="relu")

    def displacement(self, x: Tensor, frames: int) -> Tensor:
        """Displacements between neighbouring frames.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: T, two or more.

        Returns:
            (B, T - 1, 3, H, W), at least float32: dx, dy and confidence of the way from frame t to t + 1, see
            `displacements`; two channels without confidence, and those of the way back behind them where asked for.

        Raises:
            ValueError: Maps that are not clips of `frames` frames or have other channels, or one frame.
        """
        if x.dim() != 4 or frames < 2 or x.shape[0] % frames or x.shape[1] != self.channels:
            raise ValueError(
                f"maps of shape {tuple(x.shape)} are not clips of {frames} frames of {self.channels} channels,"
                " two frames or more"
            )
        # Unit length and the ReLU behind the correlation are the released code's; Eq. 1 has neither. In float32, as tau
        # makes a bfloat16's rounding of a cosine a factor of 1.4.
        y = at_least_float32(x if self.reduction is None else self.reduction(x)).permute(0, 2, 3, 1)
        y = y / (y.square().sum(-1, keepdim=True) + EPSILON).sqrt()
        clips = y.unflatten(0, (-1, frames))
        here, there = (part.flatten(0, 1).permute(0, 3, 1, 2) for part in (clips[:, :-1], clips[:, 1:]))
        ways = [(here, there), (there, here)] if self.backward_displacement else [(here, there)]
        found = [displacements(local_correlation(*way, self.patch), self.factors, self.offsets) for way in ways]
        kept = [field if self.confidence else field[:, :2] for field in found]
        return (torch.cat(kept, dim=1) if len(kept) > 1 else kept[0]).unflatten(0, (-1, frames - 1))

    def motion(self, x: Tensor, frames: int) -> Tensor:
        """M, the features of motion: (B * frames, C, H, W) to the same shape."""
        field = self.displacement(x, frames)
        # The last frame repeats the displacements of the one before.
        features: Tensor = self.transformation(torch.cat([field, field[:, -1:]], dim=1).flatten(0, 1))
        return features

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """The maps and their features of motion.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: T, two or more.

        Returns:
            The same shape.

        Raises:
            ValueError: See `displacement`.
        """
        motion = self.motion(x, frames)
        if self.join is not None:
            joined: Tensor = self.join(torch.cat([x, motion], dim=1))
            return joined
        match self.fusion:
            case "add":
                return x + motion
            case "multiply":
                return x * motion
        return motion

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.channels}, patch={self.patch}, estimator={self.estimator}, fusion={self.fusion}"
