"""Spatial-wise Motion Enhancement, SME (CMR: Wu et al., AAAI 2021, Eq. 7 and 8).

The paper is "Learning Comprehensive Motion Representation for Action Recognition". A position moves where its
features and those of the next frame at the same place point in different directions:

    s_t = cosine(x_t, x_{t+1}) over channels, at every position;   s_T = s_{T-1}
    v_t = x_t + BN(conv1x1(x_t * (1 - s_t)))

1 - s is between 0 and 2, and 0 where nothing changes but the length of the features. CMR has one at the end of the
first block of every stage.

Which 1 x 1 convolution: the printed 33 G of ResNet-50 with TIM, CME and four SMEs is 33.10 G with one weight per
channel (`channelwise`, the default; 11,520 parameters in all). A convolution that mixes the channels, as the text
reads (`dense`), makes 39.66 G: 6.577 GMACs and 5.57 M parameters of convolution on the four outputs of 256 to 2,048
channels. In front of batch normalisation one weight per channel adds nothing to what gamma can do: `channelwise`
is the function BN(x * (1 - s)).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from benchmark.models.clips import check_clips
from benchmark.models.modules.lateral import zero_batch_norm

Form = Literal["channelwise", "dense"]

# A position without features is then like no other, and gets a finite gradient.
SHORTEST = 1e-6
"""The length that features of a position have at least, when divided by."""


def change(x: Tensor, frames: int) -> Tensor:
    """1 - s of Eq. 7, how much every position turns until the next frame; the last two frames have the same.

    Args:
        x: (B * frames, C, H, W), the frames of a clip consecutive.
        frames: Frames of a clip, at least 2.

    Returns:
        (B * frames, 1, H, W) between 0 and 2, at least float32.

    Raises:
        ValueError: The number of maps is no multiple of `frames`, or a clip has a single frame.
    """
    check_clips(x, frames)
    if frames < 2:
        raise ValueError("the similarity of neighbouring frames needs clips of two frames or more")
    precise = torch.promote_types(x.dtype, torch.float32)
    clips = x.unflatten(0, (-1, frames))
    length = (clips * clips).sum(2, dtype=precise).clamp_min(SHORTEST**2).sqrt()
    similarity = (clips[:, :-1] * clips[:, 1:]).sum(2, dtype=precise) / (length[:, :-1] * length[:, 1:])
    similarity = torch.cat([similarity, similarity[:, -1:]], dim=1)
    return (1 - similarity).flatten(0, 1).unsqueeze(1)


class SpatialMotion(nn.Module):
    """Add to every position what moves there.

    Args:
        channels: C.
        form: "channelwise" has one weight per channel in the 1 x 1 convolution, "dense" C.

    Parameters: 3 * C, or C^2 + 2 * C (dense). MACs of a clip: T * C * H * W, or T * C^2 * H * W, without normalisation.

    Raises:
        ValueError: No channels, or an unknown form.
    """

    def __init__(self, channels: int, form: Form = "channelwise") -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be positive, got {channels}")
        if form not in get_args(Form):
            raise ValueError(f"unknown form '{form}', choose from {', '.join(get_args(Form))}")
        # No bias, which the normalisation would remove.
        self.conv = nn.Conv2d(channels, channels, 1, groups=channels if form == "channelwise" else 1, bias=False)
        if form == "channelwise":
            nn.init.ones_(self.conv.weight)
        # So that a pretrained network is unchanged at first.
        self.bn = zero_batch_norm(channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Enhance what moves.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip, at least 2.

        Returns:
            The shape and, outside autocast, the precision of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or a clip has a single frame.
        """
        # Nothing follows the sum, as Eq. 8 is written: the result may be negative, unlike the block's own.
        return x + self.bn(self.conv(x * change(x, frames).to(x.dtype)))
