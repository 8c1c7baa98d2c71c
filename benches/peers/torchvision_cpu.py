#!/usr/bin/env python3
"""Runs torchvision's networks for video in PyTorch on the CPU and prints the times as one line of JSON. See the README.

They run eagerly in inference mode with channels_last_3d. Batch norms are folded into the convolutions, as in resnet3d.
"""

from __future__ import annotations

import sys

try:
    import numpy as np
    import torch
    import torchvision

    import protocol
    from peers import NETWORKS
    from torchvision_network import folded, read
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch, torchvision and numpy")


def main(arguments: list[str] | None = None) -> int:
    description = "torchvision's networks for video in PyTorch on the CPU."
    args = protocol.parse_arguments(description, "a state dict as torchvision publishes it", arguments, NETWORKS)
    torch.set_num_threads(args.threads)
    setup = f"torchvision {torchvision.__version__}, eager, channels_last_3d"
    identity = protocol.Identity("PyTorch", torch.__version__, setup, f"CPU, {args.threads} threads")

    def prepare() -> protocol.Forward:
        model = folded(read(args.network, args.model)).to(memory_format=torch.channels_last_3d)

        def forward(clip: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                data = torch.from_numpy(clip).contiguous(memory_format=torch.channels_last_3d)
                return model(data).contiguous().numpy()

        return forward

    return protocol.main(identity, args, prepare)


if __name__ == "__main__":
    sys.exit(main())
