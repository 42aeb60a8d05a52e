"""Three-dimensional convolutions run in two dimensions against PyTorch's own."""

import pytest
import torch
from torch import nn

from benchmark.models.backbones.volumes import Conv3d
from benchmark.models.clips import to_frames, to_volumes

KINDS: dict[str, dict[str, object]] = {
    "point": {"kernel_size": 1},
    "point, with bias": {"kernel_size": 1, "bias": True},
    "point, stride in space": {"kernel_size": 1, "stride": (1, 2, 2)},
    "frames": {"kernel_size": (1, 3, 3), "stride": (1, 2, 2), "padding": (0, 1, 1)},
    "time": {"kernel_size": (5, 1, 1), "padding": (2, 0, 0), "groups": 4},
    "cube": {"kernel_size": 3, "padding": 1, "stride": (1, 2, 2), "groups": 4},
    "stride in time": {"kernel_size": 1, "stride": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_it_is_the_convolution_and_its_gradients(kind: str, clips: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours = Conv3d(4, 8, **{"bias": False, **KINDS[kind]}).double()  # type: ignore[arg-type]
    theirs = nn.Conv3d(4, 8, **{"bias": False, **KINDS[kind]}).double()  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(clips, 4, 6, 7, 5, dtype=torch.double).contiguous(memory_format=layout)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [conv(given) for conv, given in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outputs)
    g = torch.randn_like(outputs[0])
    for out in outputs:
        out.backward(g)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_points_keep_maps_channels_last() -> None:
    x = torch.randn(8, 4, 6, 7, 5).contiguous(memory_format=torch.channels_last_3d)
    assert Conv3d(4, 8, 1)(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_frames_and_volumes_are_each_other_s_inverse() -> None:
    x = torch.randn(6, 4, 7, 5)
    assert torch.equal(to_frames(to_volumes(x, 3)), x)
    assert torch.equal(to_volumes(x, 3)[1, :, 2], x[5])
