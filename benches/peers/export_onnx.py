#!/usr/bin/env python3
"""Writes the body with its weights as an ONNX file for clips of one shape.

The operators are those that an exporter would write: Conv (with affine channels folded into weight and bias), Relu, Add
and MaxPool. Needs onnx and numpy.

Usage:
  python3 benches/peers/export_onnx.py weights.safetensors body.onnx --clip 1x3x8x224x224
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from network import Block, Conv, Failure, Network
    from tensors import Tensors, folded, load_network, parse_shape
except (ImportError, OSError, ValueError) as problem:
    sys.exit(f"error: {problem}\nhint: this needs Python packages onnx and numpy")

# Old enough for every runtime. Nothing newer is needed.
OPSET, IR_VERSION = 13, 8


class Graph:
    """Nodes and constants in order. Every method returns the name of its output."""

    def __init__(self, weights: Tensors) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def relu(self, x: str) -> str:
        return self.add("Relu", [x], f"{x}_relu")

    def conv(self, conv: Conv, x: str) -> str:
        names = [f"{conv.name}_weight", f"{conv.name}_bias"]
        self.constants += map(numpy_helper.from_array, folded(conv, self.weights), names)
        attributes = {
            "kernel_shape": conv.kernel,
            "strides": conv.stride,
            "pads": conv.padding * 2,
            "dilations": conv.dilation,
            "group": conv.groups,
        }
        return self.add("Conv", [x, *names], conv.name, **attributes)

    def block(self, block: Block, x: str) -> str:
        y = x
        for index, conv in enumerate(block.branch):
            y = self.conv(conv, self.relu(y) if index else y)
        shortcut = x if block.shortcut is None else self.conv(block.shortcut, x)
        return self.relu(self.add("Add", [y, shortcut], f"{y}_sum"))

    def body(self, network: Network, x: str) -> str:
        x = self.relu(self.conv(network.stem, x))
        window = {"kernel_shape": (1, 3, 3), "strides": (1, 2, 2), "pads": (0, 1, 1) * 2}
        x = self.add("MaxPool", [x], "pool1", **window)
        for stage in network.stages:
            for block in stage.blocks:
                x = self.block(block, x)
        return x


def model_of(network: Network, weights: Tensors, clip: tuple[int, ...]) -> onnx.ModelProto:
    """The model for clips of shape `clip`. Its input is called `data`."""
    graph = Graph(weights)
    output = graph.body(network, "data")
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, clip)
    last = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    body = helper.make_graph(graph.nodes, "body", [data], [last], graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    # Infers the required shape of the output from that of the clip.
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model)
    return model


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the body with its weights as an ONNX file.")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.safetensors", help="weights named by blob")
    parser.add_argument("model", type=Path, metavar="OUT.onnx", help="the output file")
    parser.add_argument("--clip", metavar="NxCxTxHxW", type=parse_shape, required=True, help="shape of the clip")
    args = parser.parse_args(arguments)
    try:
        onnx.save(model_of(*load_network(args.weights), args.clip), args.model)
    except (Failure, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
