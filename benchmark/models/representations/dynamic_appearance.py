"""Dynamic appearance: Pixel-Wise Temporal Projection (PWTP, Huang and Bors, "Dynamic Appearance", Sections 3.1 to 3.4).

The T frames of a segment are projected, pixel by pixel, on D learnt functions of time; the temporal mean of what the
projection leaves is the image that the backbone sees. The functions come from a small convolution, the inner products
of its features between all pairs of frames, and a multi-layer perceptron, all at 1/s of the resolution.

A fact about Eq. 6: the mean of the residual is zero for every clip, moving or not, where the constant function lies in
the span of A, and of a static pixel it is zero only there. So dynamic appearance rests on A depending on the input:
near a constant where nothing moves and away from it elsewhere.

The image is not rescaled. Training in `separate` or joint ways is in `benchmark.train.joint`.

Speed: on a CPU the convolution runs near its peak, while the rest is bound by memory, so the passes over full
resolution are what counts: see `mean_residual`, and two functions here with gradients of their own. Forward and
backward take 3.5 to 6 times the local convolution's at 4 x 8 x 160 x 160 and 2.6 times at 64 x 8 x 56 x 56 (measured,
one thread of a busy machine). Working segment by segment to stay in cache gains nothing.
`tools/dynamic_appearance_speed.py` measures it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from benchmark.models.modules.projection import mean_residual, residual_frames
from benchmark.models.precision import at_least_float32

# A static clip leaves 2 to 7 per cent of its energy, and the image's standard deviation is 1 to 10 per cent of the
# frames', moving or not (measured on random textures, batch statistics). Zero weights would leave nothing of a static
# clip, and no image of any clip (see Eq. 6 above); larger ones leak more of what is static.
LAST_STD = 0.05
"""Standard deviation of the weights of the last layer at initialisation."""


class _PairProducts(torch.autograd.Function):
    """`pair_products`, whose gradient adds into one tensor in place of one per frame."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(N, T, C', h, w) to (N, T (T - 1) / 2, h, w)."""
        ctx.save_for_backward(x)
        return _pair_products(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """The gradient of x."""
        (x,) = ctx.saved_tensors
        frames, grad, start = x.shape[1], torch.zeros_like(x), 0
        g = (g / x.shape[2]).unsqueeze(2)
        for t in range(frames - 1):
            later = g[:, start : start + frames - 1 - t]
            start += frames - 1 - t
            grad[:, t + 1 :].addcmul_(later, x[:, t : t + 1])
            for j in range(later.shape[1]):
                grad[:, t].addcmul_(later[:, j], x[:, t + 1 + j])
        return grad


def _pair_products(x: Tensor) -> Tensor:
    pairs = [(x[:, t : t + 1] * x[:, t + 1 :]).sum(2) for t in range(x.shape[1] - 1)]
    return torch.cat(pairs, dim=1) / x.shape[2]


def pair_products(x: Tensor) -> Tensor:
    """Inner products between the features of two frames, over C' (Eq. 3): t1 < t2, t1 outer.

    Elementwise, so that operator counters see nothing, as in the paper's own costs.

    Args:
        x: (N, T, C', h, w).

    Returns:
        (N, T (T - 1) / 2, h, w).
    """
    if torch.is_grad_enabled() and x.requires_grad:
        return _PairProducts.apply(x)
    return _pair_products(x)


class _Upsample(torch.autograd.Function):
    """Bilinear upsampling as two matrix products, whose gradient takes a quarter of the time of `interpolate`'s."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        """(N, C, h, w) to (N, C, height, width)."""
        rows, columns = (_interpolation(n, size, x) for n, size in zip(x.shape[-2:], (height, width), strict=True))
        ctx.save_for_backward(rows, columns)
        with torch.autocast("cpu", enabled=False):
            return rows.t() @ (x @ columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x."""
        rows, columns = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            return (rows @ g) @ columns.t(), None, None


def _interpolation(inputs: int, outputs: int, like: Tensor) -> Tensor:
    """The matrix of linear interpolation, (inputs, outputs)."""
    unit = torch.eye(inputs, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], size=outputs, mode="linear", align_corners=False)[0]


