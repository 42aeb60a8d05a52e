"""Lateral connections between Busy and Quiet (BQN, WACV 2022, Section 4.2, Eq. 5; designs of Table 3e, Figure 5).

    Quiet to Busy:  y_f = x_f + BN(resize(MBPM(x_c)))          MBPM with temporal stride 1, at Quiet's resolution
                    y_f = x_f + BN(resize(phi(MBPM(x_c))))     where phi_after_mbpm
    Busy to Quiet:  y_c = x_c + BN(phi(resize(x_f)))

x_f and x_c are the outputs of the same residual block in Busy and Quiet. LC-V has no MBPM: what flows from Quiet to
Busy passes phi instead. The comments say what was chosen where the paper is silent or open.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.models import LateralConfig, Stage
from benchmark.models.modules.mbpm import Mbpm

BOTTLENECK_RATIO = 4


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of (N, C, H, W) to `size`, without anti-aliasing; the identity where the sizes agree."""
    if (x.shape[-2], x.shape[-1]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def resample_time(x: Tensor, frames: int, target: int) -> Tensor:
    """Linear interpolation in time: (B * frames, C, H, W) to (B * target, C, H, W); identity where the two agree.

    For a Quiet of fewer frames (Table 3d). Frames stand for the centres of equal parts of the clip.
    """
    # The paper has no word on it and the released code no support.
    if frames == target:
        return x
    # Frames by everything else is one image per clip, whose width the bilinear kernel leaves alone.
    clips = x.reshape(-1, 1, frames, x[0].numel())
    clips = F.interpolate(clips, size=(target, clips.shape[-1]), mode="bilinear", align_corners=False)
    return clips.reshape(-1, *x.shape[1:])


def zero_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with gamma and beta at zero."""
    bn = nn.BatchNorm2d(channels)
    # What follows it is then added as exactly nothing until it has been trained. Until gamma moves, the filters in
    # front of it receive no gradient.
    nn.init.zeros_(bn.weight)
    nn.init.zeros_(bn.bias)
    return bn


def build_phi(kind: str, channels: int) -> nn.Module:
    """The linear map phi of Eq. 5, (N, C, H, W) to the same shape: identity, conv1x1 or bottleneck.

    Raises:
        ValueError: Another kind.
    """
    # The default is that of the released file with Eq. 5's alternating connections. The file that the training script
    # imports has 1 x 1 convolutions in both directions, 13 GMACs that the printed GFLOPs exclude.
    if kind == "identity":
        return nn.Identity()
    if kind == "conv1x1":
        convs = [nn.Conv2d(channels, channels, 1, bias=False)]
    elif kind == "bottleneck":
        # With nothing in between, since the paper calls phi linear.
        narrow = max(1, channels // BOTTLENECK_RATIO)
        convs = [nn.Conv2d(channels, narrow, 1, bias=False), nn.Conv2d(narrow, channels, 1, bias=False)]
    else:
        raise ValueError(f"unknown phi '{kind}'")
    for conv in convs:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="linear")
    return nn.Sequential(*convs)


class QuietToBusy(nn.Module):
    """BN(resize(MBPM(x_c))), or BN(resize(phi(x_c))) without an MBPM: the term that is added to Busy.

    Args:
        channels: C.
        mbpm: The filter.
        phi: What of Eq. 5's maps stands in the place of an MBPM.
        phi_after_mbpm: Or behind it, as in the network that the released training script imports.
    """

    def __init__(self, channels: int, mbpm: Mbpm | None, phi: str, phi_after_mbpm: bool = False) -> None:
        super().__init__()
        self.mbpm = mbpm
        self.phi = build_phi(phi, channels) if mbpm is None or phi_after_mbpm else None
        self.bn = zero_batch_norm(channels)

    def forward(self, quiet: Tensor, frames: int, target_frames: int, size: tuple[int, int]) -> Tensor:
        """(B * frames, C, h, w) to (B * target_frames, C, *size)."""
        x = quiet if self.mbpm is None else self.mbpm(quiet, frames)
        if self.phi is not None:
            x = self.phi(x)
        return self.bn(resize(resample_time(x, frames, target_frames), size))


class BusyToQuiet(nn.Module):
    """BN(phi(resize(x_f))): the term that is added to Quiet."""

    def __init__(self, channels: int, phi: str) -> None:
        super().__init__()
        self.phi = build_phi(phi, channels)
        self.bn = zero_batch_norm(channels)

    def forward(self, busy: Tensor, frames: int, target_frames: int, size: tuple[int, int]) -> Tensor:
        """(B * frames, C, H, W) to (B * target_frames, C, *size)."""
        # phi after the down-sampling is the same function as before it, for both are linear and a 1 x 1 convolution
        # does not mix positions; it is cheaper.
        return self.bn(self.phi(resize(resample_time(busy, frames, target_frames), size)))


class LateralConnection(nn.Module):
    """The exchange after one pair of residual blocks, in one direction or both.

    Args:
        channels: C of the block's output, equal in both pathways.
        to_busy: Feed Busy from Quiet.
        to_quiet: Feed Quiet from Busy.
        stage: The stage of the block; res5 has an MBPM kernel of its own.
        config: Everything else.

    Raises:
        ValueError: Neither direction.
    """

    def __init__(self, channels: int, to_busy: bool, to_quiet: bool, stage: Stage, config: LateralConfig) -> None:
        super().__init__()
        if not (to_busy or to_quiet):
            raise ValueError("a lateral connection needs a direction")
        self.to_busy: QuietToBusy | None = None
        self.to_quiet: BusyToQuiet | None = None
        if to_busy:
            kernel_size = config.kernel_size_res5 if stage == "res5" else config.kernel_size
            mbpm = Mbpm(channels, kernel_size, config.sigma, stride=1) if config.mbpm else None
            self.to_busy = QuietToBusy(channels, mbpm, config.phi, config.phi_after_mbpm)
        if to_quiet:
            self.to_quiet = BusyToQuiet(channels, config.phi)

    def forward(self, busy: Tensor, quiet: Tensor, busy_frames: int, quiet_frames: int) -> tuple[Tensor, Tensor]:
        """Maps of both pathways after the exchange, each of the shape that it came in."""
        # Both directions read the maps as they were before the exchange.
        new_busy, new_quiet = busy, quiet
        if self.to_busy is not None:
            new_busy = busy + self.to_busy(quiet, quiet_frames, busy_frames, (busy.shape[-2], busy.shape[-1]))
        if self.to_quiet is not None:
            new_quiet = quiet + self.to_quiet(busy, busy_frames, quiet_frames, (quiet.shape[-2], quiet.shape[-1]))
        return new_busy, new_quiet


def directions(config: LateralConfig, connection: int, block: int) -> tuple[bool, bool]:
    """Which way a connection goes, as (Quiet to Busy, Busy to Quiet).

    Alternating follows Eq. 5: an odd index feeds Quiet, an even one Busy. The index is, by `config.parity`, that of the
    connection or that of the residual block; with a connection after every block these are the same.

    Args:
        config: Direction and parity.
        connection: Ordinal of the connection in the network, from 1.
        block: Ordinal of the residual block that it follows, over all stages, from 1.
    """
    if config.direction == "bidirectional":
        return True, True
    if config.direction == "quiet_to_busy":
        return True, False
    if config.direction == "busy_to_quiet":
        return False, True
    index = connection if config.parity == "connection" else block
    return index % 2 == 0, index % 2 == 1
