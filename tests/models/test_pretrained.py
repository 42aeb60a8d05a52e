"""Every network of the paper protocol that starts from weights says, without them, which file is missing and where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.config.run import RunConfig
from benchmark.models.build import build_model
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError
from benchmark.plan import make_plan
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table

FILES = {
    ("tsm_resnet", 18, "imagenet"): ("resnet18-f37072fd.pth", "ResNet18_Weights.IMAGENET1K_V1"),
    ("tsm_resnet", 50, "imagenet"): ("resnet50-0676ba61.pth", "ResNet50_Weights.IMAGENET1K_V1"),
    ("tsm_resnet", 101, "imagenet"): ("resnet101-63fe2227.pth", "ResNet101_Weights.IMAGENET1K_V1"),
    ("bqn", 50, "imagenet"): ("resnet50-0676ba61.pth", "ResNet50_Weights.IMAGENET1K_V1"),
    ("bqn", 101, "imagenet"): ("resnet101-63fe2227.pth", "ResNet101_Weights.IMAGENET1K_V1"),
    ("mobilenet_v2", 0, "imagenet"): ("mobilenet_v2-b0353104.pth", "MobileNet_V2_Weights.IMAGENET1K_V1"),
    ("x3d", "xs", "kinetics400"): ("X3D_XS.pyth", "dl.fbaipublicfiles.com"),
    ("x3d", "m", "kinetics400"): ("X3D_M.pyth", "dl.fbaipublicfiles.com"),
    ("bqn_x3d", 0, "kinetics400"): ("X3D_M.pyth", "dl.fbaipublicfiles.com"),
    ("vit", 12, "imagenet21k"): ("jx_vit_base_patch16_224_in21k-e5005f0a.pth", "pytorch-image-models"),
    ("inception_resnet_v2", 0, "imagenet"): ("inception_resnet_v2-940b1cd6.pth", "pytorch-image-models"),
    ("tesnet", 0, "imagenet"): ("inception_resnet_v2-940b1cd6.pth", "pytorch-image-models"),
}
"""Network, its depth or variant, name of the weights: the file, and where it comes from."""


def kind(config: RunConfig) -> tuple[str, int | str, str | None]:
    model = config.model
    return model.name, getattr(model, "variant", getattr(model, "depth", 0)), model.pretrained


def configs() -> dict[tuple[str, int | str, str | None], RunConfig]:
    plan = make_plan([load_table(name, "paper") for name in table_paths()])
    return {kind(run.config): run.config for run in plan.runs.values() if run.config.model.pretrained}


def test_the_papers_name_these_weights() -> None:
    assert configs().keys() == FILES.keys()


@pytest.mark.parametrize("wanted", FILES, ids=str)
def test_missing_weights_are_named_with_their_origin_and_place(
    wanted: tuple[str, int | str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    config = configs()[wanted]
    with torch.device("meta"), pytest.raises(PretrainedWeightsError) as caught:
        build_model(config.model, config.data)
    for part in (*FILES[wanted], str(tmp_path), WEIGHTS_VARIABLE):
        assert part in str(caught.value)
