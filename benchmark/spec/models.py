"""Model configs: what a table may set under `model.`, one frozen class per network, without importing torch.

A field marked `scales="width"` or `scales="spatial"` is multiplied by the protocol's factor, so that the small
protocols run the same network, narrower, on smaller frames. A new field's default must reproduce what the code did
before the field existed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.spec.custom import check_options, digest

Stage = Literal["res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = ("res2", "res3", "res4", "res5")
BLOCKS_PER_STAGE: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Strict(BaseModel):
    """Base of every config object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def scaled(kind: Literal["spatial", "width"], default: Any, **constraints: Any) -> Any:
    """A field that a protocol multiplies by its `spatial` or `width` factor."""
    return Field(default, json_schema_extra={"scales": kind}, **constraints)


class MbpmConfig(Strict):
    """Motion Band-Pass Module (BQN Eq. 3): a LoG per channel in space, then a high-pass filter in time."""

    kernel_size: int = Field(9, ge=1, le=31, description="side of the LoG kernel, odd")
    sigma: float = Field(1.1, gt=0, description="scale of the LoG, in pixels of the map that it filters")
    trainable: bool = Field(True, description="False keeps the initial kernels (the 'untrained' curves of Figure 3)")

    @model_validator(mode="after")
    def _odd(self) -> MbpmConfig:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        return self


class _ResNetFamily(Strict):
    """What TSM-ResNet and BQN share: the backbone and the classifier's dropout."""

    depth: Literal[18, 50, 101] = 50
    width: float = scaled("width", 1.0, gt=0, le=2, description="multiplier of every channel count")
    temporal_shift: bool = Field(True, description="TSM in every residual block; False is TSN")
    dropout: float = Field(0.5, ge=0, lt=1, description="before the classifier")
    pretrained: Literal["imagenet"] | None = None

    @model_validator(mode="after")
    def _pretrained_is_full_width(self) -> _ResNetFamily:
        if self.pretrained and self.width != 1.0:
            raise ValueError(f"pretrained weights exist for width 1.0 only, got width {self.width}")
        return self


class TsmResNetConfig(_ResNetFamily):
    """One pathway: a representation of the clip, then TSM-ResNet with average consensus over the segments."""

    name: Literal["tsm_resnet"] = "tsm_resnet"
    representation: Literal["rgb", "mbpm"] = "rgb"
    mbpm: MbpmConfig = MbpmConfig()

    @property
    def frames_per_segment(self) -> int:
        """RGB reads one frame per segment, MBPM three consecutive ones."""
        return 3 if self.representation == "mbpm" else 1


class LateralConfig(Strict):
    """The lateral connections between Busy and Quiet (BQN Section 4.2, Figure 5)."""

    direction: Literal["alternating", "bidirectional", "quiet_to_busy", "busy_to_quiet"] = "alternating"
    mbpm: bool = Field(True, description="filter what flows from Quiet to Busy with an MBPM; False is LC-V")
    phi: Literal["identity", "conv1x1", "bottleneck"] = Field("identity", description="linear map of Eq. 5")
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


class CustomConfig(Strict):
    """A network of the user's own, from one Python file; see `benchmark.spec.custom`."""

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
        if not isinstance(values, dict) or not isinstance(values.get("entry"), str):
            return values
        return {"source": digest(values["entry"]), **values}

    @model_validator(mode="after")
    def _options_fit(self) -> CustomConfig:
        check_options(self.entry, self.options)
        return self


ModelConfig = Annotated[TsmResNetConfig | BqnConfig | CustomConfig, Field(discriminator="name")]
