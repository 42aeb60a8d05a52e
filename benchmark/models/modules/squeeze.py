"""Temporal Squeeze Pooling (TSP; thesis 3.2, Eq. 3.1 to 3.5; Huang and Bors, ICASSP 2020).

K maps become the D maps of coefficients by which D functions of time describe every value best. The functions are one
set per clip, from a squeeze (the mean of every map) and an excitation (two layers):

    z_k = mean of map k,    A = delta_2(W_2 delta_1(W_1 z)) reshaped to K x D,    y = (A^T A)^-1 A^T x for every value.

Choices that the thesis leaves silent:

* Biases in both layers (K (K + 1) + K D (K + 1) parameters; Eq. 3.2 prints none). Without them A depends on z alone,
  and frames of zero mean give columns that are all zero or all alike under every activation but a sigmoid first.
* "Properly initialised" so that columns are independent: W_2 starts from N(0, 0.01^2) and its bias from
  delta_2^-1(0.05 + 0.9 hat_d(k)), where the D hats are linear interpolation from D key maps to K, flat at both ends.
  They are independent, and inside the range of every activation. They sum to a constant, so at initialisation a static
  clip is described almost exactly, and y are key maps on the scale of the input, which pretrained layers expect.
* LeakyReLU has PyTorch's slope, 0.01.
* The projection loss trains the excitation alone: its gradient does not reach the maps. Where it does, the layers in
  front of a squeeze inside a network learn maps without content, which are projected without error (on motionpairs the
  loss falls to 1e-9 and the accuracy to chance).
* The projection works at least in float32, with the ridge of `projection`; Phi of Eq. 3.3 is the identity as in 3.3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.representations import Activation
from benchmark.models.modules.projection import at_least_float32, project, without_autocast

SLOPE = 0.01
"""Of LeakyReLU."""

W2_STD = 0.01
"""Standard deviation of W_2 at initialisation."""

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, SLOPE),
}

INVERSES: dict[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.logit,
    "tanh": torch.atanh,
    "relu": lambda x: x,
    "leaky_relu": lambda x: x,
}
"""Where they are increasing and the value is between 0 and 1."""


def hats(frames: int, images: int) -> Tensor:
    """The columns at initialisation: (frames, images), between 0.05 and 0.95, every row of the same sum."""
    weights = F.interpolate(torch.eye(images)[None], size=frames, mode="linear", align_corners=False)[0]
    return 0.05 + 0.9 * weights.t()


class TemporalSqueeze(nn.Module):
    """Temporal Squeeze Pooling.

    Args:
        frames: K, maps of a clip.
        images: D, fewer than K.
        activations: delta_1 and delta_2.

    Attributes:
        residual: l_proj of the last batch (Eq. 3.5): the norm over K of x - A y, not squared, mean over positions,
            channels and clips; scalar, with its graph.

    Raises:
        ValueError: D is not between 1 and K - 1, or an activation is not known.
    """

    has_residual = True

    def __init__(
        self, frames: int = 10, images: int = 3, activations: tuple[Activation, Activation] = ("sigmoid", "leaky_relu")
    ) -> None:
        super().__init__()
        if not 0 < images < frames:
            raise ValueError(f"{frames} frames cannot be squeezed to {images} images")
        for name in activations:
            if name not in ACTIVATIONS:
                raise ValueError(f"activation {name!r} is none of {', '.join(get_args(Activation))}")
        self.frames, self.images, self.activations = frames, images, activations
        self.w1 = nn.Linear(frames, frames)
        self.w2 = nn.Linear(frames, frames * images)
        self.residual: Tensor | None = None
        nn.init.normal_(self.w2.weight, std=W2_STD)
        with torch.no_grad():
            self.w2.bias.copy_(INVERSES[activations[1]](hats(frames, images)).flatten())

    def matrix(self, x: Tensor) -> Tensor:
        """A of every clip (Eq. 3.1 to 3.3): (N, K, C, H, W) to (N, K, D), at least float32."""
        first, second = (ACTIVATIONS[name] for name in self.activations)
        with without_autocast(x):
            z = at_least_float32(x).flatten(2).mean(2)
            return second(self.w2(first(self.w1(z)))).unflatten(1, (self.frames, self.images))

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze clips.

        Args:
            x: (N, K, C, H, W), frames or feature maps.

        Returns:
            y (N, D, C, H, W) (Eq. 3.4), at least float32.

        Raises:
            ValueError: Another number of maps.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected clips of {self.frames} maps, got {x.shape[1]}")
        y, p = project(x.flatten(2), self.matrix(x))
        if x.requires_grad:
            fixed = x.detach()
            _, p = project(fixed.flatten(2), self.matrix(fixed))
        # The gradient of a norm has a pole at zero, which exactly static values reach.
        tiny = math.sqrt(torch.finfo(p.dtype).tiny)
        self.residual = (p.square().sum(1) + tiny).sqrt().mean()
        return y.unflatten(2, x.shape[2:])

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.frames}, {self.images}, activations={self.activations}"
