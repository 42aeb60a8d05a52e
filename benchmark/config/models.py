"""Model configs: what a table may set under `model.`, one frozen class per network, without importing torch.

A field marked `scales="width"` or `scales="spatial"` is multiplied by the protocol's factor, so that the small
protocols run the same network, narrower, on smaller frames. A new field's default must reproduce what the code did
before the field existed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from benchmark.config.custom import faults, refuse, sources_of
from benchmark.config.fields import Strict, scaled
from benchmark.config.modules import GateFields, InsertFields
from benchmark.config.places import block_places, named_places, written_out
from benchmark.config.representations import Activation, MbpmConfig, Modality, RepresentationFields

Stage = Literal["res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = ("res2", "res3", "res4", "res5")
BLOCKS_PER_STAGE: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class _Scalable(Strict):
    """A network with a width, whose pretrained weights are those of width 1."""

    width: float = scaled("width", 1.0, gt=0, le=2, description="multiplier of every channel count")
    pretrained: str | None = None

    @model_validator(mode="after")
    def _pretrained_is_full_width(self) -> _Scalable:
        if self.pretrained and self.width != 1.0:
            raise ValueError(f"pretrained weights exist for width 1.0 only, got width {self.width}")
        return self


class ClassifierFields(Strict):
    """Of networks that MotionSqueeze's released code trains, too: how the weights of the classifier start."""

    classifier_init: Literal["normal", "xavier"] = Field(
        "normal", description="N(0, 0.001^2), as in TSN and TSM, or Xavier's uniform; the biases start at zero"
    )


class _ResNetFamily(_Scalable):
    """What TSM-ResNet and BQN share: the backbone and the classifier's dropout."""

    depth: Literal[18, 50, 101] = 50
    temporal_shift: bool = Field(True, description="TSM in every residual block; False is TSN")
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet"] | None = None


class TsmResNetConfig(_ResNetFamily, ClassifierFields, RepresentationFields, InsertFields, GateFields):
    """One pathway: a representation of the clip, then TSM-ResNet with average consensus over the segments."""

    name: Literal["tsm_resnet"] = "tsm_resnet"
    shift_every: Literal[1, 2] = Field(
        1, description="shift in every block of a stage, or in every second one from the first on (TSM's code for R101)"
    )
    tim: bool = Field(False, description="TEINet's temporal interaction in every residual branch, in place of TSM")

    def places(self) -> dict[str, tuple[str, ...]]:
        """A residual block such as `res3.0`; `res3`, its last; `res3.all`, each of it; `first` and `all`, several."""
        return block_places(dict(zip(STAGES, BLOCKS_PER_STAGE[self.depth], strict=True)))

    @model_validator(mode="before")
    @classmethod
    def _stages_are_written_out(cls, values: Any) -> Any:
        # Its blocks by name and `res3.all` are one run.
        if not isinstance(values, dict) or not isinstance(values.get("insert_after"), list | tuple):
            return values
        depth = values.get("depth", cls.model_fields["depth"].default)
        blocks = BLOCKS_PER_STAGE.get(depth) if isinstance(depth, int) else None
        known = block_places(dict(zip(STAGES, blocks, strict=True))) if blocks else {}
        return {**values, "insert_after": written_out(values["insert_after"], known)}

    @model_validator(mode="after")
    def _branches(self) -> TsmResNetConfig:
        if self.tim and self.temporal_shift:
            raise ValueError("tim stands in place of the shift: set temporal_shift to false")
        if self.shift_every > 1 and not self.temporal_shift:
            raise ValueError("shift_every is set, and there is no shift")
        return self


class MobileNetV2Config(_Scalable, ClassifierFields, RepresentationFields, InsertFields):
    """A representation, then MobileNetV2 with temporal shift and average consensus."""

    name: Literal["mobilenet_v2"] = "mobilenet_v2"
    temporal_shift: bool = Field(True, description="TSM in every residual block")
    stem_kernel: Literal[3, 7] = Field(3, description="side of the first kernel; 7 in MotionSqueeze's Table 10")
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet"] | None = None

    def places(self) -> dict[str, tuple[str, ...]]:
        """`stage1` to `stage7`, after the blocks of 16, 24, 32, 64, 96, 160 and 320 channels."""
        return named_places([f"stage{i}" for i in range(1, 8)])


class I3dConfig(_Scalable, ClassifierFields, RepresentationFields, InsertFields):
    """A representation, then I3D (inflated Inception-v1) as in MotionSqueeze's Figure 7."""

    name: Literal["i3d"] = "i3d"
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: None = None

    def places(self) -> dict[str, tuple[str, ...]]:
        """The second convolution of the stem, and every Inception module."""
        return named_places(
            ["conv2c", *(f"mixed_{name}" for name in ("3b", "3c", *(f"4{c}" for c in "bcdef"), "5b", "5c"))]
        )


