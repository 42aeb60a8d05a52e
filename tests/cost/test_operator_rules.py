"""Every operator that is a product of matrices by another name, against a count by hand and against torch's counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.cost.operator_kinds import HIDDEN_PRODUCT
from benchmark.cost.record import CostRecord

B, T, D = 3, 10, 8


class Run(nn.Module):
    """A function of (B, T, D), and the weights that it uses."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.weights)


class First(nn.Module):
    """The first of what a module gives."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(x)[0]
        return result


class Attend(nn.Module):
    """Attention of x to itself, or to the first `keys` positions of it; (B, T, D), or (T, B, D)."""

    def __init__(self, keys: int = T, mask: bool = False, weights: bool = False, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(D, 2, **options)
        self.keys, self.mask, self.weights = keys, mask, weights

    def forward(self, x: Tensor) -> Tensor:
        memory = x[:, : self.keys] if self.attention.batch_first else x[: self.keys]
        mask = torch.zeros(T, self.keys, dtype=torch.bool).triu() if self.mask else None
        result: Tensor = self.attention(x, memory, memory, need_weights=self.weights, attn_mask=mask)[0]
        return result


def core(record: CostRecord) -> int:
    return CONVENTIONS["fvcore_core"].macs(record)


def both_count(network: nn.Module, macs: int, shape: tuple[int, ...] = (B, T, D)) -> CostRecord:
    record = count_network(network, shape)
    assert core(record) == macs
    assert sum(record.torch_macs.values()) == macs
    assert [entry for entry in record.uncounted if entry.kind == "unknown"] == []
    return record


OPERATORS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]], int]] = {
    "matrix by vector": (torch.matmul, [(D,)], B * T * D),
    "vector by matrix": (lambda x: x[0, 0] @ x[0].T, [], T * D),
    "vector by batch": (lambda x, w: w @ x, [(T,)], B * T * D),
    "vector by vector": (lambda x: x[0, 0] @ x[0, 1], [], D),
    "mv": (lambda x, w: torch.mv(x[0], w), [(D,)], T * D),
    "addmv": (lambda x, v, w: torch.addmv(v, x[0], w), [(T,), (D,)], T * D),
    "dot": (lambda x: torch.dot(x[0, 0], x[0, 1]), [], D),
    "vdot": (lambda x: torch.vdot(x[0, 0], x[0, 1]), [], D),
    "inner": (torch.inner, [(5, D)], B * T * 5 * D),
    "inner of vectors": (lambda x: torch.inner(x[0, 0], x[0, 1]), [], D),
    "baddbmm": (lambda x: torch.baddbmm(x.new_zeros(1), x, x.mT), [], B * T * T * D),
    "addbmm": (lambda x: torch.addbmm(x.new_zeros(1), x, x.mT), [], B * T * T * D),
    "tensordot, one": (lambda x, w: torch.tensordot(x, w, dims=1), [(D, 5)], B * T * D * 5),
    "tensordot, two": (lambda x, w: torch.tensordot(x, w, dims=([1, 2], [1, 0])), [(D, T, 5)], B * T * D * 5),
    "multi_dot": (lambda x, w: torch.linalg.multi_dot([x[0], w, w]), [(D, D)], D**3 + T * D * D),
    "multi_dot to a vector": (lambda x, w, v: torch.linalg.multi_dot([x[0], w, v]), [(D, D), (D,)], D * D + T * D),
    "bilinear": (lambda x, w: F.bilinear(x, x[..., :4], w), [(5, D, 4)], B * T * 5 * D * 4),
    "cdist": (torch.cdist, [(B, 5, D)], B * T * 5 * D),
    "einsum, attention": (lambda x: torch.einsum("bnd,bmd->bnm", x, x), [], B * T * T * D),
    "einsum, weight": (lambda x, w: torch.einsum("b n d, d e -> b n e", x, w), [(D, 5)], B * T * D * 5),
    "einsum, ellipsis": (lambda x, w: torch.einsum("...d,de", x, w), [(D, 5)], B * T * D * 5),
    "einsum, sum first": (lambda x, w: torch.einsum("bnd,de->be", x, w), [(D, 5)], B * D * 5),
    "einsum, three": (lambda x, w: torch.einsum("bnd,de,ef->bnf", x, w, w), [(D, D)], 2 * B * T * D * D),
    "einsum, by element": (lambda x, w: torch.einsum("bnd,d->bnd", x, w), [(D,)], 0),
    "fused attention": (lambda x: F.scaled_dot_product_attention(x, x[:, :4], x[:, :4]), [], 2 * B * T * 4 * D),
    "convolution, padding same": (lambda x, w: F.conv1d(x, w, padding="same"), [(4, T, 3)], B * D * 4 * T * 3),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_one_operator_by_hand(name: str) -> None:
    function, shapes, macs = OPERATORS[name]
    both_count(Run(function, *shapes), macs)


def test_every_rule_of_a_product_counts_in_full_as_one() -> None:
    record = count_network(Run(OPERATORS["tensordot, one"][0], (D, 5)), (B, T, D))
    assert [(e.path, e.operator, e.calls, e.outputs) for e in record.operators] == [("", "tensordot", 1, B * T * 5)]


def gates(width: int, hidden: int, number: int) -> int:
    """MACs of one step of one layer in one direction."""
    return number * hidden * (width + hidden)


RECURRENT = {
    "LSTM": (nn.LSTM(D, 5), gates(D, 5, 4)),
    "LSTM, batch first": (nn.LSTM(D, 5, batch_first=True), gates(D, 5, 4)),
    "LSTM, no bias": (nn.LSTM(D, 5, bias=False), gates(D, 5, 4)),
    "LSTM, two layers in both directions": (
        nn.LSTM(D, 5, num_layers=2, bidirectional=True),
        2 * gates(D, 5, 4) + 2 * gates(10, 5, 4),
    ),
    # The hidden state is projected to 3: gates see D + 3, and the projection takes 5 * 3.
    "LSTM, projected": (nn.LSTM(D, 5, proj_size=3), 4 * 5 * (D + 3) + 5 * 3),
    "LSTM, projected, two layers in both directions": (
        nn.LSTM(D, 5, num_layers=2, bidirectional=True, proj_size=3, batch_first=True),
        2 * (4 * 5 * (D + 3) + 15) + 2 * (4 * 5 * (6 + 3) + 15),
    ),
    "GRU": (nn.GRU(D, 5), gates(D, 5, 3)),
    "GRU, two layers in both directions": (
        nn.GRU(D, 5, num_layers=2, bidirectional=True, batch_first=True),
        2 * gates(D, 5, 3) + 2 * gates(10, 5, 3),
    ),
    "RNN": (nn.RNN(D, 5), gates(D, 5, 1)),
    "RNN, ReLU": (nn.RNN(D, 5, nonlinearity="relu"), gates(D, 5, 1)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_by_hand(name: str) -> None:
    layer, step = RECURRENT[name]
    both_count(First(layer), B * T * step)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_one_sequence_and_packed_ones(kind: str) -> None:
    layer = getattr(nn, kind)(D, 5)
    number = {"LSTM": 4, "GRU": 3}[kind]
    both_count(First(layer), T * gates(D, 5, number), (T, D))
    packed = Run(lambda x: layer(pack_padded_sequence(x, torch.tensor([T, 4, 1]), batch_first=True))[0].data)
    packed.layer = layer
    record = count_network(packed, (B, T, D))
    assert core(record) == (T + 4 + 1) * gates(D, 5, number)


@pytest.mark.parametrize(("cell", "number"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_cells_by_hand(cell: type[nn.Module], number: int) -> None:
    module = cell(D, 5)
    network = First(module) if cell is nn.LSTMCell else module
    both_count(network, B * gates(D, 5, number), (B, D))


PROJECTIONS = 4 * T * B * D * D
PRODUCTS = 2 * B * T * T * D
ATTENTION = {
    "to itself": (Attend(batch_first=True), PROJECTIONS + PRODUCTS),
    "time first": (Attend(), 4 * B * T * D * D + 2 * T * B * B * D),
    "with weights": (Attend(batch_first=True, weights=True), PROJECTIONS + PRODUCTS),
    "masked": (Attend(batch_first=True, mask=True), PROJECTIONS + PRODUCTS),
    "masked, with weights": (Attend(batch_first=True, mask=True, weights=True), PROJECTIONS + PRODUCTS),
    "to fewer": (Attend(4, batch_first=True), 2 * B * (T + 4) * D * D + 2 * B * T * 4 * D),
    "to fewer, masked": (Attend(4, True, batch_first=True), 2 * B * (T + 4) * D * D + 2 * B * T * 4 * D),
    # A key and a value more, which are parameters.
    "to a bias": (Attend(batch_first=True, add_bias_kv=True), PROJECTIONS + 2 * B * T * (T + 1) * D),
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("gradients", [True, False])
def test_attention_by_hand(name: str, gradients: bool) -> None:
    network, macs = ATTENTION[name]
    if name == "time first":
        # (T, B, D) to the module, whose first dimension is then the sequence.
        both_count(network.requires_grad_(gradients), 4 * B * T * D * D + 2 * B * T * T * D, (T, B, D))
    else:
        both_count(network.requires_grad_(gradients), macs)


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu"}, {"batch_first": False}])
def test_a_transformer_layer_by_hand(options: dict[str, object]) -> None:
    layer = nn.TransformerEncoderLayer(D, 2, 16, **{"batch_first": True, **options})  # type: ignore[arg-type]
    shape = (B, T, D) if layer.self_attn.batch_first else (T, B, D)
    macs = PROJECTIONS + PRODUCTS + 2 * B * T * D * 16
    trained = both_count(layer.train(), macs, shape)
    assert not layer.training
    assert both_count(layer.requires_grad_(False), macs, shape).operators == trained.operators
    stack = nn.TransformerEncoder(layer, 3)
    both_count(stack, 3 * macs, shape)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_decoder_layer_attends_to_a_memory_of_its_own_length() -> None:
    layer = nn.TransformerDecoderLayer(D, 2, 16, batch_first=True)
    network = Run(lambda x: layer(x, x[:, :4]))
    network.layer = layer
    attention = PROJECTIONS + PRODUCTS + 2 * B * (T + 4) * D * D + 2 * B * T * 4 * D
    both_count(network, attention + 2 * B * T * D * 16)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):  # type: ignore[no-untyped-def]
        return torch.matmul(a, a.mT)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return grad


def test_an_autograd_function_counts_as_its_forward_pass() -> None:
    record = both_count(Run(lambda x: Square.apply(x)), B * T * T * D)
    assert [entry.operator for entry in record.operators] == ["matmul"]


@pytest.mark.parametrize("how", ["module", "in place", "network", "nested"])
def test_compiled_parts_are_counted_as_written(how: str) -> None:
    inner: Any = nn.Linear(D, D)
    network: Any = nn.Sequential(inner, nn.ReLU(), nn.Linear(D, 5))
    expected = count_network(network, (B, T, D))
    if how in ("module", "nested"):
        network[0] = torch.compile(inner, backend="eager")
    if how in ("network", "nested"):
        network = torch.compile(network, backend="eager")
    if how == "in place":
        inner.compile(backend="eager")
    assert count_network(network, (B, T, D)) == expected
    inside = [type(module).__name__ for module in network.modules()]
    assert inside.count("OptimizedModule") == {"module": 1, "in place": 0, "network": 1, "nested": 2}[how]
    assert (inner._compiled_call_impl is not None) == (how == "in place")


def unknown(record: CostRecord) -> dict[str, int]:
    return {entry.operator: entry.calls for entry in record.uncounted if entry.kind == "unknown"}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_scripted_modules_are_said_not_to_be_counted_and_the_rest_is() -> None:
    network = nn.Sequential(nn.Linear(D, D), torch.jit.script(nn.Linear(D, 5)), nn.Linear(5, 2))
    record = count_network(network, (B, T, D))
    assert unknown(record) == {"scripted module 1": 1}
    assert {entry.path: entry.macs for entry in record.operators} == {"0": B * T * D * D, "2": B * T * 5 * 2}
    assert sum(record.torch_macs.values()) == B * T * (D * D + D * 5 + 5 * 2)
    assert record.params == D * D + D + D * 5 + 5 + 5 * 2 + 2
    assert isinstance(network[1], torch.jit.ScriptModule)
    assert unknown(count_network(torch.jit.script(nn.Linear(D, 5)), (B, T, D))) == {"scripted module": 1}


def scripted_product(x: Tensor) -> Tensor:
    return x @ x.mT


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_scripted_functions_are_said_not_to_be_counted() -> None:
    record = count_network(Run(torch.jit.script(scripted_product)), (B, T, D))
    assert unknown(record) == {"scripted function scripted_product": 1}


def test_what_may_hide_a_product_is_unknown_and_what_cannot_is_not() -> None:
    def known(x: Tensor) -> Tensor:
        y = torch.fliplr(x.swapaxes(0, 1)).mT.diagonal().sin().sinc().logit().nan_to_num()
        return y + torch.rand(1) + torch.eye(2).sum() + x.argsort(-1).sum() + x.isfinite().any()

    assert unknown(count_network(Run(known), (B, T, D))) == {}
    assert unknown(count_network(Run(lambda x: torch.fft.rfft(x).abs()), (B, T, D))) == {"fft_rfft": 1}
    assert unknown(count_network(Run(lambda x: torch.cdist(x, x, p=1.0)), (B, T, D))) == {"cdist": 1}


def test_attention_by_multiplication_and_sum_is_no_count_and_says_so() -> None:
    def attend(x: Tensor) -> Tensor:
        weights = (x[:, :, None] * x[:, None]).sum(-1).softmax(-1)
        return (weights[..., None] * x[:, None]).sum(2)

    record = count_network(Run(attend), (B, T, D))
    assert (core(record), record.torch_macs, unknown(record)) == (0, {}, {HIDDEN_PRODUCT: 2})
    gated = count_network(Run(lambda x, w: (x * w).sum(-1) + (x * x).mean(), (D,)), (B, T, D))
    assert unknown(gated) == {}


def test_a_network_that_cannot_be_traced_is_said_not_to_be_counted() -> None:
    compiled = torch.compile(torch.tanh, backend="eager")
    record = count_network(Run(lambda x, w: compiled(x @ w), (D, 5)), (B, T, D))
    (left_out,) = unknown(record)
    assert left_out.startswith("the network, which cannot be traced (")
    assert (record.operators, record.torch_macs) == ((), {"mm": B * T * D * 5})
