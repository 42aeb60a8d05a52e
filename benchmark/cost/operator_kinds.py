"""What an operator of a trace is that has no MACs: arithmetic, movement, or not known.

*Arithmetic* works element by element or reduces: additions, activations, means, pooling. *Movement* copies, reshapes,
makes or compares. Of an *unknown* operator neither is known: it may hide a product, and then no count without it is
right.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from fvcore.nn.jit_analysis import _IGNORED_OPS

from benchmark.cost.traced_values import elements

Kind = Literal["arithmetic", "movement", "unknown"]
HIDDEN_PRODUCT = "product written as mul and sum"
"""A sum over the product of two tensors that is larger than both: fvcore and torch see no product of matrices there."""

# fmt: off
ARITHMETIC = frozenset({
    "_softmax", "_weight_norm", "abs", "adaptive_avg_pool1d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "add_", "addcmul", "addcmul_", "addr", "amax", "aminmax",
    "amin", "avg_pool1d", "avg_pool2d", "avg_pool3d", "clamp_min", "col2im", "cosine_similarity", "cross", "cummax",
    "cummin", "cumprod", "cumsum", "cumsum_", "diff", "dist", "div", "div_", "exp", "fractional_max_pool2d",
    "fractional_max_pool3d", "gelu", "ger", "glu", "hardsigmoid", "hardswish", "hardswish_", "hardtanh_", "index_add",
    "index_add_", "index_reduce", "kron", "leaky_relu", "linalg_cross", "linalg_norm", "linalg_vector_norm", "log",
    "log_sigmoid", "log_softmax", "logcumsumexp", "logsumexp", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "maximum", "mean", "median", "minimum", "mish_",
    "mul", "mul_", "multiply", "nanmean", "nansum", "neg", "norm", "outer", "pairwise_distance", "pow", "prelu", "prod",
    "reciprocal", "relu", "relu6_", "relu_", "rms_norm", "rsqrt", "rsub", "scatter_add", "scatter_add_",
    "scatter_reduce", "scatter_reduce_", "sigmoid", "sigmoid_", "silu", "silu_", "softmax", "softplus", "sqrt",
    "square", "std", "std_mean", "sub", "sub_", "subtract", "sum", "tanh", "trace", "upsample_bicubic2d",
    "upsample_linear1d", "upsample_trilinear3d", "var", "var_mean", "where",
})
MOVEMENT = frozenset({
    "_pack_padded_sequence", "_pad_packed_sequence", "_unique2", "alias", "alpha_dropout", "alpha_dropout_",
    "atleast_1d", "atleast_2d", "atleast_3d", "bernoulli", "bernoulli_", "block_diag", "broadcast_tensors",
    "broadcast_to", "cartesian_prod", "channel_shuffle", "clone", "column_stack", "combinations", "complex", "concat",
    "concatenate", "diag", "diag_embed", "diagflat", "dropout_", "dsplit", "dstack", "embedding", "empty_like",
    "expand_as", "feature_alpha_dropout", "feature_dropout", "feature_dropout_", "fill", "fill_", "flip", "fliplr",
    "flipud", "hsplit", "hstack", "im2col", "index_copy", "index_copy_", "index_fill", "index_fill_", "index_put",
    "index_select", "kthvalue", "le", "lift_fresh", "lt", "masked_fill_", "masked_scatter", "masked_scatter_",
    "masked_select", "meshgrid", "movedim", "msort", "multinomial", "native_dropout", "ne", "new_ones", "new_zeros",
    "normal", "normal_", "numel", "numpy_T", "one_hot", "ones_like", "pad", "pixel_shuffle", "pixel_unshuffle", "put",
    "quantile", "rand_like", "randint_like", "randn_like", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "repeat", "repeat_interleave", "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape_as", "rot90",
    "row_stack", "scatter", "scatter_", "sort", "swapaxes", "take", "take_along_dim", "tensor_split", "tile", "topk",
    "tril", "tril_", "triu", "triu_", "unflatten", "unfold", "uniform_", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "upsample_nearest1d", "upsample_nearest3d", "view_as", "vsplit", "vstack", "zero_",
})
# fmt: on


def kind_of(node: Any) -> Kind | None:
    """What a node of a trace is that no rule counts; None where fvcore itself takes no notice of it."""
    name = node.kind().removeprefix("aten::")
    if name in ARITHMETIC:
        return "arithmetic"
    if node.kind() in _IGNORED_OPS:
        return None
    if node.kind().startswith("prim::") and not node.kind().startswith(("prim::PythonOp", "prim::CallFunction")):
        return None
    if name in MOVEMENT:
        return "movement"
    if node.kind().startswith("aten::"):
        # Comparisons and indices are no arithmetic on features.
        if not any(_may_be_real(value) for value in node.outputs()):
            return "movement"
        return _kind_by_schema(name)
    return "unknown"


@cache
def _kind_by_schema(name: str) -> Kind:
    """What an operator is that neither list names: torch marks pointwise ones, and a schema tells what is a view."""
    packet = getattr(torch.ops.aten, name, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    if any(torch.Tag.pointwise in overload.tags for overload in overloads):
        return "arithmetic"
    schemas = [overload._schema for overload in overloads if not any(a.is_out for a in overload._schema.arguments)]
    # What is made of no tensor, random numbers for instance, is as good as a view: nothing is computed from anything.
    if schemas and all(_is_view(schema) or not _takes_tensors(schema) for schema in schemas):
        return "movement"
    return "unknown"


def _is_view(schema: Any) -> bool:
    return bool(schema.returns) and all(
        returned.alias_info is not None and not returned.alias_info.is_write for returned in schema.returns
    )


def _takes_tensors(schema: Any) -> bool:
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _may_be_real(value: Any) -> bool:
    """Whether a value is, or may be, a tensor of real or complex numbers, or a list of tensors."""
    kind = value.type().kind()
    if kind == "TensorType":
        scalar = value.type().scalarType()
        return scalar is None or "Float" in scalar or scalar in ("Double", "Half", "BFloat16", "ComplexDouble")
    return kind == "ListType" and value.type().getElementType().kind() == "TensorType"


def is_hidden_product(node: Any) -> bool:
    """Whether a node sums over the product of two tensors that is larger than both: attention in all but name."""
    if node.kind() not in ("aten::sum", "aten::mean") or elements(node.outputsAt(0)) == 0:
        return False
    product = node.inputsAt(0)
    if product.node().kind() not in ("aten::mul", "aten::multiply"):
        return False
    factors = [elements(value) for value in product.node().inputs()]
    return elements(product) > max(*factors, elements(node.outputsAt(0)))
