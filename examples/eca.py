"""Efficient channel attention (ECA; Wang et al., CVPR 2020): a gate for each channel of each frame."""

from torch import Tensor, nn


class Eca(nn.Module):
    """y = x * sigmoid(convolution over channels of the mean over positions); maps (clips * frames, C, H, W)."""

    def __init__(self, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """See the class."""
        means = x.mean((2, 3)).unsqueeze(1)
        return x * self.conv(means).sigmoid().squeeze(1)[:, :, None, None]
