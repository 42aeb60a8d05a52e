"""MotionSqueeze (Kwon et al., "MotionSqueeze: Neural Motion Feature Learning...", ECCV 2020, Section 3.1).

Every frame's features are correlated with the next frame's over a neighbourhood of P x P (Eq. 1); the best displacement
of every position, with its score as the confidence (Eq. 2 to 5), goes through a few convolutions to features of motion,
which join the frame's own (Eq. 6):

    S = relu(<f_x, f'_(x + p)>),   f, f': the reduced maps of frames t and t + 1, of unit length at every position
    d = sum_p softmax(g S / tau) p / k,   g: a Gaussian around the highest score,   k = P // 2
    F' = F + M,   M = transformation(d_x, d_y, max S)

Choices that the paper leaves silent or open, taken from its released code where that shows them:

* `reduced` is 64 channels for every network: the printed costs need it, while the text has C / 2. A 1 x 1 convolution
  without bias, batch normalisation, ReLU.
* Features are divided by sqrt(their squared norm + 1e-6), and a ReLU follows the correlation; Eq. 1 has neither. So
  scores are cosines in [0, 1], and displacements that leave the map score 0. Both, and all that follows up to the
  displacements, are in float32 under autocast: tau makes a bfloat16's rounding of a cosine a factor of 1.4.
* g = exp(-|p - p*|^2 / (2 sigma^2)). Eq. 4 lacks the sign, the square and the 2, and has a factor
  1 / (sqrt(2 pi) sigma) that would make tau 12 times larger. p* is the first of equal maxima and has no gradient; the
  confidence is the score at p*, before the Gaussian, and has one.
* `soft_argmax` is the same without g, with the same tau. Eq. 2 has none; of cosines without tau no displacement would
  have a weight above e / (e + P^2 - 1), 1.2 %.
* The last frame repeats the displacements of the one before, ahead of the transformation.
* `separable` (Section 3.1): depthwise 7 x 7 and three depthwise 3 x 3, each followed by a 1 x 1 convolution, to 16,
  32, 64 and C channels. The standard convolutions of Table 7 go to C, and `4x(3,3)` to 64, 64, 64 and C, as the printed
  35.8 GFLOPs need. Batch normalisation and ReLU follow every convolution, so M >= 0; none has a bias.
* `concat` (Table 5): a 1 x 1 convolution from 2 C to C, without bias or anything after it. `replace` is "MS only".
* `backward_displacement`: d and confidence from t + 1 to t as well, three more channels of frame t.
* Kaiming-normal weights for the fan out; gamma 1 and beta 0 also in the last normalisation, so a new module changes its
  network from the start.
* `width` (ours, for narrow networks) scales `reduced` and the transformation's inner widths, none below 4.

Parameters with the default settings: 64 C + 128 of the reduction and 4,217 + 66 C of the transformation; 20,985 at
C 128 and 70,905 at C 512. (The released model carries 256 more that it never uses.)

Speed: see `correlation`. What follows it is bound by memory, so `displacements` works on `ROWS` positions at a time on
a CPU and keeps no map of P^2 channels but the scores for the backward pass, where the softmax is computed again.
Measured on one core of a busy EPYC, milliseconds of CPU: at 8 x 128 x 28 x 28 the module takes 22 forward and 59 with
the backward pass (23 correlation, 11 displacements, 16 transformation), res3 of ResNet-18 in front of it 66 and 218.
At an eighth of the width and 64 maps of 7 x 7 it is 17 against 5, for P^2 does not shrink with the network.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmark.models.modules.correlation import local_correlation
from benchmark.models.precision import at_least_float32, without_autocast

Estimator = Literal["kernel_soft_argmax", "soft_argmax"]
Transformation = Literal["separable", "1x(1,1)", "1x(3,3)", "4x(3,3)"]
Fusion = Literal["add", "multiply", "concat", "replace"]

EPSILON = 1e-6
"""Added to the squared norm of features."""

ROWS = 512
"""Positions whose scores are worked on at a time on a CPU: they fit its second-level cache."""

NARROWEST = 4
"""Channels that `width` leaves at least."""


def sharpening(patch: int, temperature: float, sigma: float | None) -> Tensor:
    """Factors of the scores before the softmax, by the best displacement: (P^2, P^2), exp(-|p - p*|^2 / 2 s^2) / tau.

    Without a sigma, 1 / tau everywhere.
    """
    if sigma is None:
        return torch.full((patch**2, patch**2), 1 / temperature)
    offset = torch.arange(patch)
    line = torch.exp(-((offset[:, None] - offset) ** 2) / (2 * sigma**2))
    return torch.kron(line, line) / temperature


def _parts(scores: Tensor) -> list[slice]:
    count = len(scores)
    step = ROWS if scores.device.type == "cpu" else max(1, count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _best(scores: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The highest scores, where they are, and the softmax."""
    scores = scores.relu()
    confidence, index = scores.max(1)
    return confidence, index, scores.mul_(factors.index_select(0, index)).softmax(1)


