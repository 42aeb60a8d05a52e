"""Progressive Enhancement Module, PEM (TDRL: Weng et al., ECCV 2020), inferred; CMR compares its own gate with it.

The paper is "Temporal Distinct Representation Learning for Action Recognition". Neither its code nor its equations
were at hand: those below are inferred.

What is known, from TDRL's abstract and from CMR (Wu et al., AAAI 2021), neither of which has an equation of it: PEM
filters channels sequentially; it excites the channels by which a frame differs, step by step, so that information is
not extracted repeatedly; each step relies on the state of the step before, which makes it serial and slow; the first
frames therefore see little of the clip.

The smallest module of which all of that is true has a memory m of what earlier frames have shown. With the mean
xbar_t of every map and m_0 = 0:

    e_t = W_1 xbar_t - m_{t-1}                     what is new in frame t, C / r values
    u_t = x_t * sigmoid(W_2 e_t)                   its channels are excited by that
    m_t = m_{t-1} + sigmoid(W_3 e_t) * e_t         and it is remembered

So results of this module are those of a sequential gate after PEM's description, not of TDRL's own. The printed cost
of TDRL, 33 G (CMR, Table 1), decides nothing, since gates on means are lost in its rounding.

It adds 4.23 M parameters to ResNet-50, and 0.034 GMACs at 8 x 224 x 224. Layers start as PyTorch's do, so gates are
near 1/2 at first (see `channel_motion` on why that is harmless).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.models.gates.channel_gate import ChannelGate, inner_width, means_of_clips
from benchmark.models.precision import without_autocast


class ProgressiveEnhance(ChannelGate):
    """Gate the channels of every frame by what the frames before it have not shown.

    Args:
        channels: C.
        reduction: r; the width h of the memory is C / r, rounded down and at least 1.

    Parameters: 2 * C * h + h^2. MACs of a clip: T * 2 * C * h + (T - 1) * h^2.

    Raises:
        ValueError: Sizes that are not positive.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        # The difference is taken between C / r values, as CME and MEM do: their rows are compared at that size.
        hidden = inner_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.write = nn.Linear(hidden, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """The gates: (B * frames, C, H, W) to (B * frames, C), in (0, 1), at least float32.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        means = means_of_clips(x, frames)
        with without_autocast(x):
            shown = self.reduce(means).unbind(1)
            news = [shown[0]]
            memory = torch.zeros_like(shown[0])
            for following in shown[1:]:
                # What is remembered depends on the memory. A constant rate would make it a fixed average of earlier
                # frames, which could be computed for all frames at once, and CMR's objection would not stand.
                memory = memory + self.write(news[-1]).sigmoid() * news[-1]
                news.append(following - memory)
            return self.expand(torch.stack(news, dim=1)).sigmoid().flatten(0, 1)
