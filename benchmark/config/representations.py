"""Representation configs: what a table may set for the thing that turns frames into a backbone's input.

A representation reads `frames` consecutive frames of a segment and gives `images_per_segment` images of `channels`
channels. A new field's default must reproduce what the code did before the field existed.

A new representation is a file in benchmark/models/representations/, a class here and a line of `RepresentationFields`.
One of the user's own is named by its file (`benchmark.config.custom`), and its settings are `representation_options`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.config.custom import Own, first_of, is_entry, refuse, sources_of
from benchmark.config.fields import Buildable, Strict, check_name, check_unused, registered
from benchmark.config.segment_shape import faults_of_representation, with_shape

Modality = Literal["rgb", "flow"]
Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu"]


class RepresentationConfig(Buildable):
    """Base of the configs of representations. `frames` is a field, or a property where there is no choice."""

    modality: ClassVar[Modality] = "rgb"
    has_residual: ClassVar[bool] = False
    """It has a projection loss of its own."""

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3

    @property
    def images_per_segment(self) -> int:
        """Images of a segment."""
        return 1

    @property
    def averages_after_stem(self) -> bool:
        """Whether the backbone sees every frame's residual, and averages after its stem."""
        return False


class RgbConfig(RepresentationConfig):
    """Frames as they are, one per segment."""

    constructor = "benchmark.models.representations.stacked:Stacked"

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        return 1


class MbpmConfig(RepresentationConfig):
    """Motion Band-Pass Module (BQN Eq. 3): a LoG per channel in space, then a high-pass filter in time."""

    constructor = "benchmark.models.representations.mbpm:MbpmOfTriple"

    kernel_size: int = Field(9, ge=1, le=31, description="side of the LoG kernel, odd")
    sigma: float = Field(1.1, gt=0, description="scale of the LoG, in pixels of the map that it filters")
    trainable: bool = Field(True, description="False keeps the initial kernels (the 'untrained' curves of Figure 3)")

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        return 3

    @model_validator(mode="after")
    def _odd(self) -> MbpmConfig:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        return self


class RgbDifferenceConfig(RepresentationConfig):
    """Differences of neighbouring frames, stacked as channels (TSN)."""

    constructor = "benchmark.models.representations.rgb_difference:RgbDifference"

    frames: int = Field(6, ge=2, le=16)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 3 * (self.frames - 1)


class FlowConfig(RepresentationConfig):
    """TV-L1 optical flow from disk (`data flow`): `frames` fields of (u, v), stacked as channels."""

    constructor = "benchmark.models.representations.stacked:Stacked"
    modality = "flow"

    frames: int = Field(5, ge=1, le=16, description="flow fields of a segment; n fields span n interval + 1 frames")
    interval: int = Field(1, ge=1, description="frames that a field leads across, and from a stacked field to the next")

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 2 * self.frames


class DynamicImageConfig(RepresentationConfig):
    """Approximate rank pooling of the frames of a segment (Bilen et al.)."""

    constructor = "benchmark.models.representations.dynamic_image:DynamicImage"

    frames: int = Field(6, ge=2, le=64)
    scale: float = Field(0.1, gt=0, description="what the pooled image is multiplied by")


class FlowNetConfig(RepresentationConfig):
    """Flow that FlowNetS or FlowNetC estimates between neighbouring frames, stacked as channels; as wide as `width`."""

    constructor = "benchmark.models.representations.flownet_training:build_flownet"

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


class TvnetConfig(RepresentationConfig):
    """TVNet: TV-L1 flow with its iterations unrolled and trainable (Fan et al.), one scale and one warp."""

    constructor = "benchmark.models.representations.tvnet:Tvnet"

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


class PersistentAppearanceConfig(RepresentationConfig):
    """Persistent Appearance (PAN): distances between neighbouring frames after one convolution."""

    constructor = "benchmark.models.representations.persistent_appearance:PersistentAppearance"

    frames: int = Field(6, ge=2, le=16)
    features: int = Field(8, ge=1, description="output channels of the convolution")
    kernel_size: int = Field(7, ge=1, le=31)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.frames - 1


class ConvolutionConfig(RepresentationConfig):
    """One convolution over the stacked frames of a segment (the control of DA Table 7)."""

    constructor = "benchmark.models.representations.convolution:Convolution"

    frames: int = Field(6, ge=1, le=16)
    kernel_size: int = Field(7, ge=1, le=31)


