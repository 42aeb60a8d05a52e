"""Sends batches to a GPU while it still works on the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch


def sent(batches: Iterable[Any], device: torch.device, fields: Sequence[str]) -> Iterator[Any]:
    """The batches with some of their fields on the device; as they are, if that is no GPU.

    No step of training waits for the GPU, so that a batch is asked for while the GPU has the step before to do. The
    copy goes through a stream of its own, from pinned memory, and is done by then.

    Args:
        batches: Named tuples, or lists of them.
        device: Where the network is.
        fields: Names of those that go there.
    """
    return _sent(batches, device, fields) if device.type == "cuda" else iter(batches)


def _sent(batches: Iterable[Any], device: torch.device, fields: Sequence[str]) -> Iterator[Any]:
    stream = torch.cuda.Stream(device)
    for batch in batches:
        items = batch if isinstance(batch, list) else [batch]
        with torch.cuda.stream(stream):
            there = [{name: getattr(item, name).to(device, non_blocking=True) for name in fields} for item in items]
        using = torch.cuda.current_stream(device)
        using.wait_stream(stream)
        for tensor in (tensor for item in there for tensor in item.values()):
            tensor.record_stream(using)  # its memory is not used again before the network has read it
        moved = [item._replace(**tensors) for item, tensors in zip(items, there, strict=True)]
        yield moved if isinstance(batch, list) else moved[0]
