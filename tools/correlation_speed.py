"""Speed and memory of the local correlation, against four other ways to compute it, in one run.

    python tools/correlation_speed.py

Measured on one core of a busy EPYC (Zen 4), P 15, float32, forward and backward: milliseconds of CPU and growth of
memory in MiB. The others are differentiated by autograd; forward alone, at 7 x 64 x 28 x 28, the five take 7.1, 14, 40,
23 and 498 ms.

    maps              operator    row by row offset   all pairs    by offset   unfolded
    7 x 64 x 28^2     21    26       52    60          93    50     409         1305   910
    28 x 64 x 28^2   106    86      270   238         393   196    2452
    7 x 64 x 56^2     82    79      310   231        1084   455    3246
    7 x 64 x 14^2    5.0   6.4       14    19         6.4   8.0      65          320   228
    56 x 64 x 14^2    39    38      195   151         171    66    1449         3130  1821
    56 x 16 x 7^2    2.4   6.5       12    16         3.8   9.5      93          162   114
    56 x 8 x 7^2     2.7   5.7      9.1    10         3.2   7.2      47           83    58

The command prints these, with the forward pass alone and for two threads.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.models.modules.correlation import local_correlation


def by_unfolding(a: Tensor, b: Tensor, patch: int) -> Tensor:
    """Every position's neighbourhood of b written out, (N, C, P^2, H W), and the product with a."""
    maps, channels, height, width = a.shape
    windows = F.unfold(b, patch, padding=patch // 2).view(maps, channels, patch**2, height * width)
    return (a.reshape(maps, channels, 1, -1) * windows).sum(1).view(maps, -1, height, width)


def by_offsets(a: Tensor, b: Tensor, patch: int) -> Tensor:
    """One product of shifted maps for each of P^2 displacements."""
    (height, width), reach = a.shape[-2:], patch // 2
    b = F.pad(b, (reach, reach, reach, reach)).contiguous(memory_format=torch.channels_last)
    shifts = [(dy, dx) for dy in range(patch) for dx in range(patch)]
    return torch.stack([(a * b[:, :, dy : dy + height, dx : dx + width]).sum(1) for dy, dx in shifts], dim=1)


def by_row_offsets(a: Tensor, b: Tensor, patch: int) -> Tensor:
    """One batched product of shifted rows for each of P vertical displacements."""
    (maps, channels, height, width), reach = a.shape, patch // 2
    positions = a.permute(0, 2, 3, 1).reshape(-1, width, channels)
    b = F.pad(b.permute(0, 2, 3, 1), (0, 0, reach, reach, reach, reach))
    bands, wide = [], width + 2 * reach
    for dy in range(patch):
        products = positions @ b[:, dy : dy + height].reshape(-1, wide, channels).transpose(1, 2)
        bands.append(
            products.as_strided((maps, height, width, patch), (height * width * wide, width * wide, wide + 1, 1))
        )
    return torch.stack(bands, dim=3).flatten(3).permute(0, 3, 1, 2)


def by_all_pairs(a: Tensor, b: Tensor, patch: int) -> Tensor:
    """The product of all positions with all positions, and its band."""
    (maps, _, height, width), reach = a.shape, patch // 2
    b = F.pad(b, (reach, reach, reach, reach))
    tall, wide = b.shape[-2:]
    products = a.flatten(2).transpose(1, 2) @ b.flatten(2)
    strides = (height * width * tall * wide, width * tall * wide + wide, tall * wide + 1, wide, 1)
    return products.as_strided((maps, height, width, patch, patch), strides).flatten(3).permute(0, 3, 1, 2)


IMPLEMENTATIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "unfold": by_unfolding,
    "offsets": by_offsets,
    "row offsets": by_row_offsets,
    "all pairs": by_all_pairs,
    "operator": local_correlation,
}

CASES = [(7, 64, 28), (28, 64, 28), (7, 64, 56), (7, 64, 14), (56, 64, 14), (56, 16, 7), (56, 8, 7)]
"""Maps, channels and side."""

LARGEST_UNFOLDED = 2**28
"""Elements of the neighbourhoods written out, one GiB, beyond which there is no comparison."""


def _resident(field: str) -> float:
    """MiB of this process: VmRSS, now, or VmHWM, at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _measure(
    send: Any, name: str, case: tuple[int, int, int], patch: int, threads: int, backward: bool, seconds: float
) -> None:
    torch.set_num_threads(threads)
    maps, channels, side = case

    def call(maps: int, side: int) -> Callable[[], None]:
        layout = {"memory_format": torch.channels_last}
        a, b = (torch.randn(maps, channels, side, side).contiguous(**layout).requires_grad_(backward) for _ in range(2))
        g = torch.randn(maps, patch**2, side, side).contiguous(**layout) if backward else None

        def run() -> None:
            scores = IMPLEMENTATIONS[name](a, b, patch)
            if g is not None:
                torch.autograd.grad(scores, (a, b), g)

        return run

    call(1, 4)()
    run = call(maps, side)
    before = _resident("VmRSS")
    run()
    memory, taken, end = _resident("VmHWM") - before, [math.inf], time.perf_counter() + seconds
    clock = time.process_time if threads == 1 else time.perf_counter
    while len(taken) < 2 or time.perf_counter() < end:
        start = clock()
        run()
        taken.append(1000 * (clock() - start))
    send.send((min(taken), memory))


def measure(
    name: str,
    case: tuple[int, int, int],
    patch: int = 15,
    threads: int = 1,
    backward: bool = True,
    seconds: float = 1,
) -> tuple[float, float]:
    """Milliseconds and growth of resident memory in MiB of one pass, in a process of its own.

    The time is the shortest; with one thread it is that of the CPU, which other processes disturb less.

    Args:
        name: Of `IMPLEMENTATIONS`.
        case: Maps, channels and side of the maps.
        patch: P.
        threads: Threads of torch.
        backward: Forward and backward pass, in place of the forward pass alone.
        seconds: Repeat it for so long, but once at least.
    """
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(send, name, case, patch, threads, backward, seconds))
    process.start()
    send.close()
    result: tuple[float, float] = receive.recv()
    process.join()
    return result


def _table() -> None:
    print(f"{'threads':>7} {'maps':>16} {'pass':8} {'implementation':14} {'ms':>9} {'MiB':>7} {'of unfold':>9}")
    for threads, (count, channels, side), backward in itertools.product((1, 2), CASES, (False, True)):
        first = math.nan
        for name in IMPLEMENTATIONS:
            if name == "unfold" and count * channels * side**2 * 15**2 > LARGEST_UNFOLDED:
                continue
            taken, memory = measure(name, (count, channels, side), 15, threads, backward)
            first = taken if name == "unfold" else first
            columns = f"{f'{count} x {channels} x {side}^2':>16} {'both' if backward else 'forward':8} {name:14}"
            print(f"{threads:7} {columns} {taken:9.2f} {memory:7.1f} {taken / first:9.4f}", flush=True)


if __name__ == "__main__":
    _table()
