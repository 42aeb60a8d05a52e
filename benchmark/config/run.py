"""Run configs: everything that decides the result of one training and evaluation, and nothing else.

Paths, worker counts, devices and cluster settings are not here: they never enter the run key (`benchmark.runs.key`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from benchmark.config.custom import entries_of
from benchmark.config.datasets import DATASETS, known_dataset
from benchmark.config.fields import Strict, scaled
from benchmark.config.models import BqnConfig, BqnX3dConfig, ModelConfig, TesNetConfig
from benchmark.config.modules import GateFields, InsertFields
from benchmark.config.representations import Modality, RepresentationFields

Flip = Literal[True, False, "undirected"]


class DataConfig(Strict):
    """Which clips, how frames are drawn from them, and how these are cut for training."""

    dataset: str = "something-v1"
    segments: int = Field(8, ge=1, description="N: the clip is N segments of 1 or 3 consecutive frames")
    sampling: Literal["uniform", "dense"] = "uniform"
    window: int = Field(64, ge=1, description="of dense clips of single frames: the frames that they span (TSM)")
    resize: tuple[int, int] | None = Field(
        None, description="height and width of all frames before anything else, whatever their shape; null: as stored"
    )
    size: int = scaled("spatial", 224, ge=8, description="side of the square crop that the network receives, pixels")
    train_crop: Literal["multiscale", "multiscale_three", "jitter", "centre"] = Field(
        "multiscale",
        description="TSN's corner crops; the same of flow's three scales; anywhere in a jittered frame (X3D); no draw",
    )
    normalisation: Literal["imagenet", "kinetics", "half"] = Field(
        "imagenet", description="mean and standard deviation that are removed: what pretrained weights expect"
    )
    flip: Flip = Field(
        False,
        description="mirror training clips at random; wrong where left and right are classes: `undirected` leaves the"
        " six such classes of Something-Something alone",
    )

    order: Literal["time", "shuffled"] = Field(
        "time", description="of a clip's frames, in training and in evaluation; shuffled: what is left without time"
    )
    symmetries: bool = Field(
        False,
        description="mirror and reverse training clips, each at random and with the label that they then have: of data"
        " sets that say which",
    )

    _known = field_validator("dataset")(known_dataset)

    @property
    def num_classes(self) -> int:
        """Number of classes of the data set."""
        return DATASETS[self.dataset].num_classes

    @model_validator(mode="after")
    def _possible(self) -> DataConfig:
        if self.resize is not None and min(self.resize) < 8:
            raise ValueError(f"data.resize must be at least 8 x 8 pixels, got {self.resize[0]} x {self.resize[1]}")
        if self.symmetries and not DATASETS[self.dataset].mirrored:
            able = [name for name, info in DATASETS.built_in.items() if info.mirrored]
            text = f"data.symmetries is for {', '.join(able)}"
            raise ValueError(f"{text}: {self.dataset} does not say which label a mirrored clip has")
        if self.symmetries and self.flip:
            raise ValueError("data.flip would mirror clips and keep their label: data.symmetries needs it false")
        return self


class JointConfig(Strict):
    """How PWTP's projection loss and the recognition loss are minimised together (DA, Section 3.4)."""

    strategy: Literal["none", "separate", "constant", "scheduler", "mgda"] = "none"
    alpha: float = Field(0.5, ge=0, le=1, description="of `constant`: weight of the projection loss; 0 leaves it out")
    gamma: float = Field(0.2, gt=0, lt=1, description="of `scheduler`: share of the iterations down to lam")
    lam: float = Field(0.3, gt=0, lt=1, description="of `scheduler`: the weight at that point")


