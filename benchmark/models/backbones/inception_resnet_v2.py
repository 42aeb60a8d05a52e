"""Inception-ResNet-v2 (Szegedy et al., AAAI 2017): the backbone of TeSNet and of its comparators (thesis, Section 3.3).

The layers are timm's, with timm's names for the keys of the state dict and TF-slim's names for the places in between
(`stages`), since those are the names that the thesis uses for where its layers stand: 10 blocks of Block A (35 x 35 in
TF-slim's name), 20 of Block B (17 x 17) and 10 of Block C (8 x 8), the last of them without ReLU.

Without pretrained weights, convolutions start as PyTorch's do.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.inception_resnet_v2 import InceptionResnetV2
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.backbones.resnet import pooled, scaled_channels
from benchmark.models.weights import load_state, missing, weights_path, with_input_channels

LOCATIONS: dict[str, str] = {
    "conv2d_1a": "conv2d_1a",
    "conv2d_2a": "conv2d_2a",
    "conv2d_2b": "conv2d_2b",
    "maxpool_3a": "maxpool_3a",
    "conv2d_3b": "conv2d_3b",
    "conv2d_4a": "conv2d_4a",
    "maxpool_5a": "maxpool_5a",
    "mixed_5b": "mixed_5b",
    "block_a": "repeat",
    "mixed_6a": "mixed_6a",
    "block_b": "repeat_1",
    "mixed_7a": "mixed_7a",
    "block_c": "repeat_2",
    "block8": "block8",
    "conv2d_7b": "conv2d_7b",
}
"""The network's parts in order: TF-slim's name -> timm's. Block C is nine blocks here, and `block8` its tenth."""

REDUCTIONS = ("mixed_6a", "mixed_7a")
WINDOW = 3
IMAGENET_FILE = "inception_resnet_v2-940b1cd6.pth"


class InceptionResNetV2(nn.Module):
    """Inception-ResNet-v2 without a classifier.

    Args:
        width: Multiplier of every channel count.
        pretrained: "imagenet" loads timm's conversion of TF-slim's weights (width 1 only), see `load_imagenet`.
        in_channels: Channels of the input; pretrained weights of the first convolution are averaged over theirs.

    Attributes:
        out_channels: Channels of the last maps, and of the pooled feature: 1536 at width 1.

    Raises:
        ValueError: Pretrained weights for another width than 1.
        PretrainedWeightsError: Their file is not there.
    """

    def __init__(self, width: float = 1.0, pretrained: str | None = None, in_channels: int = 3) -> None:
        super().__init__()
        if pretrained and width != 1.0:
            raise ValueError(f"pretrained weights exist for width 1.0 only, got width {width}")
        device = torch.empty(0).device
        # Without storage, so that weights of full width are not drawn only to be thrown away.
        with torch.device("meta"):
            full = InceptionResnetV2(in_chans=in_channels)
            channels = in_channels
            for name in LOCATIONS.values():
                channels = _narrow(full.get_submodule(name), channels, width)
                self.add_module(name, full.get_submodule(name))
        self.out_channels = channels
        for name in REDUCTIONS:
            self.get_submodule(name).register_forward_pre_hook(_fill_window)
        if device.type != "meta":
            self.to_empty(device=device)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                    module.reset_parameters()
        if pretrained == "imagenet":
            load_imagenet(self)

    def stages(self) -> Iterator[tuple[str, nn.Module]]:
        """The network's parts in order, each (N, C, H, W) to (N, C', H', W'), with TF-slim's names (`LOCATIONS`)."""
        for location, name in LOCATIONS.items():
            yield location, self.get_submodule(name)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to the last feature maps, (N, out_channels, H', W'): 8 x 8 for 299, 1 x 1 for 75."""
        for _, stage in self.stages():
            x = stage(x)
        return x

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to pooled features, (B, frames, out_channels)."""
        return pooled(self(x)).unflatten(0, (-1, frames))


def _narrow(module: nn.Module, channels: int, width: float) -> int:
    """Give a part of the network its width in place, for an input of `channels`; returns its output channels."""
    # A concatenation is as wide as its branches together, and the convolution that closes a residual block as wide as
    # the block's input, so a narrow network need not have exactly `width` times the channels there: at 1/8 the blocks
    # have 48, 144 and 264 channels (40, 136 and 260 would be an eighth), and the pooled feature 192.
    if isinstance(module, ConvNormAct):
        out_channels = scaled_channels(module.conv.out_channels, width)
        _resize_convolution(module.conv, channels, out_channels)
        _resize_norm(module.bn, out_channels)
        return out_channels
    if isinstance(module, nn.Sequential):
        for child in module:
            channels = _narrow(child, channels, width)
        return channels
    branches = [child for name, child in module.named_children() if name.startswith("branch")]
    if not branches:  # pooling
        return channels
    concatenated = sum(_narrow(branch, channels, width) for branch in branches)
    closing = dict(module.named_children()).get("conv2d")
    if closing is None:
        return concatenated
    assert isinstance(closing, nn.Conv2d)
    _resize_convolution(closing, concatenated, channels)
    return channels


def _resize_convolution(convolution: nn.Conv2d, in_channels: int, out_channels: int) -> None:
    convolution.in_channels, convolution.out_channels = in_channels, out_channels
    weight = convolution.weight.new_empty(out_channels, in_channels, *convolution.weight.shape[2:])
    convolution.weight = nn.Parameter(weight)
    if convolution.bias is not None:
        convolution.bias = nn.Parameter(convolution.bias.new_empty(out_channels))


def _resize_norm(norm: nn.BatchNorm2d, channels: int) -> None:
    norm.num_features = channels
    norm.weight = nn.Parameter(norm.weight.new_empty(channels))
    norm.bias = nn.Parameter(norm.bias.new_empty(channels))
    norm.running_mean = torch.empty(channels)
    norm.running_var = torch.empty(channels)


def _fill_window(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Pad maps that are smaller than the window of a reduction with zeros up to it, the odd one after them."""
    # Convolutions and poolings that halve maps have no padding (TF's "valid"): the smallest frame is 75 x 75, which
    # ends at one position. Below, this is what TF's "same" would do, so that 27 x 27 and more give a result; 56 x 56
    # reaches 1 x 1 at Block B already.
    short_h, short_w = (max(0, WINDOW - side) for side in inputs[0].shape[-2:])
    if not short_h and not short_w:
        return inputs
    left, above = short_w // 2, short_h // 2
    return (F.pad(inputs[0], (left, short_w - left, above, short_h - above)),)


def load_imagenet(backbone: InceptionResNetV2) -> None:
    """Load timm's inception_resnet_v2 (`tf_in1k`), without its classifier, into a backbone of width 1.

    The weights are TF-slim's, trained on RGB in [-1, 1]; nothing here compensates for frames that are normalised by
    ImageNet's mean and deviation. The file is looked for in the folder that BENCHMARK_WEIGHTS names (default
    `weights`); nothing is fetched.

    Raises:
        PretrainedWeightsError: The file is not there; the message says what to put where.
    """
    path = weights_path(IMAGENET_FILE)
    if not path.is_file():
        raise missing(
            "ImageNet weights of Inception-ResNet-v2", path, "pytorch-image-models, release v0.1-weights on GitHub"
        )
    state = load_state(path)
    first = "conv2d_1a.conv.weight"
    state[first] = with_input_channels(state[first], backbone.get_parameter(first).shape[1])
    backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("classif.")})