def upsample(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear upsampling of (N, C, h, w) to (N, C, height, width), corners not aligned."""
    if (height, width) == tuple(x.shape[-2:]):
        return x
    if torch.is_grad_enabled() and x.requires_grad and x.device.type == "cpu":
        return _Upsample.apply(x, height, width)
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


class Bottleneck(nn.Module):
    """A block of the MLP, per position: normalisation, FC to `hidden`, GELU, FC back, GELU, and the sum (Figure 7)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.reduce = nn.Conv2d(width, hidden, 1)
        self.expand = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) to the same shape."""
        return x + F.gelu(self.expand(F.gelu(self.reduce(self.norm(x)))))


class DynamicAppearance(nn.Module):
    """Pixel-Wise Temporal Projection and the mean of its residual.

    Args:
        frames: T, frames of a segment.
        dims: D, columns of A.
        kernel_size: k of the local convolution, padded by k // 2.
        stride: s of the local convolution.
        features: C', its output channels.
        bottleneck: beta, width within a block of the MLP over that outside.
        blocks: B, blocks of the MLP.
        expansion: r, width of the MLP over the number of pairs.
        conv_norm: Batch normalisation after the local convolution.
        average_after_stem: Give the residual of every frame, which the network averages after its linear stem.

    Attributes:
        residual: ENoPR of the last batch (Eq. 7 and 8): the squared norm over T of the residual, mean over pixels,
            channels and segments; scalar, with its graph.

    Parameters with the default settings: 9,734.
    """

    has_residual = True

    def __init__(
        self,
        frames: int = 8,
        dims: int = 1,
        kernel_size: int = 9,
        stride: int = 8,
        features: int = 24,
        bottleneck: float = 0.25,
        blocks: int = 1,
        expansion: int = 2,
        conv_norm: bool = True,
        average_after_stem: bool = False,
    ) -> None:
        super().__init__()
        self.frames, self.dims, self.average_after_stem = frames, dims, average_after_stem
        pairs = frames * (frames - 1) // 2
        width = expansion * pairs
        # The text names neither the bias nor the normalisation; the printed costs fit both best (Table 8, settings 2 to
        # 7, exactly). No activation.
        self.local = nn.Conv2d(3, features, kernel_size, stride, kernel_size // 2)
        self.local_norm = nn.BatchNorm2d(features) if conv_norm else nn.Identity()
        self.first = nn.Conv2d(pairs, width, 1)
        # beta times the width is rounded down (T = 6: 30 / 4 = 7).
        self.blocks = nn.Sequential(*(Bottleneck(width, max(1, int(width * bottleneck))) for _ in range(blocks)))
        self.last = nn.Conv2d(width, frames * dims, 1)
        self.residual: Tensor | None = None
        nn.init.normal_(self.last.weight, std=LAST_STD)
        # "Avoid all zero": column d is the cosine cos(pi d (t + 1/2) / T) at first, so columns are orthogonal. The T D
        # outputs are T-major, as "reshape to T x D".
        middle, order = torch.arange(frames).view(-1, 1) + 0.5, torch.arange(dims)
        self.last.bias = nn.Parameter(torch.cos(math.pi / frames * order * middle).flatten())

    def matrices(self, x: Tensor) -> Tensor:
        """A of every pixel (Eq. 2 to 4): (N, T, 3, H, W) to (N, T, D, H, W), at least float32."""
        n, frames, _, height, width = x.shape
        local = at_least_float32(self.local_norm(self.local(x.flatten(0, 1))))
        z = self.blocks(F.gelu(self.first(pair_products(local.view(n, frames, *local.shape[1:])))))
        a = upsample(at_least_float32(self.last(z)), height, width)
        return a.view(n, frames, self.dims, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """The image of every segment.

        Args:
            x: (N, T, 3, H, W), normalised.

        Returns:
            (N, 3, H, W), or (N * T, 3, H, W) with `average_after_stem`; at least float32.

        Raises:
            ValueError: Another number of frames.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected segments of {self.frames} frames, got {x.shape[1]}")
        a, x = self.matrices(x), at_least_float32(x)
        if self.average_after_stem:
            p, self.residual = residual_frames(x, a)
            return p.flatten(0, 1)
        image, self.residual = mean_residual(x, a)
        return image
