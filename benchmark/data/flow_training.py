"""Weights of FlowNet for the embedded data set, trained on the flow that its generator knows exactly.

The papers take FlowNetS and FlowNetC as trained on Flying Chairs, at full width. At a protocol's width there are no
such weights, so a network as wide as the protocol asks for is trained here, once, on the training clips of motionpairs:
decoded frames, the exact flow of `motion_flow`, centre crops of the embedded protocol's size. Adam and one cycle of the
rate, with the multi-scale end-point error of the FlowNet paper. The weights lie beside the clips, with a JSON file of
the end-point error on validation clips and that of no motion at all.

Measured at width 1/8 on one core, where no motion at all is wrong by 0.98 pixels: FlowNetS 0.39 in 55 s. FlowNetC stays
at 0.98, also with twice the epochs and at rates from 6e-4 to 4e-3: its correlation steps by two positions of maps at an
eighth of the size, 16 pixels, on frames of 56 in which things move by about one. Hence its few epochs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.data.datasets import Split, data_root, open_split
from benchmark.data.motion_flow import ground_truth
from benchmark.data.motionpairs import SETTINGS, SplitName
from benchmark.data.transforms import Box, cut, normalise, to_tensor, view_boxes

DATASET = "motionpairs"
TRAINING = 1
"""Changes whenever other weights would come out."""
SIZE = 56
EPOCHS = {"s": 9, "c": 3}
CLIPS_PER_STEP = 4
PAIRS_PER_CLIP = 8
LEARNING_RATE = 2e-3
VALIDATION_CLIPS = 60


def generated_weights(variant: str, width: float) -> dict[str, Tensor]:
    """The state dict of FlowNetS (`s`) or FlowNetC (`c`) of this width, trained now unless it has been before.

    Of several processes that ask at once, one trains and the others wait.

    Raises:
        DataError: motionpairs is not prepared; the message says how.
    """
    train, val = open_split(DATASET, "train"), open_split(DATASET, "val")
    path = data_root() / DATASET / SETTINGS[DATASET].digest / f"flownet_{variant}_{width:g}_{TRAINING}.pt"
    with _locked(path.with_suffix(".lock")):
        if not path.exists():
            state, errors = _train(variant, width, train, val)
            _replace(path.with_suffix(".json"), json.dumps(errors, indent=1).encode())
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            torch.save(state, partial)
            partial.replace(path)
    loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _train(variant: str, width: float, train: Split, val: Split) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights, and the end-point errors on validation clips."""
    from benchmark.models.representations.flownet import FlowNet, multiscale_epe

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = FlowNet(variant, 2, width, weights=None, trainable=True)
            optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
            steps = EPOCHS[variant] * (len(train) // CLIPS_PER_STEP)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
            rng = np.random.default_rng(0)
            exact = cache(lambda clip: _exact_flow("train", clip))
            network.train()
            for _ in range(EPOCHS[variant]):
                order = rng.permutation(len(train))[: len(train) - len(train) % CLIPS_PER_STEP]
                for clips in order.reshape(-1, CLIPS_PER_STEP):
                    first, second, flow = _pairs(train, exact, clips.tolist(), rng)
                    loss = multiscale_epe(network.estimate(first, second), flow)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    schedule.step()
            return network.state_dict(), _errors(network, val)
    finally:
        torch.set_num_threads(threads)


def _box() -> Box:
    return view_boxes(SETTINGS[DATASET].height, SETTINGS[DATASET].width, SIZE, 1)[0]


def _exact_flow(split: SplitName, clip: int) -> Tensor:
    """The flow of every pair of neighbouring frames of a clip, (T - 1, 2, S, S)."""
    flow = torch.from_numpy(ground_truth(SETTINGS[DATASET], split, clip)).permute(0, 3, 1, 2)
    return cut(flow, _box()).contiguous()


def _pairs(
    split: Split, exact: Callable[[int], Tensor], clips: list[int], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbouring frames of clips, drawn at random, (P, 3, S, S) each and normalised, and their flow (P, 2, S, S)."""
    frames, flows = [], []
    for clip in clips:
        places = np.sort(rng.choice(SETTINGS[DATASET].frames - 1, PAIRS_PER_CLIP, replace=False))
        wanted = np.stack([places, places + 1], axis=1).ravel()
        frames.append(cut(to_tensor(split.read(clip, wanted)), _box()))
        flows.append(exact(clip)[torch.from_numpy(places)])
    images = normalise(torch.cat(frames)).unflatten(0, (-1, 2))
    return images[:, 0], images[:, 1], torch.cat(flows)


@torch.no_grad()
def _errors(network: Any, val: Split) -> dict[str, float]:
    """Mean end-point error in pixels on validation clips, of the network and of no motion at all."""
    network.eval()
    exact = partial(_exact_flow, "val")
    first, second, flow = _pairs(val, exact, list(range(VALIDATION_CLIPS)), np.random.default_rng(0))
    finest = network.estimate(first, second)[0]
    found = nn.functional.interpolate(finest, flow.shape[-2:], mode="bilinear", align_corners=False)
    return {
        "end_point_error": float(torch.linalg.vector_norm(found - flow, dim=1).mean()),
        "of_zero_flow": float(torch.linalg.vector_norm(flow, dim=1).mean()),
    }