class X3dConfig(_Scalable, RepresentationFields):
    """A representation, then X3D. XS and M are one network; they differ in the clips that they are given."""

    name: Literal["x3d"] = "x3d"
    variant: Literal["xs", "m"] = Field("m", description="which published weights `pretrained` loads")
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["kinetics400"] | None = None


class VitConfig(_Scalable, RepresentationFields):
    """A representation, then ViT-B/16 on every segment, as the DA paper adapts it (Section 3.3)."""

    name: Literal["vit"] = "vit"
    patch_size: int = scaled("spatial", 16, ge=2, description="side of a patch, pixels")
    depth: int = Field(12, ge=1, le=32, description="transformer blocks")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet21k"] | None = None

    @model_validator(mode="after")
    def _pretrained_is_base_16(self) -> VitConfig:
        if self.pretrained and (self.patch_size, self.depth) != (16, 12):
            raise ValueError("pretrained weights exist for patch_size 16 and depth 12 only")
        return self


class InceptionResNetV2Config(_Scalable, RepresentationFields):
    """A representation, then Inception-ResNet-v2 on every image, with average consensus."""

    name: Literal["inception_resnet_v2"] = "inception_resnet_v2"
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet"] | None = None


class SqueezeLayerConfig(Strict):
    """One Temporal Squeeze Pooling layer in TeSNet: after which layer of the network, and to how many images."""

    after: Literal["input", "conv2d_1a", "conv2d_4a", "block_a", "block_b"] = "input"
    images: int = Field(3, ge=1, le=32, description="D")


