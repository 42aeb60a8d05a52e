"""Squeeze and excitation (SE; Hu, Shen and Sun, CVPR 2018), for clips, and as the channel attention of thesis 4.4.

One value per channel describes the clip, two layers turn it into one value per channel to apply:

    gate       y = x * sigmoid(W_2 ReLU(W_1 s'))          SE as published; the row "+5 SE" of thesis Table 4.6
    additive   y = x + W_2 ReLU(BN(W_1 s'))               the vision attention chain, Eq. 4.13 and 4.14

with s' the mean over T, H and W (Eq. 4.12), or over the H and W of every frame (`pool="frame"`, SE for images).

What the printed costs of Table 4.6 say (ResNet-50, five blocks: two of 512 channels and three of 1,024):

* The reduction r is 16. Eq. 4.13 has W_1 of C / 2 x C, which is r = 2, and would make 28.00 M of the 24.79 M printed.
* "+5 SE", 24.79 M and 32.89 G: `form="gate"` gives 24.786 M without biases and 24.791 M with them, both 32.890 G.
  Gates of single frames would make 32.90 G, since the two layers then run eight times; so would a mean that is counted,
  as one by an adaptive pooling module is.
* "+5 [SE+RNL]", 35.95 M and 41.16 G against 35.48 M and 41.15 G of RNL alone: `form="additive"` is the equations, but
  gives 35.942 M (35.947 M with biases) and 41.150 G. The gate in the authors' released code takes a softmax-weighted
  mean by a convolution, counted 11 M operations more, and gives 35.951 M and 41.161 G: that is
  `benchmark.models.modules.global_context.GlobalContext(channels)`.

Choices that the texts leave silent:

* No biases unless asked for: Eq. 4.13 prints none, and Hu et al. count 2 C^2 / r parameters.
* W_2 of `additive` starts at zero, as in the released gate: the block then adds exactly nothing. A `gate` has no such
  start as published; it multiplies by about 1/2.
* BN runs over the clips of a batch with momentum 0.01 (released code). A lone clip has no statistics of its own and is
  normalised by the running ones, also in training.
* Means and the two layers work in at least float32 under autocast: they cost nothing beside the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.modules.projection import without_autocast

Pool = Literal["clip", "frame"]
Form = Literal["gate", "additive"]
Norm = Literal["none", "batch", "layer"]

NORM_MOMENTUM = 0.01
"""Of batch normalisation over vectors, of which a batch has few."""

NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": lambda width: nn.BatchNorm1d(width, momentum=NORM_MOMENTUM),
    "layer": nn.LayerNorm,
}


def check_clips(x: Tensor, frames: int) -> None:
    """Refuse maps (N, C, H, W) that are not clips of `frames` frames.

    Raises:
        ValueError: N is no multiple of `frames`, or `frames` is not positive.
    """
    if frames < 1 or x.shape[0] % frames:
        raise ValueError(f"{x.shape[0]} maps are no clips of {frames} frames")


def frame_mean(x: Tensor) -> Tensor:
    """The mean of every map, at least float32: (N, C, H, W) to (N, C)."""
    return x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))


def clip_mean(x: Tensor, frames: int) -> Tensor:
    """The mean over T, H and W (thesis Eq. 4.12), at least float32: (B * frames, C, H, W) to (B, C)."""
    return frame_mean(x).unflatten(0, (-1, frames)).mean(1)


def over_maps(vectors: Tensor, x: Tensor, frames: int) -> Tensor:
    """One vector per clip or per map, (B, C) or (B * frames, C), as (B * frames, C, 1, 1) in the precision of x."""
    if vectors.shape[0] != x.shape[0]:
        vectors = vectors.unsqueeze(1).expand(-1, frames, -1).flatten(0, 1)
    return vectors.to(x.dtype)[:, :, None, None]


class ChannelMlp(nn.Module):
    """W_2 ReLU(norm(W_1 s)), the two layers of a channel attention: (N, C) to the same shape.

    Args:
        channels: C.
        reduction: r; the inner width is C / r rounded down, and at least 1.
        norm: Normalisation of the inner layer: none, batch or layer.
        bias: Biases in both layers.
        zero: W_2 and its bias start at zero.

    Parameters: 2 * C * h for an inner width h, + h + C with biases, + 2 * h with a normalisation.

    Raises:
        ValueError: Sizes that are not positive, or an unknown normalisation.
    """

    def __init__(self, channels: int, reduction: int, norm: Norm, bias: bool, zero: bool) -> None:
        super().__init__()
        if channels < 1 or reduction < 1:
            raise ValueError(f"channels and reduction must be positive, got {channels} and {reduction}")
        if norm not in NORMS:
            raise ValueError(f"unknown normalisation '{norm}', choose from {', '.join(NORMS)}")
        hidden = max(1, channels // reduction)
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.norm = NORMS[norm](hidden)
        self.expand = nn.Linear(hidden, channels, bias=bias)
        if zero:
            for parameter in self.expand.parameters():
                nn.init.zeros_(parameter)

    def forward(self, s: Tensor) -> Tensor:
        """(N, C) to the same shape, in the precision of the weights."""
        with without_autocast(s):
            return self.expand(F.relu(self._normalise(self.reduce(s))))

    def _normalise(self, h: Tensor) -> Tensor:
        norm = self.norm
        if isinstance(norm, nn.BatchNorm1d) and norm.training and h.shape[0] == 1:
            return F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return norm(h)


class SqueezeExcitation(nn.Module):
    """Channel attention from the mean of a clip.

    Args:
        channels: C.
        reduction: r of the inner layer.
        pool: "clip" describes the clip by one mean per channel (Eq. 4.12), "frame" every frame by its own.
        form: "gate" multiplies by a sigmoid, "additive" adds (Eq. 4.13 and 4.14, with BN).
        bias: Biases in both layers.

    Parameters: 2 * C * h with h = C / r; + 2 * h for `additive`; + h + C with biases.

    Raises:
        ValueError: Sizes that are not positive, or an unknown pool or form.
    """

    def __init__(
        self, channels: int, reduction: int = 16, pool: Pool = "clip", form: Form = "gate", bias: bool = False
    ) -> None:
        super().__init__()
        if pool not in get_args(Pool):
            raise ValueError(f"unknown pool '{pool}', choose from {', '.join(get_args(Pool))}")
        if form not in get_args(Form):
            raise ValueError(f"unknown form '{form}', choose from {', '.join(get_args(Form))}")
        self.pool, self.form = pool, form
        additive = form == "additive"
        self.mlp = ChannelMlp(channels, reduction, "batch" if additive else "none", bias, zero=additive)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Weigh, or shift, the channels.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip.

        Returns:
            The shape and precision of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        check_clips(x, frames)
        s = self.mlp(clip_mean(x, frames) if self.pool == "clip" else frame_mean(x))
        if self.form == "additive":
            return x + over_maps(s, x, frames)
        return x * over_maps(s.sigmoid(), x, frames)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"pool={self.pool}, form={self.form}"
