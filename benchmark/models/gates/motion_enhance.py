"""Motion Enhanced Module, MEM (TEINet: Liu et al., AAAI 2020), a channel gate that CMR compares its own with.

The gate of a frame comes from how the mean of its map differs from that of the next frame's:

    a_t = sigmoid(W_3 (W_2 xbar_{t+1} - W_1 xbar_t)),   u_t = x_t * a_t   for t < T,   u_T = x_T

Here after what CMR (Wu et al., AAAI 2021) says of it and after a third-party implementation: neither the authors'
code nor TEINet's equations were at hand.

It adds 5.97 M parameters to ResNet-50, and 0.042 GMACs at 8 x 224 x 224 (0.048 were the last frame's layers computed as
well, which no output depends on).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.models.gates.channel_gate import ChannelGate, inner_width, means_of_clips
from benchmark.models.precision import without_autocast


class MotionEnhance(ChannelGate):
    """Gate the channels of every frame by what changes until the next.

    Args:
        channels: C.
        reduction: r; the inner width h is C / r, rounded down and at least 1.

    Parameters: 3 * C * h. MACs of a clip: (T - 1) * 3 * C * h.

    Raises:
        ValueError: Sizes that are not positive.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = inner_width(channels, reduction)
        # No biases, as in CME beside which it is compared.
        self.current = nn.Linear(channels, hidden, bias=False)
        self.following = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """a_t: (B * frames, C, H, W) to (B * frames, C), in (0, 1), ones for last frames, at least float32.

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or a clip has a single frame.
        """
        if frames < 2:
            raise ValueError("a difference of frames needs clips of two frames or more")
        means = means_of_clips(x, frames)
        with without_autocast(x):
            change = self.following(means[:, 1:]) - self.current(means[:, :-1])
            # The sigmoid comes last, so that the gate lies in (0, 1), as CMR's own does. The third-party code has it in
            # front of W_3, where it leaves a gate without bounds.
            gate = self.expand(change).sigmoid()
        # Gates are near 1/2 at first, while the last frame keeps its scale, as the equations are. Batch normalisation
        # behind the next convolution removes a factor common to all frames, not that difference, which training has to.
        return torch.cat([gate, torch.ones_like(gate[:, :1])], dim=1).flatten(0, 1)
