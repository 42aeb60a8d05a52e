"""The network of a run before its first step, and where its weights come from.

They are drawn from the seed, unless `model.pretrained` or a representation's own weights are asked for, which
`build_model` loads; a run with `train.start_from` then takes over those of another run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmark.config.run import RunConfig
from benchmark.launch.log import log
from benchmark.models.build import build_model
from benchmark.models.check import check_logits, has_lazy
from benchmark.models.forward import lay_out_weights
from benchmark.models.weights import PretrainedWeightsError, take_over
from benchmark.runs.directory import RunDir
from benchmark.runs.key import start_key, start_name
from benchmark.runs.trainings import find_training, other_code
from benchmark.train.generators import seed_all
from benchmark.train.optim import freeze_all_but_first_bn, parameter_roles


def initial_network(
    config: RunConfig, device: torch.device, training: Sequence[int], evaluation: Sequence[int]
) -> torch.nn.Module:
    """The network of a run on its device, with weights drawn from the seed or pretrained.

    Args:
        config: the run's.
        device: where it runs.
        training: shape of a clip in training, (T, C, S, S).
        evaluation: shape of a view in evaluation.

    Raises:
        NetworkError: it gives no logits of the data set's classes, or has nothing to train.
        PretrainedWeightsError: pretrained weights are neither in the weights folder nor reachable.
    """
    model = _built(config, device)
    # A user's network may count its calls: another one of the same weights is tried in its place.
    tried = _built(config, device) if config.model.name == "custom" else model
    recipe, data = config.train, config.data
    check_logits(tried, training, evaluation, data.num_classes, device, recipe.precision, data.normalisation)
    if has_lazy(model):
        model.load_state_dict(tried.state_dict())
    lay_out_weights(model)
    if config.train.partial_bn:  # before the optimiser is made, which leaves out what is frozen
        freeze_all_but_first_bn(model)
    return model


def _built(config: RunConfig, device: torch.device) -> torch.nn.Module:
    seed_all(config.seed)
    model = build_model(config.model, config.data).to(device)
    if config.train.classifier_std is not None:
        named = dict(model.named_parameters())
        for name, role in parameter_roles(model).items():
            if role == "classifier_weight":
                torch.nn.init.normal_(named[name], std=config.train.classifier_std)
    return model


def take_made_weights(
    model: torch.nn.Module, run: RunDir, config: RunConfig, data: Mapping[str, str], sibling: RunDir | None
) -> dict[str, str]:
    """Load what a run takes over of weights that were made here, and return what distinguishes all of them.

    Args:
        model: the run's network.
        run: the run.
        config: its config.
        data: fingerprints of its data.
        sibling: the run that has trained what this one trains, if there is one.

    Returns:
        Fingerprints of a FlowNet's weights and of those that the run starts from, where it has them.

    Raises:
        PretrainedWeightsError: the weights of another run are asked for and not there, or do not fit.
    """
    made: dict[str, str] = {}
    if config.representation == "flownet":
        made["flownet"] = digest_of(model.get_submodule("representation").state_dict())
    if (key := start_key(config)) is not None:
        # A checkpoint that goes on from them needs them no more: the run that made them may be gone by now.
        made["start"] = _begun_from(run, {**data, **made}, sibling) or start_from(model, run, config, key)
    return made


def _begun_from(run: RunDir, fingerprints: Mapping[str, str], sibling: RunDir | None) -> str | None:
    """Fingerprint of what the run, or else the one whose training it takes over, has started from; None if neither."""
    begun = run.env.get("fingerprints", {}) if (run.path / "checkpoint.pt").is_file() else {}
    if not begun and sibling is not None:
        theirs = sibling.env.get("fingerprints", {})
        begun = theirs if {name: theirs.get(name) for name in fingerprints} == fingerprints else {}
    found: str | None = begun.get("start")
    return found


def start_from(model: torch.nn.Module, run: RunDir, config: RunConfig, key: str) -> str:
    """Load the weights of the run that a run starts from, and return what distinguishes them.

    Args:
        model: the run's network.
        run: the run.
        config: its config.
        key: the training key of what it starts from.

    Raises:
        PretrainedWeightsError: that training is not finished, its weights are gone, of another network, or by other
            code.
    """
    name, source = start_name(config), find_training(run, key)
    state = None if source is None else torch.load(source.path / "checkpoint.pt", map_location="cpu", weights_only=True)
    finished = source is not None and state is not None and len(state["history"]) == source.config.train.epochs
    if source is None and (other := find_training(run, key, by_any_code=True)):
        raise PretrainedWeightsError(
            f"the run starts from {name}, and {other.path} is {other_code(other)}: `run --again` of this table trains"
            " it anew first"
        )
    if source is None or state is None or not finished or state.get("within") is not None:
        raise PretrainedWeightsError(
            f"the run starts from {name}, which is not trained in {run.path.parent} (training {key}): `run` of this"
            " table trains it first, `submit` sends it first; the folder of one that was trained elsewhere, with its"
            " checkpoint.pt, can be copied there; if it is done and lost its checkpoint.pt, remove its folder"
        )
    take_over(model, state["model"], f"{name} ({source.path})")
    log(f"starting from {name}, {source.path}")
    return digest_of(state["model"])


def digest_of(state: Mapping[str, Any]) -> str:
    """What distinguishes the weights of a state dict: a sha256 of their names and bytes, and of any extra state."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        is_tensor = isinstance(value, torch.Tensor)
        content = value.detach().cpu().contiguous().numpy().tobytes() if is_tensor else repr(value).encode()
        digest.update(name.encode() + content)
    return digest.hexdigest()
