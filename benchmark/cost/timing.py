"""Time forward passes of networks at paper scale. Imports without torch, until something is timed.

What is timed is the forward pass alone, in evaluation mode and in fp32, of a network and of frames that are on the
device already; cuDNN keeps its default algorithms. The papers are silent on all of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from benchmark.config.run import RunConfig
from benchmark.cost.latency import Device, LatencyRecord, Sample, latency_path, load_record
from benchmark.cost.machine_load import OtherPrograms
from benchmark.data.parallel import usable_cores
from benchmark.runs.atomic import write_atomic
from benchmark.runs.provenance import processor

if TYPE_CHECKING:
    import torch
    from torch import nn

WARM_UP_PASSES, WARM_UP_SECONDS = 2, 1.0
LEAST_PASSES, SECONDS = 5, 3.0
"""At least so many passes, and at least so long."""
SPARE_CORES = 0.25
"""What an idle machine does anyway: other programs on up to this many cores are no disturbance."""


def describe_device(device: torch.device) -> Device:
    """The device as timings name it. Imports torch."""
    import torch

    if device.type != "cuda":
        return Device(name=processor(), threads=torch.get_num_threads(), precision="fp32")
    # NVIDIA GPUs since Ampere run convolutions in TF32 where torch lets them, as it does by default.
    tf32 = torch.backends.cudnn.allow_tf32 and torch.cuda.get_device_capability(device) >= (8, 0)
    precision = "fp32 (convolutions in TF32)" if tf32 else "fp32"
    return Device(name=torch.cuda.get_device_name(device), threads=None, precision=precision)


def time_config(
    config: RunConfig, batches: Iterable[int], device: torch.device, seconds: float = SECONDS
) -> LatencyRecord:
    """Time the config's network for these batch sizes, keep the result beside those of other sizes, and return both.

    Raises:
        ValueError: The network could not be built, or a batch size is below 1.
        RuntimeError: As of torch, for instance where the GPU's memory does not suffice. Batches before it are kept.
    """
    described = describe_device(device)
    network = _build(config, device)
    clip_shape = (config.frames, 2 if config.modality == "flow" else 3, config.data.size, config.data.size)
    path = latency_path(config, described)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = load_record(path) or LatencyRecord(device=described, samples=())
    for batch in batches:
        by_batch = {sample.batch: sample for sample in record.samples}
        by_batch[batch] = time_network(network, (batch, *clip_shape), device, seconds)
        record = LatencyRecord(device=described, samples=tuple(by_batch[size] for size in sorted(by_batch)))
        write_atomic(path, record.model_dump_json(indent=1) + "\n")
    return record


def _build(config: RunConfig, device: torch.device) -> nn.Module:
    """The config's network on the device, its weights laid out as in a run."""
    import torch

    from benchmark.models.build import build_model
    from benchmark.models.forward import lay_out_weights

    # Random weights do: no weight changes a shape.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(config.model.model_copy(update={"pretrained": None}), config.data).to(device)
    lay_out_weights(network)
    return network


def time_network(
    network: nn.Module, input_shape: tuple[int, ...], device: torch.device, seconds: float = SECONDS
) -> Sample:
    """Time forward passes of a network that is on its device.

    Args:
        network: Put into evaluation mode.
        input_shape: (B, T, C, H, W), B clips a pass.
        device: The network's.
        seconds: Passes go on for so long, and until there are LEAST_PASSES of them.

    Raises:
        ValueError: B is below 1.
    """
    import torch

    if input_shape[0] < 1:
        raise ValueError(f"a pass has at least one clip, not {input_shape[0]}")
    network.eval()
    # Random frames, since zeros would spare some kernels work.
    x = torch.randn(input_shape, generator=torch.Generator().manual_seed(0)).to(device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    # Every pass is timed on its own, so that percentiles can say how far single passes stray.
    def one_pass() -> float:
        wait()
        start = time.perf_counter()
        network(x)
        wait()
        return time.perf_counter() - start

    with torch.no_grad():
        _repeat(one_pass, WARM_UP_PASSES, min(seconds, WARM_UP_SECONDS))
        other_programs = OtherPrograms()
        taken = _repeat(one_pass, LEAST_PASSES, seconds)
        load = other_programs.cores()
    # On a GPU one thread launches the kernels.
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    p10, p90 = np.percentile(taken, [10, 90]).tolist()
    return Sample(
        batch=input_shape[0],
        passes=len(taken),
        median=statistics.median(taken),
        p10=p10,
        p90=p90,
        load=load,
        crowded=load is not None and load > max(usable_cores() - threads, 0) + SPARE_CORES,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
    )


def _repeat(one_pass: Callable[[], float], least: int, seconds: float) -> list[float]:
    """The times of passes, repeated for so many seconds and at least so often."""
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < least or time.perf_counter() - start < seconds:
        taken.append(one_pass())
    return taken