class TesNetConfig(_Scalable):
    """TeSNet (thesis 3.2 to 3.4): Inception-ResNet-v2 on `frames` frames, squeezed by one or more TSP layers."""

    name: Literal["tesnet"] = "tesnet"
    modality: Modality = "rgb"
    frames: int = Field(10, ge=2, le=64, description="K, consecutive frames or flow fields of a clip")
    layers: tuple[SqueezeLayerConfig, ...] = Field((SqueezeLayerConfig(),), min_length=1)
    activations: tuple[Activation, Activation] = Field(
        ("sigmoid", "leaky_relu"), description="delta_1 and delta_2 of the excitation"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet"] | None = None

    @property
    def has_residual(self) -> bool:
        """Every squeeze has a projection loss."""
        return True

    @property
    def frames_per_segment(self) -> int:
        """A segment is the clip's K frames."""
        return self.frames

    @model_validator(mode="after")
    def _squeezes(self) -> TesNetConfig:
        left = self.frames
        for layer in self.layers:
            if layer.images >= left:
                raise ValueError(f"the layer after {layer.after} squeezes {left} images to {layer.images}: no fewer")
            left = layer.images
        return self


class LateralConfig(Strict):
    """The lateral connections between Busy and Quiet (BQN Section 4.2, Figure 5)."""

    direction: Literal["alternating", "bidirectional", "quiet_to_busy", "busy_to_quiet"] = "alternating"
    mbpm: bool = Field(True, description="filter what flows from Quiet to Busy with an MBPM; False is LC-V")
    phi: Literal["identity", "conv1x1", "bottleneck"] = Field("identity", description="linear map of Eq. 5")
    phi_after_mbpm: bool = Field(False, description="from Quiet to Busy, too (the network that released scripts train)")
    parity: Literal["connection", "block"] = Field(
        "connection", description="alternate from one connection to the next, or by the index of the residual block"
    )
    kernel_size: int = Field(7, ge=1, le=31, description="MBPM of res2 to res4")
    kernel_size_res5: int = Field(3, ge=1, le=31, description="MBPM of res5, whose maps are small")
    sigma: float = Field(0.9, gt=0)

    @model_validator(mode="after")
    def _odd(self) -> LateralConfig:
        for key in ("kernel_size", "kernel_size_res5"):
            if getattr(self, key) % 2 == 0:
                raise ValueError(f"{key} must be odd, got {getattr(self, key)}")
        if self.phi_after_mbpm and not self.mbpm:
            raise ValueError("phi_after_mbpm is set, and there is no MBPM")
        return self


class BqnConfig(_ResNetFamily):
    """Busy-Quiet Net: two TSM-ResNets, on the MBPM of the clip and on its frames, joined by lateral connections."""

    name: Literal["bqn"] = "bqn"
    mbpm: MbpmConfig = Field(MbpmConfig(), description="the stem of the Busy pathway")
    quiet_input: Literal["first_frame", "average", "complement"] = Field(
        "first_frame", description="of each triple: its first frame (released code), its mean, or mean - MBPM (Eq. 4)"
    )
    quiet_size: int | None = scaled("spatial", None, ge=8, description="side of Quiet's input; default: data.size")
    quiet_segments: int | None = Field(None, ge=1, description="frames of Quiet's input; default: data.segments")
    num_bplc: int = Field(16, ge=0, description="lateral connections, spread evenly over `bplc_stages`")
    bplc_stages: tuple[Stage, ...] = Field(STAGES, min_length=1)
    lateral: LateralConfig = LateralConfig()
    fusion: Literal["average_after_fc", "average_before_fc", "max_after_fc", "concat_before_fc"] = "average_after_fc"

    @property
    def frames_per_segment(self) -> int:
        """Every segment is a triple of consecutive frames."""
        return 3

    @model_validator(mode="after")
    def _connections_fit(self) -> BqnConfig:
        if len(set(self.bplc_stages)) != len(self.bplc_stages):
            raise ValueError(f"bplc_stages names a stage twice: {list(self.bplc_stages)}")
        blocks = dict(zip(STAGES, BLOCKS_PER_STAGE[self.depth], strict=True))
        room = sum(blocks[stage] for stage in self.bplc_stages)
        if self.num_bplc > room:
            raise ValueError(
                f"num_bplc is {self.num_bplc}, but ResNet-{self.depth} has {room} residual blocks in"
                f" {', '.join(self.bplc_stages)}"
            )
        return self

    def connected_blocks(self) -> list[tuple[Stage, int]]:
        """The residual blocks that a lateral connection follows, as (stage, 0-based index within it), in network order.

        `num_bplc` is dealt out evenly over the stages, earlier ones first, and spaced evenly within each from its first
        block on: 4 gives the first block of every stage, which is how Table 3f describes its last row; 16 every block
        of ResNet-50. The paper does not say where the 8 of Table 3b stand; here they are two per stage.
        """
        blocks = dict(zip(STAGES, BLOCKS_PER_STAGE[self.depth], strict=True))
        share: dict[Stage, int] = dict.fromkeys((s for s in STAGES if s in self.bplc_stages), 0)
        left = self.num_bplc
        while left:
            for stage in share:
                if left and share[stage] < blocks[stage]:
                    share[stage] += 1
                    left -= 1
        return [(stage, i * blocks[stage] // count) for stage, count in share.items() for i in range(count)]


class BqnX3dConfig(_Scalable):
    """Busy-Quiet Net on two X3D-M (released code): alternating connections with 1 x 1 convolutions, heads apart."""

    name: Literal["bqn_x3d"] = "bqn_x3d"
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifiers")
    mbpm: MbpmConfig = Field(MbpmConfig(), description="the stem of the Busy pathway")
    quiet_size: int | None = scaled("spatial", None, ge=8, description="side of Quiet's input; default: data.size")
    num_bplc: int = Field(26, ge=0, le=26, description="lateral connections, one after each of the first blocks")
    lateral: LateralConfig = LateralConfig(phi="conv1x1")
    shared_classifier: bool = Field(False, description="one last linear layer for both pathways")
    pretrained: Literal["kinetics400"] | None = None

    @property
    def frames_per_segment(self) -> int:
        """Every segment is a triple of consecutive frames."""
        return 3


class CustomConfig(Strict):
    """A network of the user's own, from one Python file; see `benchmark.config.custom`."""

    name: Literal["custom"] = "custom"
    entry: str = Field(description="path/to/file.py:Class, from the working folder")
    options: dict[str, Any] = Field(default_factory=dict, description="the class's own arguments")
    frames_per_segment: int = Field(1, ge=1, le=8)
    width: float = scaled("width", 1.0, gt=0, le=2)
    dropout: float = Field(0.5, ge=0, lt=1)
    pretrained: None = None
    source: str = Field("", description="digest of the file; filled in, and checked again where the run starts")

    @model_validator(mode="before")
    @classmethod
    def _read_source(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "source" in values:
            return values
        entry = values.get("entry")
        return {**values, "source": sources_of([entry]).get(str(entry), "")}

    @model_validator(mode="after")
    def _options_fit(self) -> CustomConfig:
        refuse(faults(self.entry, self.options, self.source))
        return self


ModelConfig = Annotated[
    TsmResNetConfig
    | BqnConfig
    | MobileNetV2Config
    | X3dConfig
    | I3dConfig
    | BqnX3dConfig
    | VitConfig
    | InceptionResNetV2Config
    | TesNetConfig
    | CustomConfig,
    Field(discriminator="name"),
]
