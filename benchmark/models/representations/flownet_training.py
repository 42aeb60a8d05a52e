"""Weights of FlowNet for the embedded data set, trained on the flow that its generator knows exactly.

The papers take FlowNetS and FlowNetC as trained on Flying Chairs, at full width. At a protocol's width there are no
such weights, so a network as wide as the protocol asks for is trained here, once, on training clips of motionpairs:
decoded frames, the exact flow of `exact_flow`, centre crops of the embedded protocol's size. Adam and one cycle of the
rate, with the multi-scale end-point error of the FlowNet paper. The weights lie beside the clips, with a JSON file of
the end-point error on validation clips and that of no motion at all.

What FlowNetC needs, whose correlation steps by two positions of maps at an eighth of the size, 16 pixels, on frames of
56 in which things move by about one. Without either of the two it stays at no motion at all, at any rate tried:

* Its layers are first scaled to outputs of unit variance (Mishkin and Matas, "All you need is a good init", ICLR 2016),
  and its predictions to a tenth of that: the correlation of small maps is nearly all zeros, and the layer behind it
  passes next to nothing on.
* It begins with pairs that are 4 and 8 frames apart, and ends with neighbours.

Both serve FlowNetS as well. Batches are mirrored, turned upside down and transposed at random, and the flow with them.

Measured at width 1/8 on 240 validation pairs, where no motion at all is wrong by 1.02 pixels: FlowNetS 0.32 in 80 s of
one core, FlowNetC 0.58 in 100 s.
"""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.config.run import DataConfig
from benchmark.data.datasets import open_split
from benchmark.data.embedded.exact_flow import ground_truth
from benchmark.data.embedded.motionpairs import SETTINGS, SplitName
from benchmark.data.split import Split
from benchmark.data.transforms import Box, cut, normalise, to_tensor, view_boxes
from benchmark.models.representations.flownet import FlowNet, multiscale_epe
from benchmark.runs.atomic import write_atomic

DATASET = "motionpairs"
TRAINING = 2
"""Changes whenever other weights would come out."""
SIZE = 56
CLIPS_PER_STEP = 4
PAIRS_PER_CLIP = 4
GRADIENT_NORM = 5.0
VALIDATION_CLIPS = 60

PHASES = ((0.3, (4, 8)), (0.5, (2, 4)), (0.75, (1, 2)), (1.0, (1,)))
"""Until which fraction of the training, and how many frames apart its pairs are, by turns."""
INTERVALS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Recipe:
    """How long, how fast, and on how many clips."""

    steps: int
    rate: float
    clips: int = 200


RECIPES = {"s": Recipe(2400, 2e-3), "c": Recipe(1400, 1e-3)}


def build_flownet(
    variant: str, frames: int, weights: str | None, trainable: bool, width: float, data: DataConfig
) -> FlowNet:
    """FlowNet as a config asks for it: `weights` from a file, or `generated`, trained here; see `FlowNetConfig`."""
    weights = weights or ("generated" if DATASETS[data.dataset].generated else "flying_chairs")
    generated = weights == "generated"
    network = FlowNet(variant, frames, width, None if generated else weights, trainable)
    # On the meta device, where costs are counted, there is nothing to load.
    if generated and not any(parameter.is_meta for parameter in network.parameters()):
        network.load_state_dict(generated_weights(variant, width))
    return network


def generated_weights(variant: str, width: float) -> dict[str, Tensor]:
    """The state dict of FlowNetS (`s`) or FlowNetC (`c`) of this width, trained now unless it has been before.

    Of several processes that ask at once, one trains and the others wait.

    Raises:
        DataError: motionpairs is not prepared; the message says how.
    """
    train, val = open_split(DATASET, "train"), open_split(DATASET, "val")
    path = data_root() / DATASET / SETTINGS[DATASET].digest / f"flownet_{variant}_{width:g}_{TRAINING}.pt"
    # Where they are made already, nothing need be writable.
    with nullcontext() if path.exists() else _locked(path.with_suffix(".lock")):
        if not path.exists():
            state, errors = _train(variant, width, train, val, RECIPES[variant])
            write_atomic(path.with_suffix(".json"), json.dumps(errors, indent=1))
            buffer = io.BytesIO()  # torch's own writing to a full disk does not say what is the matter
            torch.save(state, buffer)
            write_atomic(path, buffer.getvalue())
    loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _one_thread_and_seed() -> Iterator[None]:
    """Randomness and arithmetic that do not depend on the caller's, and leave the caller's as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.device("cpu"):
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)


def _train(
    variant: str, width: float, train: Split, val: Split, recipe: Recipe
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights, and the end-point errors on validation clips."""
    with _one_thread_and_seed():
        network = FlowNet(variant, 2, width, weights=None, trainable=True)
        optimizer = torch.optim.Adam(network.parameters(), lr=recipe.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.15)
        rng = np.random.default_rng(0)
        exact = cache(lambda clip: _exact_flow("train", clip, INTERVALS))
        network.train()
        for step in range(recipe.steps):
            intervals = next(apart for end, apart in PHASES if step < end * recipe.steps)
            clips = rng.choice(min(recipe.clips, len(train)), CLIPS_PER_STEP, replace=False)
            first, second, flow = _turned(*_pairs(train, exact, clips.tolist(), intervals, rng), rng)
            if step == 0:
                _scale_layers(network, first, second)
            loss = multiscale_epe(network.estimate(first, second), flow)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
            optimizer.step()
            schedule.step()
        return network.state_dict(), _errors(network, val)


