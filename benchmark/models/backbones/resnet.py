"""ResNet with temporal shift (He et al., CVPR 2016; Lin et al., ICCV 2019).

The backbone of TSM-ResNet and of both pathways of BQN.

Module names are torchvision's, so that its ImageNet weights load by key. A block takes the number of frames with its
maps, and `stem` and `blocks` are public, so that two networks can be run side by side with connections in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from benchmark.config.models import BLOCKS_PER_STAGE, STAGES, Stage
from benchmark.models.modules.temporal_shift import TemporalShift
from benchmark.models.weights import torchvision_state, with_input_channels


def scaled_channels(channels: int, width: float) -> int:
    """`channels * width`, rounded to the nearest multiple of 8 and at least 8."""
    # So that one eighth of the channels can be shifted in any block.
    return max(8, round(channels * width / 8) * 8)


class Block(nn.Module):
    """What both residual blocks share: y = relu(shortcut(x) + branch(shift(x))), the shift in the branch only.

    Attributes:
        before: What stands in front of the branch beside the shift, and before it; none to begin with.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, shift: bool) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.before = nn.ModuleList()
        self.shift = TemporalShift() if shift else None
        self.relu = nn.ReLU(inplace=True)
        out_channels = channels * self.expansion
        self._build_branch(in_channels, channels, stride)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def _build_branch(self, in_channels: int, channels: int, stride: int) -> None:
        raise NotImplementedError

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch, before the addition."""
        raise NotImplementedError

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to (B * frames, C_out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for module in self.before:
            x = module(x, frames)
        branch = self.branch(x if self.shift is None else self.shift(x, frames))
        return self.relu(branch + shortcut)


class BasicBlock(Block):
    """Two 3 x 3 convolutions (ResNet-18)."""

    def _build_branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def branch(self, x: Tensor) -> Tensor:
        """3 x 3, ReLU, 3 x 3, each with its normalisation."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Block):
    """1 x 1, 3 x 3 and 1 x 1 convolutions (ResNet-50 and 101)."""

    expansion = 4

    def _build_branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        # The stride is here, as torchvision has it and the released BQN code too.
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def branch(self, x: Tensor) -> Tensor:
        """1 x 1, ReLU, 3 x 3, ReLU, 1 x 1, each with its normalisation."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))


class ResNet(nn.Module):
    """ResNet-18, 50 or 101 without a classifier.

    Args:
        depth: 18, 50 or 101.
        width: Multiplier of every channel count.
        temporal_shift: Shift in every residual block.
        shift_every: In every n-th one of a stage, from the first on.
        in_channels: Channels of the input; pretrained weights of the first convolution are averaged over theirs.
        pretrained: "imagenet" loads torchvision's weights (width 1 only), see `load_imagenet`.
        insert: Called with every place, "res2.0" and so on, and its channels. The module that it returns runs right
            after that block, as module(x, frames) on (B * frames, C, H, W); None leaves the place empty.
        before: The same for what stands in front of a block's residual branch, given the channels of the block's input.

    Inserted modules keep their own initialisation, and the backbone starts as it would without them.

    Attributes:
        out_channels: Channels of the last maps, and of the pooled feature.
        stage_channels: Channels after each stage.
        inserts: The modules inserted, by place with an underscore.
    """

    def __init__(
        self,
        depth: int = 50,
        width: float = 1.0,
        temporal_shift: bool = True,
        pretrained: str | None = None,
        in_channels: int = 3,
        insert: Callable[[str, int], nn.Module | None] | None = None,
        before: Callable[[str, int], nn.Module | None] | None = None,
        shift_every: int = 1,
    ) -> None:
        super().__init__()
        self.depth = depth
        block = BasicBlock if depth == 18 else Bottleneck
        stem = scaled_channels(64, width)
        self.conv1 = nn.Conv2d(in_channels, stem, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.stage_channels: dict[Stage, int] = {}
        channels_before = stem
        for index, stage in enumerate(STAGES):
            channels = scaled_channels(64 * 2**index, width)
            blocks = nn.ModuleList()
            for number in range(BLOCKS_PER_STAGE[depth][index]):
                shift = temporal_shift and number % shift_every == 0
                blocks.append(block(channels_before, channels, 2 if index and number == 0 else 1, shift))
                channels_before = channels * block.expansion
            self.add_module(f"layer{index + 1}", blocks)
            self.stage_channels[stage] = channels_before
        self.out_channels = channels_before
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if pretrained == "imagenet":
            load_imagenet(self)
        self.inserts = nn.ModuleDict()
        for stage, index, inner in self.blocks():
            place = f"{stage}.{index}"
            in_front = before(place, inner.in_channels) if before is not None else None
            if in_front is not None:
                inner.before.append(in_front)
            behind = insert(place, self.stage_channels[stage]) if insert is not None else None
            if behind is not None:
                self.inserts[place.replace(".", "_")] = behind

    def stem(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C, H / 4, W / 4)."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def blocks(self) -> Iterator[tuple[Stage, int, Block]]:
        """The residual blocks in order, each with its stage and its 0-based index within the stage."""
        for number, stage in enumerate(STAGES, start=1):
            for index, block in enumerate(self.get_submodule(f"layer{number}").children()):
                assert isinstance(block, Block)
                yield stage, index, block

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to the last feature maps, (B * frames, out_channels, H / 32, W / 32)."""
        x = self.stem(x)
        for stage, index, block in self.blocks():
            x = block(x, frames)
            if (place := f"{stage}_{index}") in self.inserts:
                x = self.inserts[place](x, frames)
        return x

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to pooled features, (B, frames, out_channels)."""
        return pooled(self(x, frames)).unflatten(0, (-1, frames))


def pooled(x: Tensor) -> Tensor:
    """Global average over positions: (N, C, H, W) to (N, C)."""
    return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


def load_imagenet(backbone: ResNet) -> None:
    """Load torchvision's IMAGENET1K_V1 weights, without their classifier, into a backbone of width 1.

    Raises:
        PretrainedWeightsError: The file is not there and could not be fetched.
    """
    import torchvision  # as slow to import as torch, and of use for its weights alone

    # The only weights that existed when the papers were written.
    weights = torchvision.models.get_model_weights(f"resnet{backbone.depth}")["IMAGENET1K_V1"]
    state = torchvision_state(weights, f"ImageNet weights of ResNet-{backbone.depth}")
    state["conv1.weight"] = with_input_channels(state["conv1.weight"], backbone.conv1.in_channels)
    backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
