"""Channel-wise Motion Enhancement, CME (CMR: Wu et al., AAAI 2021, Eq. 1 to 6).

The paper is "Learning Comprehensive Motion Representation for Action Recognition". A gate per frame and channel that
has seen the whole clip. With the mean of every map, xbar_t:

    z_t = W_1 xbar_t,   k_t = W_2 xbar_t                           C / r_1 and C / r_2 values
    d_tj = -k_t . k_j                                              how unlike two frames are
    zhat_t = z_t + sum_j softmax_j(d_tj) z_j                       frames that differ weigh most
    u_t = x_t * sigmoid(W_3 zhat_t)

Nothing in it knows the order of the frames: a clip played in another order gets the same gates in that order.

Costs (ResNet-50 at 8 x 224 x 224, in front of each of the 16 blocks, sum of C^2 15,929,344): 3 / r of that in
parameters, so +47.8, +12.0, +6.0 and +3.0 M for r = 1, 4, 8 and 16, and with TIM 33.397, 33.109, 33.061 and 33.037
GMACs. The paper's Table 3 prints 55, 39, 33 and 32 G; no reading of the equations gives these. Convolutions in front
of the mean would give 82.7, 45.4, 39.2 and 36.1.

Layers start as PyTorch's do (the paper is silent), so the gate is near 1/2 everywhere at first and the maps come out
halved. That does not disturb a pretrained network in training: the module stands in front of a convolution and batch
normalisation, which divides by the batch's own deviation, and the shortcut does not pass it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.models.gates.channel_gate import ChannelGate, means_of_clips
from benchmark.models.precision import without_autocast


class ChannelMotion(ChannelGate):
    """Gate the channels of every frame by what differs between the frames of its clip.

    Args:
        channels: C.
        value_reduction: r_1; z_t has C / r_1 values, rounded down and at least 1.
        key_reduction: r_2, likewise of k_t. The paper gives both one value.

    Parameters, with widths h_1 and h_2: C * (2 h_1 + h_2).
    MACs of a clip: T * C * (2 h_1 + h_2) + T^2 * (h_1 + h_2).

    Raises:
        ValueError: Sizes that are not positive.
    """

    def __init__(self, channels: int, value_reduction: int = 8, key_reduction: int = 8) -> None:
        super().__init__()
        if min(channels, value_reduction, key_reduction) < 1:
            raise ValueError(
                f"channels and reductions must be positive, got {channels}, {value_reduction} and {key_reduction}"
            )
        value_width = max(1, channels // value_reduction)
        key_width = max(1, channels // key_reduction)
        # 1 x 1 convolutions of one position. The paper names their weights alone: no biases, nothing between them.
        self.value = nn.Linear(channels, value_width, bias=False)
        self.key = nn.Linear(channels, key_width, bias=False)
        self.restore = nn.Linear(value_width, channels, bias=False)

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """a_t of Eq. 6: (B * frames, C, H, W) to (B * frames, C), in (0, 1), at least float32.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        # The mean is free to every counter, as in the printed costs.
        means = means_of_clips(x, frames)
        with without_autocast(x):
            values, keys = self.value(means), self.key(means)
            # The sum over j includes t itself, as Eq. 4 and 5 are printed; dot products are not scaled.
            weights = torch.softmax(-torch.bmm(keys, keys.transpose(1, 2)), dim=2)
            fused = values + torch.bmm(weights, values)
            return self.restore(fused).sigmoid().flatten(0, 1)
