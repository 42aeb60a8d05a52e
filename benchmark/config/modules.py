"""Configs of the modules that stand after a network's blocks, or in front of a block's residual branch.

A network lists the modules of a chain in `insert` and the places where the chain stands in `insert_after`; the settings
of each are under its own name. A new field's default must reproduce what the code did before the field existed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from benchmark.config.fields import Strict
from benchmark.config.source import did_you_mean

ModuleName = Literal[
    "rnl",
    "nl",
    "se",
    "gc",
    "cbam",
    "cpa",
    "motion_squeeze",
    "correspondence",
    "sme",
]
Kernel = tuple[int, int, int]


def _odd(kernel: Kernel, name: str) -> None:
    if any(side < 1 or side % 2 == 0 for side in kernel):
        raise ValueError(f"{name} needs three odd sides (time, height, width), got {list(kernel)}")


class RnlConfig(Strict):
    """Region-based non-local block (thesis 4.2)."""

    similarity: Literal["gaussian", "dot", "cosine"] = "gaussian"
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


class NlConfig(Strict):
    """Non-local block (Wang et al., CVPR 2018)."""

    instantiation: Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    sub_sample: bool = Field(False, description="keys and values of 2 x 2 pooled maps (TSM's default)")


class SeConfig(Strict):
    """Squeeze and excitation (Hu et al.), or the channel attention that the thesis puts in front of RNL and CPA."""

    reduction: int = Field(16, ge=1, description="r")
    pool: Literal["clip", "frame"] = Field("clip", description="what one gate is for")
    form: Literal["gate", "additive"] = Field("gate", description="additive: thesis Eq. 4.12 to 4.14")
    bias: bool = False


class GcConfig(Strict):
    """Global context block (GCNet), which is also the gate of [SE+RNL] in the released code."""

    reduction: int = Field(16, ge=1, description="r")
    norm: Literal["batch", "layer", "none"] = "batch"
    bias: bool = True


class CbamConfig(Strict):
    """Convolutional block attention, over clips."""

    reduction: int = Field(16, ge=1, description="r")
    kernel_size: Kernel = Field((7, 7, 7), description="of the attention over positions")
    norm: bool = True
    bias: bool = True

    @model_validator(mode="after")
    def _kernel(self) -> CbamConfig:
        _odd(self.kernel_size, "kernel_size")
        return self


class CpaConfig(Strict):
    """Convolution pyramid attention (thesis 4.3)."""

    kernels: tuple[Kernel, ...] = Field(((1, 1, 1), (3, 3, 3), (3, 7, 7), (3, 9, 9)), min_length=1)
    rescale: bool = Field(True, description="weights of mean 1; False is Eq. 4.10 to the letter, of sum 1")

    @model_validator(mode="after")
    def _kernels(self) -> CpaConfig:
        for kernel in self.kernels:
            _odd(kernel, "every kernel")
        return self


class MotionSqueezeConfig(Strict):
    """MotionSqueeze (Kwon et al.): displacements of a local correlation, turned into features."""

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


class CorrespondenceConfig(Strict):
    """Correspondence proposals (CPNet), as the MotionSqueeze paper re-implements them."""

    k: int = Field(8, ge=1, le=64, description="nearest neighbours in other frames")


class SmeConfig(Strict):
    """Spatial-wise motion enhancement (CMR)."""

    form: Literal["channelwise", "dense"] = Field(
        "channelwise", description="the 1 x 1 convolution; channel-wise reproduces the printed cost, dense is the text"
    )


class CmeConfig(Strict):
    """Channel-wise motion enhancement (CMR)."""

    value_reduction: int = Field(8, ge=1, description="r_1")
    key_reduction: int = Field(8, ge=1, description="r_2")


class GateConfig(Strict):
    """A channel gate with one reduction: MEM (TEINet), PEM (TDRL)."""

    reduction: int = Field(8, ge=1, description="r")


FIVE = ("res3.0", "res3.2", "res4.0", "res4.2", "res4.4")
"""Where the thesis' five attention blocks stand in ResNet-50, by the released code: after every second block."""


class InsertFields(Strict):
    """Mixin of networks whose blocks may be followed by a chain of modules."""

    insert: tuple[ModuleName, ...] = Field((), description="the modules of the chain, in order; one of each at a place")
    insert_after: tuple[str, ...] = Field(FIVE, min_length=1, description="places; a stage's name is its last block")
    rnl: RnlConfig = RnlConfig()
    nl: NlConfig = NlConfig()
    se: SeConfig = SeConfig()
    gc: GcConfig = GcConfig()
    cbam: CbamConfig = CbamConfig()
    cpa: CpaConfig = CpaConfig()
    motion_squeeze: MotionSqueezeConfig = MotionSqueezeConfig()
    correspondence: CorrespondenceConfig = CorrespondenceConfig()
    sme: SmeConfig = SmeConfig()

    def places(self) -> dict[str, tuple[str, ...]]:
        """Where modules may stand: the names a place may be given, and the place or places that each means."""
        raise NotImplementedError

    @property
    def inserted_at(self) -> tuple[str, ...]:
        """The places of the chain, by their full names; none without a chain."""
        known = self.places() if self.insert else {}
        return tuple(dict.fromkeys(place for name in self.insert_after for place in known[name])) if self.insert else ()

    @model_validator(mode="after")
    def _insertions_fit(self) -> InsertFields:
        if len(set(self.insert)) != len(self.insert):
            raise ValueError(f"insert names a module twice: {list(self.insert)}")
        for name, info in InsertFields.model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Strict) and name not in self.insert and value != info.default:
                raise ValueError(f"'{name}' is set, but insert is {list(self.insert)}")
        if not self.insert:
            if self.insert_after != InsertFields.model_fields["insert_after"].default:
                raise ValueError("insert_after is set, but insert names no module")
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
        return self


def block_places(blocks: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Places of a network of stages of blocks: `res3.0` is a block, `res3` the last of its stage, `all` every one.

    `first` are the first blocks of all stages.
    """
    every = {f"{stage}.{i}": (f"{stage}.{i}",) for stage, count in blocks.items() for i in range(count)}
    last = {stage: (f"{stage}.{count - 1}",) for stage, count in blocks.items()}
    first = tuple(f"{stage}.0" for stage in blocks)
    return {**last, **every, "first": first, "all": tuple(every)}


def named_places(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Places that have one name each."""
    return {name: (name,) for name in names}
