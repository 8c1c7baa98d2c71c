#!/usr/bin/env python3
"""Runs an ONNX file in ONNX Runtime on the CPU and prints its times as one line of JSON. See the README."""

from __future__ import annotations

import sys

try:
    import numpy as np
    import onnxruntime

    import protocol
except (ImportError, OSError, ValueError) as problem:
    sys.exit(f"error: {problem}\nhint: this needs Python packages onnxruntime and numpy")


def main(arguments: list[str] | None = None) -> int:
    args = protocol.parse_arguments("An ONNX file in ONNX Runtime on the CPU.", "an .onnx file", arguments)
    device = f"CPU, {args.threads} threads"
    identity = protocol.Identity("ONNX Runtime", onnxruntime.__version__, "CPU provider", device)

    def prepare() -> protocol.Forward:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def forward(clip: np.ndarray) -> np.ndarray:
            return session.run(None, {name: clip})[0]

        return forward

    return protocol.main(identity, args, prepare)


if __name__ == "__main__":
    sys.exit(main())