class SqueezeConfig(RepresentationConfig):
    """Temporal Squeeze Pooling (thesis 3.2): K frames to the D images that span them best."""

    constructor = "benchmark.models.representations.squeezed_image:SqueezedImage"
    has_residual = True

    frames: int = Field(10, ge=2, le=64, description="K")
    images: int = Field(3, ge=1, le=16, description="D")
    activations: tuple[Activation, Activation] = Field(
        ("sigmoid", "leaky_relu"), description="delta_1 and delta_2 of the excitation"
    )

    @property
    def images_per_segment(self) -> int:
        """D."""
        return self.images

    @model_validator(mode="after")
    def _squeezes(self) -> SqueezeConfig:
        if self.images >= self.frames:
            raise ValueError(f"images ({self.images}) must be fewer than frames ({self.frames})")
        return self


class PwtpConfig(RepresentationConfig):
    """Pixel-Wise Temporal Projection (DA, Section 3): one image of dynamic appearance per segment."""

    constructor = "benchmark.models.representations.dynamic_appearance:DynamicAppearance"
    has_residual = True

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
    def averages_after_stem(self) -> bool:
        """Whether the backbone sees every frame's residual, and averages after its stem."""
        return self.average_after_stem

    @model_validator(mode="after")
    def _projects(self) -> PwtpConfig:
        if self.dims >= self.frames:
            raise ValueError(f"dims ({self.dims}) must be fewer than frames ({self.frames})")
        if self.kernel_size < self.stride:
            raise ValueError(f"kernel_size ({self.kernel_size}) leaves gaps at stride {self.stride}")
        return self


class OwnRepresentationConfig(RepresentationConfig, Own):
    """A representation of the user's own, of frames."""

    constructor = "benchmark.models.custom:representation_of"

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        return int(self.options["frames"])

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.options["channels"])

    @property
    def images_per_segment(self) -> int:
        """Images of a segment."""
        return int(self.options["images"])


class RepresentationFields(Strict):
    """Mixin of every single-path network. The fields are the registry of representations."""

    representation: str = Field("rgb", description="what the backbone sees; path/to/file.py:Class is your own")
    representation_options: dict[str, Any] = Field(
        {}, description="of one of your own: its class's arguments, and frames, channels and images of a segment"
    )
    representation_source: str = Field(
        "", description="digest of its file; filled in, and checked again where the run starts"
    )
    rgb: ClassVar[RgbConfig] = RgbConfig()  # nothing to set
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

    @field_validator("representation")
    @classmethod
    def _representation_is_known(cls, name: str) -> str:
        return name if is_entry(name) else check_name(name, ["rgb", *registered(cls, RepresentationConfig)])

    @property
    def representation_config(self) -> Any:
        """The settings of the chosen representation."""
        if is_entry(self.representation):
            options, source = self.representation_options, self.representation_source
            return OwnRepresentationConfig(entry=self.representation, options=options, source=source)
        return getattr(self, self.representation)

    @model_validator(mode="before")
    @classmethod
    def _own_representation_is_read(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "representation_source" in values:
            return values
        entry, options = values.get("representation"), values.get("representation_options", {})
        if not is_entry(entry) or not isinstance(options, dict):
            return values
        source = sources_of([entry]).get(entry, "")
        return {**values, "representation_source": source, "representation_options": with_shape(entry, options)}

    @model_validator(mode="after")
    def _own_representation_fits(self) -> RepresentationFields:
        if is_entry(self.representation):
            own = self.representation
            refuse(faults_of_representation(own, self.representation_options, self.representation_source))
        elif self.representation_options:
            text = f"options are for a representation of your own: representation is '{self.representation}'"
            refuse([(first_of("representation_options", self.representation_options), text)])
        return self

    @property
    def frames_per_segment(self) -> int:
        """Frames, or flow fields, that the representation reads of every segment."""
        return int(self.representation_config.frames)

    @property
    def images_per_segment(self) -> int:
        """Images that the backbone sees of every segment."""
        return int(self.representation_config.images_per_segment)

    @property
    def input_channels(self) -> int:
        """Channels of the backbone's input."""
        return int(self.representation_config.channels)

    @property
    def averages_after_stem(self) -> bool:
        """Whether the backbone sees every frame's residual, and averages after its stem."""
        return bool(self.representation_config.averages_after_stem)

    @property
    def modality(self) -> Modality:
        """What the loader reads: frames, or flow fields."""
        modality: Modality = self.representation_config.modality
        return modality

    @property
    def has_residual(self) -> bool:
        """Whether the network has a projection loss."""
        return bool(self.representation_config.has_residual)

    @model_validator(mode="after")
    def _only_the_chosen_one_is_set(self) -> RepresentationFields:
        check_unused(
            self, RepresentationConfig, {self.representation}, f"the representation is '{self.representation}'"
        )
        return self
