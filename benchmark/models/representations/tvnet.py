"""TVNet (Fan et al., "End-to-End Learning of Motion Representation for Video Understanding", CVPR 2018).

The iterations of TV-L1 optical flow (Zach et al. 2007) as layers: every derivative that they take is a convolution with
a kernel of its own, [-1, 1] at first, which is then trained with the network. For the flow (u, v) from frame a to frame
b, with the gradient (Ix, Iy) of b warped by the starting flow (u0, v0), and rho(u, v) = b(x + u0) + Ix (u - u0)
+ Iy (v - v0) - a, an iteration is

    (u', v') = (u, v) - clamp(rho / (Ix^2 + Iy^2), -lam theta, lam theta) (Ix, Iy)        (the data term)
    u = u' + theta div(p_u)                                                               (the primal step)
    p_u = (p_u + tau / theta grad u) / (1 + tau / theta |grad u|)                         (the dual step)

and the same for v and p_v. The clamp is the three cases of the thresholding step of TV-L1 in one expression.

Used as in the comparisons of BQN and DA: one scale, one warp, and the kernels learn from the classification alone; the
loss of the paper (warping error and smoothness of the flow) is not used. Where the paper is silent the released code
decides, unless a comment says "ours".

Cost: 2 x 25 (Gaussian) + 6 + 16 n - 8 = 16 n + 48 MACs per pixel and pair of frames, all convolutions; counters of
operators see 12 more for the three warped maps. The papers print 3.30 G and 0.20 K: 40 pairs of 224 x 224 cost 0.417 G
(n 10), 0.482 G (n 12) and 3.308 G (n 100), with 170, 202 and 1,610 parameters, so the two are of different n.

Speed: on a CPU, torch's convolutions with one or two channels are slow, so training mode writes the derivatives as
weighted sums of slices and solves a few pairs at a time, which gives the same flow. Evaluation keeps the convolutions,
which are what is counted.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data.transforms import STD

LUMA = (0.299, 0.587, 0.114)
"""Grey of R, G and B, not rounded."""
GREY_LEVELS = 255.0
GAUSSIAN_SIGMA = 0.8
GAUSSIAN_SIZE = 5
PAIRS_PER_CHUNK = 32
"""Solved together on a CPU in training: as many as its caches hold."""
TINY = 1e-12
"""Added to squared gradients before they divide, or their root is taken."""


def pixel_gaussian(size: int, sigma: float) -> Tensor:
    """A Gaussian integrated over the pixels of a row and divided by its sum: (size,), float32."""
    edges = [(i - size / 2) / (sigma * math.sqrt(2)) for i in range(size + 1)]
    mass = [math.erf(right) - math.erf(left) for left, right in itertools.pairwise(edges)]
    return torch.tensor([m / sum(mass) for m in mass])


class Tvnet(nn.Module):
    """TV-L1 flow between neighbouring frames with its iterations unrolled.

    Args:
        frames: T, at least 2.
        iterations: n.
        tau: Step of the dual iteration.
        lam: Weight of the data term.
        theta: Tightness of the coupling between the flow and its auxiliary variable.
        trainable: False keeps the kernels and the starting flow of TV-L1; the keys of the state dict stay the same.

    Attributes:
        gradient, divergence: (n, 2, 2, 2), the taps of every iteration; dimensions: x or y derivative, u or v, tap.
        centred: (2, 3), the taps of the x and the y derivative of the second frame.
        start: (4,), shift in x, shift in y, zoom, rotation; pixels at the edge of the longer side.

    Raises:
        ValueError: Fewer than two frames.
    """

    def __init__(
        self,
        frames: int,
        iterations: int = 10,
        tau: float = 0.25,
        lam: float = 0.15,
        theta: float = 0.3,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        if frames < 2:
            raise ValueError(f"flow needs two frames, got {frames}")
        self.frames, self.iterations = frames, iterations
        self.tau, self.lam, self.theta = tau, lam, theta
        difference = torch.tensor([-1.0, 1.0])
        centred = torch.tensor([-0.5, 0.0, 0.5])
        self.gradient = nn.Parameter(difference.repeat(iterations, 2, 2, 1), requires_grad=trainable)
        self.divergence = nn.Parameter(difference.repeat(iterations, 2, 2, 1), requires_grad=trainable)
        self.centred = nn.Parameter(centred.repeat(2, 1), requires_grad=trainable)
        # Ours: a motion of the camera, zero at first. In the released code the starting flow is a map of the size of
        # the image, 2 H W numbers, which ties the weights to one image size. With the 16 derivative weights of an
        # iteration and the 6 of the centred differences this makes 16 n + 10 parameters; in the PyTorch port that BQN's
        # authors ship the same total is made of 16 n, 6 and 4 weights of a loss.
        self.start = nn.Parameter(torch.zeros(4), requires_grad=trainable)
        self.gaussian: Tensor
        self.luma: Tensor
        self.register_buffer("gaussian", pixel_gaussian(GAUSSIAN_SIZE, GAUSSIAN_SIGMA), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA) * torch.tensor(STD), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Flow of every pair of neighbouring frames.

        Args:
            x: (N, T, 3, H, W), normalised RGB.

        Returns:
            (N, 2 (T - 1), H, W), in pixels, float32: (u, v) of the first pair first; u is positive where the content
            moves to the right, v where it moves down.

        Raises:
            ValueError: Another number of frames than T.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected {self.frames} frames, got {x.shape[1]}")
        device = "cpu" if x.device.type == "meta" else x.device.type
        # bfloat16 resolves the 256 grey levels no better than to one.
        with torch.autocast(device, enabled=False):
            first, second = self._smooth(self._grey_pairs(x.to(self.start.dtype)))
            if self.training and x.device.type == "cpu":
                chunks = zip(first.split(PAIRS_PER_CHUNK), second.split(PAIRS_PER_CHUNK), strict=True)
                flow = torch.cat([self._solve(*chunk) for chunk in chunks])
            else:
                flow = self._solve(first, second)
        return flow.unflatten(0, (-1, self.frames - 1)).flatten(1, 2)

    def _grey_pairs(self, x: Tensor) -> Tensor:
        """(N, T, 3, H, W) to (P, 2, H, W): pairs of grey frames, each pair filling 0..255."""
        # The standard deviation of each channel is multiplied back, and the rescaling to 0..255, for which lam was
        # tuned, removes the mean: the normalisation of the input makes no difference (ours).
        grey = (x * self.luma.view(3, 1, 1)).sum(2)
        pairs = torch.stack([grey[:, :-1], grey[:, 1:]], dim=2).flatten(0, 1)
        low, high = pairs.amin((1, 2, 3), keepdim=True), pairs.amax((1, 2, 3), keepdim=True)
        # Two frames of one and the same value have no range; they become zero.
        return (pairs - low) * (GREY_LEVELS / (high - low).clamp_min(TINY))

    def _smooth(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """(P, 2, H, W) to two frames of (P, 1, H, W)."""
        reach = GAUSSIAN_SIZE // 2
        kernel = self.gaussian.to(pairs.dtype)
        # The border is repeated (ours; the released code pads with zeros).
        padded = F.pad(pairs, (reach,) * 4, mode="replicate")
        if self.training:
            height, width = pairs.shape[-2:]
            rows = sum(tap * padded[..., i : i + width] for i, tap in enumerate(kernel))
            smooth = sum(tap * rows[..., i : i + height, :] for i, tap in enumerate(kernel))
        else:
            square = (kernel[:, None] * kernel).expand(2, 1, -1, -1)
            smooth = F.conv2d(_fast_layout(padded), square, groups=2)
        return smooth[:, :1], smooth[:, 1:]

    def _starting_flow(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The flow of the camera, (1, 2, H, W), and where it leads: (1, H, W, 2) in the coordinates of grid_sample."""
        dtype, device = self.start.dtype, self.start.device
        y = torch.arange(height, dtype=dtype, device=device).view(1, height, 1).expand(1, height, width)
        x = torch.arange(width, dtype=dtype, device=device).view(1, 1, width).expand(1, height, width)
        half_side = max(height, width) / 2
        across, down = (x - (width - 1) / 2) / half_side, (y - (height - 1) / 2) / half_side
        shift_x, shift_y, zoom, rotation = self.start.unbind()
        u = shift_x + zoom * across - rotation * down
        v = shift_y + zoom * down + rotation * across
        at_x, at_y = ((x + u) * 2 / max(width - 1, 1) - 1, (y + v) * 2 / max(height - 1, 1) - 1)
        return torch.stack([u, v], dim=1), torch.stack([at_x, at_y], dim=3)

    def _solve(self, first: Tensor, second: Tensor) -> Tensor:
        """TV-L1 between frames of (P, 1, H, W): (P, 2, H, W)."""
        flow, grid = self._starting_flow(*first.shape[-2:])
        maps = torch.cat([second, self._centred(second, 0), self._centred(second, 1)], dim=1)
        grid = grid.expand(maps.shape[0], -1, -1, -1)
        warped = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
        slope = warped[:, 1:]
        steepness = slope.square().sum(1, keepdim=True) + TINY
        constant = warped[:, :1] - first - (slope * flow).sum(1, keepdim=True)
        flow = flow.expand_as(slope)
        limit, ratio = self.lam * self.theta, self.tau / self.theta
        # One (P, 2, H, W) tensor for the x components of p_u and p_v, another for their y components.
        across, down = torch.zeros_like(slope), torch.zeros_like(slope)
        for i in range(self.iterations):
            rho = constant + (slope * flow).sum(1, keepdim=True)
            flow = torch.addcmul(flow, (rho / steepness).clamp(-limit, limit), slope, value=-1)
            flow = torch.add(flow, self._divergence(across, i, 0) + self._divergence(down, i, 1), alpha=self.theta)
            # Nothing reads the dual step of the last iteration. So the last gradient kernels get no gradient, and
            # neither do the first divergence kernels, which see p = 0. They keep the count of parameters.
            if i < self.iterations - 1:
                right, below = self._gradient(flow, i, 0), self._gradient(flow, i, 1)
                shrink = 1 + ratio * torch.addcmul(right.square() + TINY, below, below).sqrt()
                across = torch.add(across, right, alpha=ratio) / shrink
                down = torch.add(down, below, alpha=ratio) / shrink
        return flow

    def _centred(self, x: Tensor, axis: int) -> Tensor:
        """Centred difference of (P, 1, H, W) along x (axis 0) or y (1)."""
        padded = F.pad(x, (1, 1, 0, 0) if axis == 0 else (0, 0, 1, 1), mode="replicate")
        return self._filter(padded, self.centred[axis].unsqueeze(0), axis)

    def _gradient(self, flow: Tensor, iteration: int, axis: int) -> Tensor:
        """Forward difference of (P, 2, H, W) along x (axis 0) or y (1), zero in the last column or row."""
        taps = self.gradient[iteration, axis]
        after = (0, 1, 0, 0) if axis == 0 else (0, 0, 0, 1)
        if not self.training:  # the position that is thrown away is filtered, and counted, as in the released code
            flow = F.pad(flow, after)
        difference = self._filter(flow, taps, axis)
        if not self.training:
            difference = difference[..., :-1] if axis == 0 else difference[..., :-1, :]
        return F.pad(difference, after)

    def _divergence(self, p: Tensor, iteration: int, axis: int) -> Tensor:
        """One term of the divergence: the backward difference of (P, 2, H, W), whose last column or row is zero."""
        # p is zero outside the frame, so that the divergence is the negative adjoint of the forward differences.
        before = (1, 0, 0, 0) if axis == 0 else (0, 0, 1, 0)
        return self._filter(F.pad(p, before), self.divergence[iteration, axis], axis)

    def _filter(self, x: Tensor, taps: Tensor, axis: int) -> Tensor:
        """Correlate each channel of (P, C, H, W) with its taps, (C, k), along x or y, without padding."""
        channels, size = taps.shape
        if self.training:
            dim = 3 - axis
            length = x.shape[dim] - size + 1
            result = taps[:, 0].view(channels, 1, 1) * x.narrow(dim, 0, length)
            for k in range(1, size):
                result = torch.addcmul(result, taps[:, k].view(channels, 1, 1), x.narrow(dim, k, length))
            return result
        kernel = taps.view(channels, 1, 1, size) if axis == 0 else taps.view(channels, 1, size, 1)
        return F.conv2d(_fast_layout(x), kernel, groups=channels)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.frames}, iterations={self.iterations}, tau={self.tau}, lam={self.lam}, theta={self.theta}"


def _fast_layout(x: Tensor) -> Tensor:
    """On a CPU channels-last, which makes grouped convolutions of two channels 20 times faster."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x
