"""The common part of the peers in Python: arguments, measurement, and the output line.

The README describes the protocol. The crate in `protocol-rs` does the same for the peers in Rust.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from network import Failure
from tensors import load_clip, write_safetensors

# From a clip in memory to the last blob in memory.
Forward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Identity:
    """The library, its configuration, and its device."""

    peer: str
    version: str
    configuration: str
    device: str


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_arguments(
    description: str, model: str, arguments: list[str] | None, networks: Sequence[str] = ()
) -> argparse.Namespace:
    """The arguments of the protocol, with `--network` if the model file of a peer does not name the network."""
    parser = argparse.ArgumentParser(description=description)
    if networks:
        parser.add_argument("--network", choices=networks, required=True, help="the network of the model file")
    parser.add_argument("--model", metavar="FILE", type=Path, required=True, help=model)
    parser.add_argument("--clip", metavar="FILE", type=Path, required=True, help="a safetensors file with tensor data")
    parser.add_argument("--runs", metavar="N", type=positive, default=5, help="maximum of measured runs; default 5")
    parser.add_argument("--seconds", metavar="S", type=float, default=60, help="no run begins after this; default 60")
    parser.add_argument("--output", metavar="FILE", type=Path, help="file for the last blob, as tensor output")
    parser.add_argument("--threads", metavar="N", type=positive, default=cores(), help="default: all cores")
    return parser.parse_args(arguments)


def measured(identity: Identity, args: argparse.Namespace, prepare: Callable[[], Forward]) -> dict:
    """The report of a peer: the times of `prepare`, of the first run, and of the runs after it."""
    clip = np.ascontiguousarray(load_clip(args.clip))

    def timed(run: Callable[[], object]) -> tuple[float, object]:
        start = time.perf_counter()
        value = run()
        return (time.perf_counter() - start) * 1e3, value

    prepare_ms, forward = timed(prepare)
    first_ms, _ = timed(lambda: forward(clip))
    runs_ms: list[float] = []
    while not runs_ms or (len(runs_ms) < args.runs and sum(runs_ms) < args.seconds * 1e3):
        elapsed, output = timed(lambda: forward(clip))
        runs_ms.append(elapsed)
    if args.output:
        write_safetensors(args.output, {"output": output})
    times = {"prepare_ms": prepare_ms, "first_ms": first_ms, "runs_ms": runs_ms}
    return {**asdict(identity), "clip": list(clip.shape), **times}


def main(identity: Identity, args: argparse.Namespace, prepare: Callable[[], Forward]) -> int:
    """Prints the report as one line."""
    try:
        print(json.dumps(measured(identity, args, prepare)))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0
