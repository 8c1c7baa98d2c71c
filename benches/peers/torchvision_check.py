#!/usr/bin/env python3
"""Compares the output of `resnet3d run` with torchvision's network for the same file and clip.

For every blob in FEATURES, prints its relative L2 distance from torchvision's network in float64 with separate batch
norms, and the distance of the same network in float32, which shows the effect of rounding. Needs torch and torchvision.

Usage:
  python3 benches/peers/torchvision_files.py weights r3d_18 r3d_18.pth
  python3 benches/peers/inputs.py --clip 1x3x16x112x112 clip.safetensors
  resnet3d run --weights r3d_18.pth --input clip.safetensors --output features.safetensors \\
      --taps res2_1_sum,res3_1_sum,res4_1_sum,res5_1_sum,pool5,pred
  python3 benches/peers/torchvision_check.py r3d_18 r3d_18.pth clip.safetensors features.safetensors

The exit code is 1 if a blob is missing, or if its distance exceeds 1e-5.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

try:
    import torch

    from comparison import TOLERANCE
    from network import Failure
    from peers import NETWORKS
    from rendering import NONE, table
    from tensors import load_clip, read_safetensors, relative_l2
    from torchvision_network import read, taps
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch, torchvision and numpy")

COLUMNS = ["blob", "shape", "resnet3d", "PyTorch in float32"]


def rows_of(network: str, weights: Path, clip: Path, features: Path) -> tuple[list[list[str]], bool]:
    """A row for every blob of torchvision's network, and whether all of ours exist and agree."""
    data = torch.from_numpy(load_clip(clip).copy())
    single = {name: blob.numpy() for name, blob in taps(read(network, weights), data).items()}
    double = {name: blob.numpy() for name, blob in taps(read(network, weights).double(), data.double()).items()}
    ours, _ = read_safetensors(features)
    rows, passed = [], True
    for name, expected in double.items():
        values = ours.get(name)
        same_shape = values is not None and values.shape == expected.shape
        distance = relative_l2(values, expected) if same_shape else math.nan
        passed &= distance <= TOLERANCE
        if values is None:
            found = "missing"
        elif not same_shape:
            found = f"is {'x'.join(map(str, values.shape))}"
        else:
            found = f"{distance:.1e}" + ("" if distance <= TOLERANCE else " DISAGREES")
        shape = "x".join(map(str, expected.shape))
        rows.append([name, shape, found, f"{relative_l2(single[name], expected):.1e}"])
    unknown = [[name, "x".join(map(str, values.shape)), "not compared", NONE] for name, values in ours.items()
               if name not in double]
    return rows + unknown, passed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare features with torchvision's network.")
    parser.add_argument("network", choices=NETWORKS, help="name in torchvision")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.pth", help="state dict of the network")
    parser.add_argument("clip", type=Path, metavar="CLIP.safetensors", help="file with the clip as tensor data")
    parser.add_argument("features", type=Path, metavar="FEATURES.safetensors", help="output of resnet3d run")
    args = parser.parse_args(arguments)
    try:
        rows, passed = rows_of(args.network, args.weights, args.clip, args.features)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(table(COLUMNS, range(2, 4), rows))
    if not passed:
        print(f"FAILED: a blob is missing, or differs by more than {TOLERANCE:g}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
