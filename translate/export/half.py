"""ONNX in half precision: weights and activations in fp16; what goes in and out, and norms, in fp32."""

from __future__ import annotations

from typing import Any

NORMS = ("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization")
"""Operators that stay in fp32: their sums of squares pass fp16's largest number."""


def halved(model: Any) -> Any:
    """A ``ModelProto`` with its inner numbers in fp16; inputs and outputs keep their types."""
    import onnx_ir
    from onnxruntime.transformers import float16

    blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *NORMS]
    proto = float16.convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked)
    # The converter appends its casts, out of order, and leaves some inner values with the types that they had before.
    del proto.graph.value_info[:]
    sorted_model = onnx_ir.from_proto(proto)
    sorted_model.graph.sort()
    return onnx_ir.to_proto(sorted_model)
