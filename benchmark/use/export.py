"""A trained network as one file that needs nothing of its table: weights, config, class names, metrics, licence.

`NAME.safetensors` is read back by `benchmark.load`, and by safetensors anywhere; what it says of itself is JSON under
`benchmark` in its metadata. `NAME.onnx` is the same network for other runtimes, where torch can trace it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmark.runs.atomic import atomic_path
from benchmark.runs.directory import RunDir
from benchmark.use.loaded import LoadedNetwork, load

LICENCE = "MIT, as the code that trained it; the data have terms of their own"
OPSET = 17


class ExportError(RuntimeError):
    """torch cannot write the network in the form that was asked for."""


def export_run(run: RunDir, path: Path, **said: Any) -> LoadedNetwork:
    """Write the network of a run to `path`, a .safetensors file, with what it was trained as.

    Args:
        run: it has finished, and has its checkpoint.
        path: of the file.
        said: further facts, such as its table and row.

    Raises:
        PretrainedWeightsError: the run has no checkpoint.
    """
    from safetensors.torch import save_file

    network = load(run.path)
    env = run.env
    about = {
        **{"licence": LICENCE, **said, "run": run.key, "seed": network.config.seed},
        **{"config": network.config.model_dump(mode="json"), "classes": list(network.classes)},
        "metrics": network.metrics,
        **{key: env.get(key) for key in ("fingerprints", "versions", "starts")},
    }
    # Copies: a tensor that two names share cannot be stored twice otherwise.
    state = {name: torch.clone(value).contiguous() for name, value in network.model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        save_file(state, unfinished, metadata={"benchmark": json.dumps(about)})
    return network


def export_onnx(network: LoadedNetwork, path: Path) -> float:
    """Write the network for one clip of its evaluation's shape, and compare it with torch if possible.

    One clip at a time: what is traced holds the number of clips, as in the masks of the temporal shift.

    Returns:
        The largest difference of logits from torch's; NaN where onnxruntime is not installed.

    Raises:
        ExportError: torch cannot trace the network, or lacks the packages that it needs for it.
    """
    config = network.config
    side = config.eval.scale if config.eval.crops == 3 else config.data.size
    clip = torch.randn(1, config.frames, 2 if config.modality == "flow" else 3, side, side)
    try:
        with atomic_path(path) as unfinished, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the tracer does not fold
            torch.onnx.export(
                network.model,
                (clip,),
                str(unfinished),
                input_names=["clips"],
                output_names=["logits"],
                opset_version=OPSET,
                dynamo=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        lacks = " (uv pip install onnx onnxruntime)" if "not installed" in str(error) else ""
        raise ExportError(f"torch cannot write this network as ONNX: {error}{lacks}") from error
    except Exception as error:  # whatever a tracer makes of a network
        raise ExportError(f"torch cannot write this network as ONNX: {type(error).__name__}: {error}") from error
    try:
        import onnxruntime
    except ImportError:
        return float("nan")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    other = torch.randn_like(clip)  # than was traced
    with torch.no_grad():
        ours = network.model(other)
    return float((torch.from_numpy(session.run(None, {"clips": other.numpy()})[0]) - ours).abs().max())
