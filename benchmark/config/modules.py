"""Configs of the modules that stand behind a network's blocks, and of the gates in front of their residual branches.

A network lists the modules of a chain in `insert` and the places where the chain stands in `insert_after`; the settings
of each are under its own name. A new field's default must reproduce what the code did before the field existed.

A new module is a file in benchmark/models/modules/, a class here and a line of `InsertFields`; a new gate is a file in
benchmark/models/gates/, a class here and a line of `GateFields`. One of the user's own needs neither: it is named by
its file (`benchmark.config.custom`), and its settings are under `insert_options` by class, or under `gate_options`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.config.custom import (
    GIVEN_TO_MODULES,
    Own,
    class_of,
    faults,
    faults_of_chain,
    first_of,
    is_entry,
    refuse,
    sources_of,
)
from benchmark.config.fields import Buildable, Strict, check_name, check_unused, registered
from benchmark.config.places import FIVE
from benchmark.config.source import did_you_mean

Kernel = tuple[int, int, int]


def _odd(kernel: Kernel, name: str) -> None:
    if any(side < 1 or side % 2 == 0 for side in kernel):
        raise ValueError(f"{name} needs three odd sides (time, height, width), got {list(kernel)}")


class ModuleConfig(Buildable):
    """Base of the configs of what stands behind a block."""

    compares_frames: ClassVar[bool] = False
    """It needs clips of two frames or more."""


class GateConfig(Buildable):
    """Base of the configs of channel gates in front of a residual branch."""

    compares_frames: ClassVar[bool] = False
    """It needs clips of two frames or more."""


class OwnModuleConfig(ModuleConfig, Own):
    """A module of the user's own."""

    constructor = "benchmark.models.custom:module_of"


class OwnGateConfig(GateConfig, Own):
    """A gate of the user's own."""

    constructor = "benchmark.models.custom:module_of"


class RnlConfig(ModuleConfig):
    """Region-based non-local block (thesis 4.2)."""

    constructor = "benchmark.models.modules.regional_nonlocal:build"

    similarity: Literal["gaussian", "dot", "dot_relu", "cosine"] = Field(
        "gaussian", description="dot_relu: the released code's form of dot, without what is negative"
    )
    aggregator: Literal["conv", "average", "max"] = Field("conv", description="F_theta, over the region of a position")
    kernel_size: Kernel = Field((3, 7, 7), description="of the region: time, height, width")
    kernel_size_res4: Kernel | None = Field(
        (3, 3, 3), description="from res4 on, whose maps are small (released code); null: kernel_size everywhere"
    )
    form: Literal["depthwise", "refactorised"] = Field(
        "depthwise", description="refactorised: dense kernels under a fixed mask, as the released code holds them"
    )

    @model_validator(mode="after")
    def _kernels(self) -> RnlConfig:
        _odd(self.kernel_size, "kernel_size")
        if self.kernel_size_res4 is not None:
            _odd(self.kernel_size_res4, "kernel_size_res4")
        return self


class NlConfig(ModuleConfig):
    """Non-local block (Wang et al., CVPR 2018)."""

    constructor = "benchmark.models.modules.nonlocal_block:NonLocal"

    instantiation: Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    sub_sample: bool = Field(False, description="keys and values of 2 x 2 pooled maps (TSM's default)")


class SeConfig(ModuleConfig):
    """Squeeze and excitation (Hu et al.), or the channel attention that the thesis puts in front of RNL and CPA."""

    constructor = "benchmark.models.modules.squeeze_excitation:SqueezeExcitation"

    reduction: int = Field(16, ge=1, description="r")
    pool: Literal["clip", "frame"] = Field("clip", description="what one gate is for")
    form: Literal["gate", "additive"] = Field("gate", description="additive: thesis Eq. 4.12 to 4.14")
    bias: bool = False


class GcConfig(ModuleConfig):
    """Global context block (GCNet), which is also the gate of [SE+RNL] in the released code."""

    constructor = "benchmark.models.modules.global_context:GlobalContext"

    reduction: int = Field(16, ge=1, description="r")
    norm: Literal["batch", "layer", "none"] = "batch"
    bias: bool = True


class CbamConfig(ModuleConfig):
    """Convolutional block attention, over clips."""

    constructor = "benchmark.models.modules.cbam:Cbam"

    reduction: int = Field(16, ge=1, description="r")
    kernel_size: Kernel = Field((7, 7, 7), description="of the attention over positions")
    norm: bool = True
    bias: bool = True

    @model_validator(mode="after")
    def _kernel(self) -> CbamConfig:
        _odd(self.kernel_size, "kernel_size")
        return self


class CpaConfig(ModuleConfig):
    """Convolution pyramid attention (thesis 4.3)."""

    constructor = "benchmark.models.modules.pyramid_attention:PyramidAttention"

    kernels: tuple[Kernel, ...] = Field(((1, 1, 1), (3, 3, 3), (3, 7, 7), (3, 9, 9)), min_length=1)
    rescale: bool = Field(True, description="weights of mean 1; False is Eq. 4.10 to the letter, of sum 1")

    @model_validator(mode="after")
    def _kernels(self) -> CpaConfig:
        for kernel in self.kernels:
            _odd(kernel, "every kernel")
        return self


