#!/usr/bin/env python3
"""Writes files of torchvision's networks for video: weights as torchvision publishes them, and ONNX files.

The weights are random with a fixed seed, with batch norms as after training. Needs torch and torchvision, and
onnxscript for ONNX.

Usage:
  python3 benches/peers/torchvision_files.py weights r3d_18 r3d_18.pth
  python3 benches/peers/torchvision_files.py onnx r3d_18 r3d_18.pth r3d_18.onnx --clip 1x3x16x112x112
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import torch

    from network import Failure
    from peers import NETWORKS
    from tensors import parse_shape
    from torchvision_network import folded, randomised, read
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch and torchvision")


def export(network: str, weights: Path, model: Path, clip: tuple[int, ...]) -> None:
    """Writes the network for clips of shape `clip`, with folded batch norms. Its output is N x classes."""
    try:
        torch.onnx.export(
            folded(read(network, weights)),
            (torch.zeros(clip),),
            model,
            input_names=["data"],
            output_names=["pred"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except ModuleNotFoundError as error:
        raise Failure(f"{error}; `pip install -r benches/peers/requirements.txt`") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write weights or an ONNX file of torchvision's networks for video.")
    commands = parser.add_subparsers(dest="command", required=True)
    weights = commands.add_parser("weights", help="write a state dict of random weights")
    onnx = commands.add_parser("onnx", help="write the network with the weights of such a file")
    for command in (weights, onnx):
        command.add_argument("network", choices=NETWORKS, help="name in torchvision")
        command.add_argument("weights", type=Path, metavar="WEIGHTS.pth", help="written by weights, read by onnx")
    onnx.add_argument("model", type=Path, metavar="OUT.onnx", help="the output file")
    onnx.add_argument("--clip", metavar="NxCxTxHxW", type=parse_shape, required=True, help="shape of the clip")
    args = parser.parse_args(arguments)
    try:
        if args.command == "weights":
            torch.save(randomised(args.network).state_dict(), args.weights)
        else:
            export(args.network, args.weights, args.model, args.clip)
    except (Failure, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
