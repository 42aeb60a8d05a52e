"""Speed of dynamic appearance (PWTP), against its own local convolution alone, in one run.

python tools/dynamic_appearance_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmark.models.representations.dynamic_appearance import DynamicAppearance


def compare(size: int = 160, segments: int = 4, repeats: int = 10) -> dict[str, float]:
    """Milliseconds, medians, of a forward and backward pass of PWTP and of its local convolution alone, one thread.

    The convolution is given whichever memory layout is the faster for it, its input in that layout at no charge.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    module = DynamicAppearance()
    x = torch.randn(segments, module.frames, 3, size, size)
    g_image, g_residual = torch.randn(segments, 3, size, size), torch.ones(())

    def whole() -> None:
        image = module(x)
        torch.autograd.backward([image, module.residual], [g_image, g_residual])

    def convolution(layout: torch.memory_format) -> Callable[[], None]:
        conv = nn.Conv2d(3, 24, 9, 8, 4).to(memory_format=layout)
        frames = x.flatten(0, 1).contiguous(memory_format=layout)
        g = torch.randn_like(conv(frames))
        return lambda: conv(frames).backward(g)

    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    calls = {"pwtp": whole, **{f"convolution_{name}": convolution(layout) for name, layout in layouts.items()}}
    milliseconds = {name: _median_ms(call, repeats) for name, call in calls.items()}
    torch.set_num_threads(threads)
    best = min(value for name, value in milliseconds.items() if name.startswith("convolution"))
    return {**milliseconds, "ratio": milliseconds["pwtp"] / best}


def _median_ms(call: Callable[[], None], repeats: int) -> float:
    taken = []
    for _ in range(3 + repeats):
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken[3:])


def main() -> None:
    """Print every time, and the ratio to the faster convolution."""
    for name, value in compare().items():
        print(f"{name:28s} {value:8.2f}" + ("" if name == "ratio" else " ms"))


if __name__ == "__main__":
    main()