class TrainConfig(Strict):
    """The recipe. Defaults are the BQN paper's for Something-Something V1 (Appendix A)."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(256, ge=1, description="clips of one step of the optimiser")
    device_batch: int | None = Field(
        None,
        ge=1,
        description="clips that the network, and so its batch normalisation, sees at a time, as on one of the paper's"
        " GPUs; the gradient is the mean over the batch in any case; null: the whole batch",
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.12, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of adamw: beta 1")
    nesterov: bool = False
    weight_decay: float = Field(8e-4, ge=0)
    warmup_epochs: float = Field(7, ge=0, description="linear from lr/10")
    schedule: Literal["cosine", "step"] = "cosine"
    milestones: tuple[int, ...] = Field((20, 40), description="epochs at which the step schedule multiplies lr by 0.1")
    param_groups: Literal[
        "bqn", "tsm", "tsm_flow", "msnet", "msnet_flow", "rnl", "vit", "plain", "slow_classifier", "decayed_weights"
    ] = Field("bqn", description="multipliers of lr and weight decay per group of parameters")
    classifier_std: float | None = Field(
        None,
        gt=0,
        description="of the normal distribution that the classifier's weights begin with; null: the network's",
    )
    clip_norm: float | None = Field(20.0, gt=0, description="total L2 norm of the gradient (released commands)")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="released commands use 0.1, the paper is silent")
    start_from: str | None = Field(
        None,
        description="[recipe/NAME, data/NAME]: the run of the same network with these bases comes first, and all of its"
        " weights but the classifier's are taken over; null: `model.pretrained`, or random weights",
    )
    partial_bn: bool = Field(False, description="freeze every 2D batch normalisation but the first")
    precision: Literal["fp32", "bf16"] = "fp32"
    joint: JointConfig = JointConfig()
    residual_weight: float = Field(0.0, ge=0, description="of TSP's projection loss beside the recognition loss")

    @field_validator("start_from", mode="before")
    @classmethod
    def _bases_are_one_name(cls, bases: object) -> object:
        return " + ".join(map(str, bases)) if isinstance(bases, tuple) else bases

    @property
    def clips_at_once(self) -> int:
        """Clips of a part of the batch that goes through the network at a time."""
        return min(self.device_batch or self.batch_size, self.batch_size)

    @property
    def parts(self) -> int:
        """Parts in which a batch goes through the network."""
        return self.batch_size // self.clips_at_once

    @model_validator(mode="after")
    def _whole_parts(self) -> TrainConfig:
        if self.batch_size % self.clips_at_once:
            raise ValueError(f"device_batch ({self.device_batch}) must divide batch_size ({self.batch_size})")
        return self

    @model_validator(mode="after")
    def _options_are_the_optimizer_s(self) -> TrainConfig:
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError(f"nesterov is an option of sgd: {self.optimizer} has none, set it to false")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainConfig:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        return self


class EvalConfig(Strict):
    """The views of a clip whose predictions are averaged, and the resolution that they are cropped from."""

    clips: int = Field(
        1, ge=1, le=30, description="temporal views: 1 centred, 2 uniform ones centred and shifted, or spread evenly"
    )
    placing: Literal["fixed", "random"] = Field("fixed", description="random draws the temporal views as in training")
    crops: Literal[1, 3, 5, 10] = Field(1, description="3 are as large as the shorter side, the others as data.size")
    scale: int = scaled("spatial", 256, ge=8, description="shorter side before the crop, pixels")
    average: Literal["logits", "probabilities"] = Field(
        "logits", description="what is averaged over views: scores as they are (released code), or after softmax (DA)"
    )
    unreadable: Literal["wrong", "refuse"] = Field(
        "wrong", description="a clip that cannot be read counts as wrong, or the run fails and names it"
    )


class RunConfig(Strict):
    """One training and evaluation. Two equal RunConfigs are one run, in whichever tables they appear."""

    model: ModelConfig = BqnConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    seed: int = Field(0, ge=0)

    @property
    def frames(self) -> int:
        """Frames, or flow fields, of a clip that the network reads."""
        return self.data.segments * self.model.frames_per_segment

    @property
    def views(self) -> int:
        """Views of a video whose predictions are averaged."""
        return self.eval.clips * self.eval.crops

    @property
    def total_frames(self) -> int:
        """Frames of all views; crops of a clip are counted apart, as the thesis does."""
        return self.frames * self.views

    @property
    def entries(self) -> tuple[str, ...]:
        """What of the network is the user's own, each as path/to/file.py:Class."""
        return entries_of(self.model)

    @property
    def representation(self) -> str:
        """Name of what turns the clip into the backbone's input; "" for networks that have no choice of it."""
        return getattr(self.model, "representation", "")

    @property
    def modality(self) -> Modality:
        """What the loader reads."""
        return getattr(self.model, "modality", "rgb")

    @property
    def has_residual(self) -> bool:
        """Whether the network has a projection loss of its own."""
        return getattr(self.model, "has_residual", False)

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.train.start_from and getattr(self.model, "pretrained", None):
            raise ValueError("train.start_from and model.pretrained both give the first weights: set one to null")
        joint = self.train.joint.strategy
        if joint != "none" and self.representation != "dynamic_appearance":
            raise ValueError(f"train.joint.strategy is '{joint}': it needs model.representation dynamic_appearance")
        if self.train.residual_weight and not self.has_residual:
            raise ValueError("train.residual_weight needs a network with a projection loss: squeezed_image or tesnet")
        if self.data.segments < 2 and _compares_frames(self.model):
            raise ValueError("data.segments is 1: a module that compares frames needs 2 or more")
        if self.eval.scale < self.data.size:
            raise ValueError(f"eval.scale ({self.eval.scale}) must be at least data.size ({self.data.size})")
        if isinstance(self.model, BqnConfig):
            quiet = self.model.quiet_segments or self.data.segments
            if quiet > self.data.segments:
                raise ValueError(f"model.quiet_segments ({quiet}) exceeds data.segments ({self.data.segments})")
            if quiet != self.data.segments and self.model.fusion != "average_after_fc":
                raise ValueError(f"model.fusion {self.model.fusion} needs equal model.quiet_segments and data.segments")
            if (self.model.quiet_size or 0) > self.data.size:
                raise ValueError(f"model.quiet_size ({self.model.quiet_size}) exceeds data.size ({self.data.size})")
        return self


def _compares_frames(model: Strict) -> bool:
    modules = list(model.insert_configs.values()) if isinstance(model, InsertFields) else []
    gate = model.gate_config if isinstance(model, GateFields) else None
    return any(module.compares_frames for module in modules) or (gate is not None and gate.compares_frames)


def input_pixels(config: RunConfig) -> int:
    """Pixels that enter the backbones per clip: the scale of a run's cost, used to estimate its time."""
    model, data = config.model, config.data
    images = data.segments
    if isinstance(model, RepresentationFields):
        images *= model.images_per_segment
    elif isinstance(model, TesNetConfig):
        images *= model.frames
    pixels = images * data.size**2
    if isinstance(model, BqnConfig):
        pixels += (model.quiet_segments or data.segments) * (model.quiet_size or data.size) ** 2
    elif isinstance(model, BqnX3dConfig):
        pixels += data.segments * (model.quiet_size or data.size) ** 2
    return pixels


def of_one_view(config: RunConfig) -> RunConfig:
    """The config at the size of its evaluation views: three crops take the whole shorter side (`eval.scale`)."""
    side = config.eval.scale if config.eval.crops == 3 else config.data.size
    if side == config.data.size:
        return config
    updates: dict[str, object] = {"data": config.data.model_copy(update={"size": side})}
    quiet = getattr(config.model, "quiet_size", None)
    if quiet:
        updates["model"] = config.model.model_copy(update={"quiet_size": round(quiet * side / config.data.size)})
    return config.model_copy(update=updates)