def _displacements(scores: Tensor, factors: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """(M, P^2) to (M, 3), dx, dy and confidence, and the index of the best score, (M,)."""
    found, indices = [], []
    for part in _parts(scores):
        confidence, index, weights = _best(scores[part], factors)
        grid = weights.unflatten(1, (len(offsets), -1))
        # Sums in place of a product with the offsets: counters of matrix products have nothing to see, as in the paper.
        dx, dy = ((grid.sum(axis) * offsets).sum(1) for axis in (1, 2))
        found.append(torch.stack([dx, dy, confidence], dim=1))
        indices.append(index)
    return torch.cat(found), torch.cat(indices)


class _Displacements(torch.autograd.Function):
    """`_displacements`, whose backward pass computes the softmax again, some positions at a time."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
        """(M, P^2) to (M, 3)."""
        found, index = _displacements(scores, factors, offsets)
        ctx.save_for_backward(scores, factors, offsets, found, index)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the scores."""
        scores, factors, offsets, found, index = ctx.saved_tensors
        side = len(offsets)
        positions = torch.stack([offsets.repeat(side), offsets.repeat_interleave(side)])
        grad = torch.empty_like(scores)
        for part in _parts(scores):
            best, positive, towards = index[part], scores[part].relu(), g[part, :2]
            sharp = factors.index_select(0, best)
            weights = torch.mul(positive, sharp).softmax(1)
            mean = (towards * found[part, :2]).sum(1, keepdim=True)
            with without_autocast(scores):
                inner = torch.addmm(mean, towards, positions, beta=-1).mul_(weights).mul_(sharp)
            inner.scatter_add_(1, best.unsqueeze(1), g[part, 2:])
            torch.mul(inner, positive.sign_(), out=grad[part])
        return grad, None, None


def displacements(scores: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Soft arg-max of scores and their maximum (Eq. 2 to 5).

    Args:
        scores: (N, P^2, H, W) of `local_correlation`; negative ones count as zero.
        factors: Of `sharpening`.
        offsets: P steps from -1 to 1.

    Returns:
        (N, 3, H, W): dx and dy in [-1, 1] in units of P // 2 positions, positive where the content moves right and
        down, and the highest score.
    """
    count, _, height, width = scores.shape
    flat = scores.permute(0, 2, 3, 1).flatten(0, 2)
    if torch.is_grad_enabled() and scores.requires_grad:
        found: Tensor = _Displacements.apply(flat, factors, offsets)
    else:
        found = _displacements(flat, factors, offsets)[0]
    return found.view(count, height, width, 3).permute(0, 3, 1, 2)


def _conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def build_transformation(kind: Transformation, inputs: int, channels: int, width: float = 1.0) -> nn.Sequential:
    """The layers from displacements, (N, inputs, H, W), to features of motion, (N, channels, H, W).

    Raises:
        ValueError: Another kind.
    """
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
        reduced: Channels that are correlated; None or 0: the maps as they are.
        patch: P, side of the searched neighbourhood in positions of the map, odd.
        estimator: With the Gaussian around the highest score, or without.
        confidence: Give the highest score to the transformation as well.
        backward_displacement: Give it the displacements from the next frame to this one as well.
        transformation: Its layers.
        fusion: How M joins the maps: F + M, F M, a convolution of both, or M alone.
        temperature: tau.
        sigma: Of the Gaussian, in positions.
        width: Scales `reduced` and the inner widths of the transformation.

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
