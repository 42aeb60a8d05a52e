"""Representation configs: what a table may set for the thing that turns frames into a backbone's input.

A representation reads `frames` consecutive frames of a segment and gives `images` images of `channels` channels.
A new field's default must reproduce what the code did before the field existed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from benchmark.config.fields import Strict

Modality = Literal["rgb", "flow"]
RepresentationName = Literal[
    "rgb",
    "mbpm",
    "rgb_difference",
    "flow",
    "dynamic_image",
    "flownet",
    "tvnet",
    "persistent_appearance",
    "convolution",
    "squeezed_image",
    "dynamic_appearance",
]
Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu"]


class RgbConfig(Strict):
    """Frames as they are, one per segment."""

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        return 1

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3


class MbpmConfig(Strict):
    """Motion Band-Pass Module (BQN Eq. 3): a LoG per channel in space, then a high-pass filter in time."""

    kernel_size: int = Field(9, ge=1, le=31, description="side of the LoG kernel, odd")
    sigma: float = Field(1.1, gt=0, description="scale of the LoG, in pixels of the map that it filters")
    trainable: bool = Field(True, description="False keeps the initial kernels (the 'untrained' curves of Figure 3)")

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        return 3

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3

    @model_validator(mode="after")
    def _odd(self) -> MbpmConfig:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        return self


class RgbDifferenceConfig(Strict):
    """Differences of neighbouring frames, stacked as channels (TSN)."""

    frames: int = Field(6, ge=2, le=16)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3 * (self.frames - 1)


class FlowConfig(Strict):
    """TV-L1 optical flow from disk (`data flow`): `frames` fields of (u, v), stacked as channels."""

    frames: int = Field(5, ge=1, le=16, description="flow fields of a segment; n fields span n interval + 1 frames")
    interval: int = Field(1, ge=1, description="frames that a field leads across, and from a stacked field to the next")

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 2 * self.frames


class DynamicImageConfig(Strict):
    """Approximate rank pooling of the frames of a segment (Bilen et al.)."""

    frames: int = Field(6, ge=2, le=64)
    scale: float = Field(0.1, gt=0, description="what the pooled image is multiplied by")

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3


class FlowNetConfig(Strict):
    """Flow that FlowNetS or FlowNetC estimates between neighbouring frames, stacked as channels; as wide as `width`."""

    variant: Literal["s", "c"] = "s"
    frames: int = Field(6, ge=2, le=16)
    weights: str | None = Field(
        None,
        description="W for flownet<variant>_<W>.pth of the weights folder, a file name that ends in .pth, or"
        " `generated`: trained here on the true flow of motionpairs; default: generated on generated data, else"
        " flying_chairs",
    )
    trainable: bool = False

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 2 * (self.frames - 1)


class TvnetConfig(Strict):
    """TVNet: TV-L1 flow with its iterations unrolled and trainable (Fan et al.), one scale and one warp."""

    frames: int = Field(6, ge=2, le=16)
    iterations: int = Field(10, ge=1, le=200)
    tau: float = Field(0.25, gt=0)
    lam: float = Field(0.15, gt=0)
    theta: float = Field(0.3, gt=0)
    trainable: bool = True

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 2 * (self.frames - 1)


class PersistentAppearanceConfig(Strict):
    """Persistent Appearance (PAN): distances between neighbouring frames after one convolution."""

    frames: int = Field(6, ge=2, le=16)
    features: int = Field(8, ge=1, description="output channels of the convolution")
    kernel_size: int = Field(7, ge=1, le=31)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.frames - 1


class ConvolutionConfig(Strict):
    """One convolution over the stacked frames of a segment (the control of DA Table 7)."""

    frames: int = Field(6, ge=1, le=16)
    kernel_size: int = Field(7, ge=1, le=31)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3


class SqueezeConfig(Strict):
    """Temporal Squeeze Pooling (thesis 3.2): K frames to the D images that span them best."""

    frames: int = Field(10, ge=2, le=64, description="K")
    images: int = Field(3, ge=1, le=16, description="D")
    activations: tuple[Activation, Activation] = Field(
        ("sigmoid", "leaky_relu"), description="delta_1 and delta_2 of the excitation"
    )

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3

    @model_validator(mode="after")
    def _squeezes(self) -> SqueezeConfig:
        if self.images >= self.frames:
            raise ValueError(f"images ({self.images}) must be fewer than frames ({self.frames})")
        return self


class PwtpConfig(Strict):
    """Pixel-Wise Temporal Projection (DA, Section 3): one image of dynamic appearance per segment."""

    frames: int = Field(8, ge=2, le=32, description="T")
    dims: int = Field(1, ge=1, le=8, description="D, the dimension of the subspace that is projected onto")
    kernel_size: int = Field(9, ge=1, le=31, description="k of the local convolution")
    stride: int = Field(8, ge=1, le=32, description="s of the local convolution")
    features: int = Field(24, ge=1, description="C', output channels of the local convolution")
    bottleneck: float = Field(0.25, gt=0, le=1, description="beta")
    blocks: int = Field(1, ge=0, le=8, description="B, bottleneck blocks of the MLP")
    expansion: int = Field(2, ge=1, le=16, description="r of the first fully-connected layer")
    conv_norm: bool = Field(True, description="batch normalisation after the local convolution (best fit of the costs)")
    average_after_stem: bool = Field(
        False, description="average over time after X3D's stem convolution: the same output at the printed cost"
    )

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3

    @model_validator(mode="after")
    def _projects(self) -> PwtpConfig:
        if self.dims >= self.frames:
            raise ValueError(f"dims ({self.dims}) must be fewer than frames ({self.frames})")
        if self.kernel_size < self.stride:
            raise ValueError(f"kernel_size ({self.kernel_size}) leaves gaps at stride {self.stride}")
        return self


class RepresentationFields(Strict):
    """Mixin of every single-path network: its representation, and the settings of each."""

    representation: RepresentationName = "rgb"
    mbpm: MbpmConfig = MbpmConfig()
    rgb_difference: RgbDifferenceConfig = RgbDifferenceConfig()
    flow: FlowConfig = FlowConfig()
    dynamic_image: DynamicImageConfig = DynamicImageConfig()
    flownet: FlowNetConfig = FlowNetConfig()
    tvnet: TvnetConfig = TvnetConfig()
    persistent_appearance: PersistentAppearanceConfig = PersistentAppearanceConfig()
    convolution: ConvolutionConfig = ConvolutionConfig()
    squeezed_image: SqueezeConfig = SqueezeConfig()
    dynamic_appearance: PwtpConfig = PwtpConfig()

    @property
    def representation_config(self) -> Any:
        """The settings of the chosen representation."""
        return RgbConfig() if self.representation == "rgb" else getattr(self, self.representation)

    @property
    def frames_per_segment(self) -> int:
        """Frames, or flow fields, that the representation reads of every segment."""
        return int(self.representation_config.frames)

    @property
    def images_per_segment(self) -> int:
        """Images that the backbone sees of every segment."""
        return int(getattr(self.representation_config, "images", 1))

    @property
    def input_channels(self) -> int:
        """Channels of the backbone's input."""
        return int(self.representation_config.channels)

    @property
    def averages_after_stem(self) -> bool:
        """Whether the backbone sees every frame's residual, and averages after its stem."""
        return self.representation == "dynamic_appearance" and self.dynamic_appearance.average_after_stem

    @property
    def modality(self) -> Modality:
        """What the loader reads: frames, or flow fields."""
        return "flow" if self.representation == "flow" else "rgb"

    @model_validator(mode="after")
    def _only_the_chosen_one_is_set(self) -> RepresentationFields:
        for name, info in RepresentationFields.model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Strict) and name != self.representation and value != info.default:
                raise ValueError(f"'{name}' is set, but the representation is '{self.representation}'")
        return self