@torch.no_grad()
def _scale_layers(network: Any, first: Tensor, second: Tensor) -> None:
    """Scales the weights of every layer to outputs of unit variance on these frames, those of predictions to 0.1."""
    scaled: set[nn.Module] = set()

    def scale(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if layer in scaled:  # FlowNetC passes both frames through the same layers
            return output
        scaled.add(layer)
        factor = (0.1 if layer.out_channels == 2 else 1.0) / float(output.std())
        layer.weight *= factor
        return output * factor  # biases are zero

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    network.estimate(first, second)
    for hook in hooks:
        hook.remove()


def _box() -> Box:
    return view_boxes(SETTINGS[DATASET].height, SETTINGS[DATASET].width, SIZE, 1)[0]


def _exact_flow(split: SplitName, clip: int, intervals: tuple[int, ...]) -> dict[int, Tensor]:
    """The flow of a clip's pairs by how many frames they are apart, (pairs, 2, S, S) each, in half precision."""
    box, flows = _box(), {}
    for apart in intervals:
        flow = torch.from_numpy(ground_truth(SETTINGS[DATASET], split, clip, apart)).permute(0, 3, 1, 2)
        flows[apart] = cut(flow, box).half().contiguous()
    return flows


def _pairs(
    split: Split,
    exact: Callable[[int], dict[int, Tensor]],
    clips: list[int],
    intervals: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of frames of clips, drawn at random, (P, 3, S, S) each and normalised, and their flow (P, 2, S, S).

    The clips take the `intervals` between the frames of a pair by turns.
    """
    frames, flows = [], []
    for turn, clip in enumerate(clips):
        apart = intervals[turn % len(intervals)]
        first_frames = np.sort(rng.choice(split.clips[clip].frames - apart, PAIRS_PER_CLIP, replace=False))
        wanted = np.stack([first_frames, first_frames + apart], axis=1).ravel()
        frames.append(cut(to_tensor(split.read(clip, wanted)), _box()))
        flows.append(exact(clip)[apart][torch.from_numpy(first_frames)])
    images = normalise(torch.cat(frames)).unflatten(0, (-1, 2))
    return images[:, 0], images[:, 1], torch.cat(flows).float()


def _turned(first: Tensor, second: Tensor, flow: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrors, turns upside down and transposes a batch, each with probability one half."""
    for axis, component in ((-1, 0), (-2, 1)):
        if rng.random() < 0.5:
            first, second, flow = (x.flip(axis) for x in (first, second, flow))
            flow[:, component] *= -1  # flip has copied
    if rng.random() < 0.5:
        first, second, flow = first.mT, second.mT, flow.mT.flip(1)
    return first, second, flow


@torch.no_grad()
def _errors(network: Any, val: Split) -> dict[str, float]:
    """Mean end-point error in pixels on validation clips, of the network and of no motion at all."""
    network.eval()
    clips = list(range(min(VALIDATION_CLIPS, len(val))))
    exact = partial(_exact_flow, "val", intervals=(1,))
    first, second, flow = _pairs(val, exact, clips, (1,), np.random.default_rng(0))
    finest = network.estimate(first, second)[0]
    found = nn.functional.interpolate(finest, flow.shape[-2:], mode="bilinear", align_corners=False)
    return {
        "end_point_error": float(torch.linalg.vector_norm(found - flow, dim=1).mean()),
        "of_zero_flow": float(torch.linalg.vector_norm(flow, dim=1).mean()),
    }