class MotionSqueezeConfig(ModuleConfig):
    """MotionSqueeze (Kwon et al.): displacements of a local correlation, turned into features."""

    constructor = "benchmark.models.modules.motion_squeeze:MotionSqueeze"
    compares_frames = True

    reduced: int | None = Field(
        64, ge=1, description="channels that are correlated, times the network's width; null: all, as they are"
    )
    patch: int = Field(15, ge=3, le=63, description="P, side of the searched neighbourhood in positions of the map")
    estimator: Literal["kernel_soft_argmax", "soft_argmax"] = "kernel_soft_argmax"
    confidence: bool = Field(True, description="the correlation's maximum as a third channel")
    backward_displacement: bool = Field(False, description="displacements to the previous frame as well")
    transformation: Literal["separable", "1x(1,1)", "1x(3,3)", "4x(3,3)"] = Field(
        "separable", description="layers from displacements to features; separable are the paper's own"
    )
    fusion: Literal["add", "multiply", "concat", "replace"] = "add"

    @model_validator(mode="after")
    def _patch_is_odd(self) -> MotionSqueezeConfig:
        if self.patch % 2 == 0:
            raise ValueError(f"patch must be odd, got {self.patch}")
        return self


class CorrespondenceConfig(ModuleConfig):
    """Correspondence proposals (CPNet), as the MotionSqueeze paper re-implements them."""

    constructor = "benchmark.models.modules.correspondence:CorrespondenceModule"
    compares_frames = True

    k: int = Field(8, ge=1, le=64, description="nearest neighbours in other frames")


class SmeConfig(ModuleConfig):
    """Spatial-wise motion enhancement (CMR)."""

    constructor = "benchmark.models.modules.spatial_motion:SpatialMotion"
    compares_frames = True

    form: Literal["channelwise", "dense"] = Field(
        "channelwise", description="the 1 x 1 convolution; channel-wise reproduces the printed cost, dense is the text"
    )


class CmeConfig(GateConfig):
    """Channel-wise motion enhancement (CMR)."""

    constructor = "benchmark.models.gates.channel_motion:ChannelMotion"

    value_reduction: int = Field(8, ge=1, description="r_1")
    key_reduction: int = Field(8, ge=1, description="r_2")


class MemConfig(GateConfig):
    """Motion enhanced module (TEINet)."""

    constructor = "benchmark.models.gates.motion_enhance:MotionEnhance"
    compares_frames = True

    reduction: int = Field(8, ge=1, description="r")


class PemConfig(GateConfig):
    """Progressive enhancement module (TDRL)."""

    constructor = "benchmark.models.gates.progressive_enhance:ProgressiveEnhance"
    compares_frames = True

    reduction: int = Field(8, ge=1, description="r")


