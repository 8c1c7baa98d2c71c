#!/usr/bin/env python3
"""Runs the body in PyTorch on the CPU and prints its times as one line of JSON. See the README.

It runs eagerly in inference mode with channels_last_3d. The network is that of `torch_resnet3d.py`.
"""

from __future__ import annotations

import sys

try:
    import numpy as np
    import torch

    import protocol
    from tensors import load_network
    from torch_network import TorchNetwork
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch and numpy")


def main(arguments: list[str] | None = None) -> int:
    args = protocol.parse_arguments("The body in PyTorch on the CPU.", "weights named by blob", arguments)
    torch.set_num_threads(args.threads)
    layout = "eager, channels_last_3d"
    identity = protocol.Identity("PyTorch", torch.__version__, layout, f"CPU, {args.threads} threads")

    def prepare() -> protocol.Forward:
        network, weights = load_network(args.model)
        model = TorchNetwork(network, weights).eval().to(memory_format=torch.channels_last_3d)

        def forward(clip: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                data = torch.from_numpy(clip).contiguous(memory_format=torch.channels_last_3d)
                return model(data).contiguous().numpy()

        return forward

    return protocol.main(identity, args, prepare)


if __name__ == "__main__":
    sys.exit(main())
