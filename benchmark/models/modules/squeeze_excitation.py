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
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from benchmark.models.gates.channel_gate import ChannelGate, ChannelMlp, clip_mean, frame_mean

Pool = Literal["clip", "frame"]
Form = Literal["gate", "additive"]


class SqueezeExcitation(ChannelGate):
    """Channel attention from the mean of a clip.

    Args:
        channels: C.
        reduction: r of the inner layer.
        pool: "clip" describes the clip by one mean per channel (Eq. 4.12), "frame" every frame by its own.
        form: "gate" multiplies by a sigmoid, "additive" adds (Eq. 4.13 and 4.14, with BN).
        bias: Biases in both layers. Eq. 4.13 prints none, and Hu et al. count 2 C^2 / r parameters.

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
        self.pool, self.form, self.additive = pool, form, form == "additive"
        # W_2 of `additive` starts at zero, as in the released gate: the block then adds exactly nothing. A `gate` has
        # no such start as published; it multiplies by about 1/2.
        self.mlp = ChannelMlp(channels, reduction, "batch" if self.additive else "none", bias, zero=self.additive)

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """Factors between 0 and 1, or what is added: (B * frames, C, H, W) to (B, C), or (B * frames, C) of frames."""
        s = self.mlp(clip_mean(x, frames) if self.pool == "clip" else frame_mean(x))
        return s if self.additive else s.sigmoid()

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"pool={self.pool}, form={self.form}"