class GateFields(Strict):
    """Mixin of networks whose residual branches may begin with a channel gate. The fields are the registry of gates."""

    gate: str = Field("none", description="channel gate before a residual branch; path/to/file.py:Class is your own")
    gate_in: Literal["all", "first"] = Field("all", description="blocks with the gate: all, or the first of each stage")
    gate_options: dict[str, Any] = Field({}, description="of a gate of your own: its class's arguments")
    gate_source: str = Field("", description="digest of its file; filled in, and checked again where the run starts")
    cme: CmeConfig = CmeConfig()
    mem: MemConfig = MemConfig()
    pem: PemConfig = PemConfig()

    @field_validator("gate")
    @classmethod
    def _gate_is_known(cls, name: str) -> str:
        return name if is_entry(name) else check_name(name, ["none", *registered(cls, GateConfig)])

    @property
    def gate_config(self) -> GateConfig | None:
        """The settings of the chosen gate; None without one."""
        if is_entry(self.gate):
            return OwnGateConfig(entry=self.gate, options=self.gate_options, source=self.gate_source)
        return None if self.gate == "none" else getattr(self, self.gate)

    @model_validator(mode="before")
    @classmethod
    def _own_gate_is_read(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "gate_source" in values or not is_entry(gate := values.get("gate")):
            return values
        return {**values, "gate_source": sources_of([gate]).get(gate, "")}

    @model_validator(mode="after")
    def _own_gate_fits(self) -> GateFields:
        if is_entry(self.gate):
            refuse(
                faults(
                    *(self.gate, self.gate_options, self.gate_source),
                    key="gate",
                    options_at=("gate_options",),
                    given=GIVEN_TO_MODULES,
                    forward=("x", "frames"),
                )
            )
        elif self.gate_options:
            text = f"options are for a gate of your own: gate is '{self.gate}'"
            refuse([(first_of("gate_options", self.gate_options), text)])
        return self

    @model_validator(mode="after")
    def _gate_settings_are_used(self) -> GateFields:
        if self.gate == "none" and self.gate_in != "all":
            raise ValueError("gate_in is set, but gate is 'none'")
        check_unused(self, GateConfig, {self.gate}, f"gate is '{self.gate}'")
        return self


class InsertFields(Strict):
    """Mixin of networks whose blocks may be followed by a chain of modules. The fields are the registry of modules."""

    insert: tuple[str, ...] = Field(
        (), description="the modules of the chain, in order; one of each at a place; path/to/file.py:Class is your own"
    )
    insert_after: tuple[str, ...] = Field(
        FIVE, min_length=1, description="places; res3 is the last block of a stage, res3.all each of them"
    )
    insert_only: dict[str, tuple[str, ...]] = Field(
        {}, description="modules of the chain that stand at some of the places alone: {gc: [res3.0]}"
    )
    insert_options: dict[str, Any] = Field({}, description="of modules of your own: by class, its arguments")
    insert_sources: dict[str, str] = Field(
        {}, description="digests of their files; filled in, and checked again where the run starts"
    )
    rnl: RnlConfig = RnlConfig()
    nl: NlConfig = NlConfig()
    se: SeConfig = SeConfig()
    gc: GcConfig = GcConfig()
    cbam: CbamConfig = CbamConfig()
    cpa: CpaConfig = CpaConfig()
    motion_squeeze: MotionSqueezeConfig = MotionSqueezeConfig()
    correspondence: CorrespondenceConfig = CorrespondenceConfig()
    sme: SmeConfig = SmeConfig()

    @field_validator("insert")
    @classmethod
    def _modules_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = list(registered(cls, ModuleConfig))
        for name in names:
            if name not in known and not is_entry(name):
                raise ValueError(f"no module '{name}'.{did_you_mean(name, known)} Your own: path/to/file.py:Class")
        return names

    @property
    def insert_configs(self) -> dict[str, ModuleConfig]:
        """The modules of the chain, in order, with their settings; those of the user's own by their class."""
        return {class_of(name): self._settings(name) for name in self.insert}

    def _settings(self, name: str) -> ModuleConfig:
        if not is_entry(name):
            known: ModuleConfig = getattr(self, name)
            return known
        options = self.insert_options.get(class_of(name), {})
        return OwnModuleConfig(entry=name, options=options, source=self.insert_sources[name])

    @model_validator(mode="before")
    @classmethod
    def _own_modules_are_read(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "insert_sources" in values:
            return values
        found = sources_of(values.get("insert"))
        return {**values, "insert_sources": found} if found else values

    @model_validator(mode="after")
    def _own_modules_fit(self) -> InsertFields:
        refuse(faults_of_chain(self.insert, self.insert_options, self.insert_sources))
        return self

    def places(self) -> dict[str, tuple[str, ...]]:
        """Where modules may stand: the names a place may be given, and the place or places that each means."""
        raise NotImplementedError

    @property
    def inserted_at(self) -> tuple[str, ...]:
        """The places of the chain, by their full names; none without a chain."""
        known = self.places() if self.insert else {}
        return tuple(dict.fromkeys(place for name in self.insert_after for place in known[name])) if self.insert else ()

    @property
    def only_at(self) -> dict[str, frozenset[str]]:
        """The places, by their full names, of modules that stand at some of them alone, by class."""
        known = self.places() if self.insert_only else {}
        return {
            class_of(name): frozenset(place for named in names for place in known[named])
            for name, names in self.insert_only.items()
        }

    def _check_only(self) -> None:
        """Raises ValueError where `insert_only` names what is not there, or leaves a place empty."""
        for name, places in self.insert_only.items():
            if name not in self.insert:
                raise ValueError(f"insert_only: insert has no '{name}'.{did_you_mean(name, self.insert)}")
            for place in places:
                within = set(self.places().get(place, ()))
                if not within or not within <= set(self.inserted_at):
                    raise ValueError(f"insert_only: '{place}' is none of insert_after ({', '.join(self.insert_after)})")
        only = self.only_at
        for place in self.inserted_at:
            if all(place not in only.get(class_of(name), (place,)) for name in self.insert):
                raise ValueError(f"insert_only leaves nothing at '{place}': leave it out of insert_after")

    @model_validator(mode="after")
    def _insertions_fit(self) -> InsertFields:
        if len(set(self.insert)) != len(self.insert):
            raise ValueError(f"insert names a module twice: {list(self.insert)}")
        check_unused(self, ModuleConfig, self.insert, f"insert is {list(self.insert)}")
        if not self.insert:
            if self.insert_after != InsertFields.model_fields["insert_after"].default:
                raise ValueError("insert_after is set, but insert names no module")
            if self.insert_only:
                raise ValueError("insert_only is set, but insert names no module")
            return self
        known = self.places()
        unset = self.insert_after == InsertFields.model_fields["insert_after"].default
        for place in self.insert_after:
            if place not in known:
                hint = did_you_mean("" if unset else place, list(known))
                default = " (insert_after is not set: by default, five blocks of ResNet-50)" if unset else ""
                raise ValueError(f"no place '{place}' in this network{default}.{hint}")
        named = [place for name in self.insert_after for place in known[name]]
        if len(set(named)) != len(named):
            raise ValueError(f"insert_after names a place twice: {list(self.insert_after)}")
        self._check_only()
        return self
