"""Three-dimensional convolutions that are run in two dimensions where that is the faster way."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import to_frames, to_volumes


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` with zero padding; on a CPU run in two dimensions where its kernel has no more.

    For fewer than 16 clips on one thread, PyTorch runs kernels of one position in space by a path of its own, which is
    slow and leaves maps that are not channels-last to all that follows: X3D-M at an eighth of its width trains 2.3
    times as fast without. A kernel of one frame is a convolution of frames, one of one position a convolution of time
    by positions. Named as its parent, for counters that know modules by their class.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) to (B, C_out, T', H', W')."""
        extent, height, width = self.kernel_size
        if x.device.type != "cpu":
            return super().forward(x)
        in_time, *in_space = (int(p) for p in self.padding)
        if extent == 1 and self.stride[0] == 1:
            kernel = self.weight.squeeze(2)
            y = F.conv2d(to_frames(x), kernel, self.bias, self.stride[1:], in_space, groups=self.groups)
            return to_volumes(y, x.shape[2])
        if height == width == 1 and self.stride == (1, 1, 1):
            kernel = self.weight.squeeze(4)
            y = F.conv2d(x.flatten(3), kernel, self.bias, padding=(in_time, 0), groups=self.groups)
            return y.unflatten(3, x.shape[3:])
        return super().forward(x)
