"""Global context block (GC; Cao et al., "GCNet", ICCV workshops 2019), for clips.

A non-local block whose attention is the same for every query: one mean of the clip, weighted by a softmax over all its
positions, passes a bottleneck and is added to every position.

    a = softmax over T, H, W of (w . x + b),    c = sum_i a_i x_i,    y = x + W_2 ReLU(norm(W_1 c))

The row "+5 GC" of thesis Table 4.6 and, by the authors' released code, the gate of "[SE+RNL]" and "[SE+CPA]" too:
the text has a plain mean in that gate (Eq. 4.12, `SqueezeExcitation(channels, form="additive")`), but the printed
41.16 G and 35.95 M of "+5 [SE+RNL]" are 41.161 G and 35.951 M of the form here, at r = 16.

Five blocks count 24.795 M and 32.901 G with batch normalisation (released code) or with GCNet's `norm="layer"`; the
printed 24.79 M is that cut off, or `norm="none"`, 24.7948 M, rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.models.clips import check_clips
from benchmark.models.gates.channel_gate import ChannelGate, ChannelMlp, Norm
from benchmark.models.precision import at_least_float32


class GlobalContext(ChannelGate):
    """Add to every position of a clip what its attended mean says.

    Args:
        channels: C.
        reduction: r of the bottleneck, whose width h is C / r rounded down and at least 1.
        norm: Normalisation of the bottleneck: batch (released code), layer (GCNet) or none.
        bias: Biases of the bottleneck's two layers.

    Parameters: C + 1 + 2 * C * h, + h + C with biases, + 2 * h with a normalisation.
    MACs of a clip: 2 * C * T * H * W + 2 * C * h.

    Raises:
        ValueError: Sizes that are not positive, or an unknown normalisation.
    """

    additive = True

    def __init__(self, channels: int, reduction: int = 16, norm: Norm = "batch", bias: bool = True) -> None:
        super().__init__()
        # W_2 starts at zero (GCNet and the released code), so that the block is the identity.
        self.mlp = ChannelMlp(channels, reduction, norm, bias, zero=True)
        # Its bias is blind, for a softmax does not change with it, and so is that of W_1 in front of batch
        # normalisation. They stay since the printed numbers fit them.
        self.mask = nn.Conv2d(channels, 1, 1)

    def attention(self, x: Tensor, frames: int) -> Tensor:
        """The weights of all positions of a clip: (B * frames, C, H, W) to (B, frames, H, W), at least float32.

        The weights of a clip sum to 1.
        """
        check_clips(x, frames)
        logits = at_least_float32(self.mask(x)).view(-1, frames, *x.shape[2:])
        return torch.softmax(logits.flatten(1), dim=1).view_as(logits)

    def context(self, x: Tensor, frames: int) -> Tensor:
        """The attended mean of every clip, at least float32: (B * frames, C, H, W) to (B, C)."""
        weights = self.attention(x, frames).flatten(0, 1).flatten(1).unsqueeze(2)
        # In the precision of x, and read where it lies in either memory format; frames are summed in at least float32.
        per_frame = torch.bmm(x.flatten(2), weights.to(x.dtype))
        return at_least_float32(per_frame).view(-1, frames, x.shape[1]).sum(1)

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """What the context adds to every channel, at least float32: (B * frames, C, H, W) to (B, C)."""
        return self.mlp(self.context(x, frames))
