#!/usr/bin/env python3
"""Writes weights of the flagship or a clip for all peers. They come from the generator with seed 0, and are the same to
the bit as those of `resnet3d bench --weights random:0`. Needs numpy.

Usage:
  python3 benches/peers/inputs.py --weights weights.safetensors
  python3 benches/peers/inputs.py --clip 1x3x8x224x224 clip.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

try:
    from network import Config, Failure, network_of
    from tensors import generate, load_weights, parse_shape, write_safetensors
except (ImportError, OSError, ValueError) as problem:
    sys.exit(f"error: {problem}\nhint: this needs the Python package numpy")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write generated weights or a generated clip as safetensors.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", action="store_true", help="the flagship's weights")
    what.add_argument("--clip", metavar="NxCxTxHxW", type=parse_shape, help="a clip of this shape, as tensor data")
    parser.add_argument("file", type=Path, metavar="OUT.safetensors", help="the output file")
    args = parser.parse_args(arguments)
    try:
        if args.weights:
            config = Config()
            tensors = load_weights("random:0", network_of(config))
            write_safetensors(args.file, tensors, {"config": json.dumps(asdict(config))})
        else:
            write_safetensors(args.file, {"data": generate("data", args.clip, 0)})
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
