#!/usr/bin/env python3
"""Runs the same 3D ResNet body in PyTorch, times it on the device, and compares it with the output of `resnet3d`.

Affine channels are folded into the convolutions in float64, as in resnet3d; residual sums and ReLUs are in place;
memory is channels_last_3d; cudnn.benchmark is on; everything runs in inference mode. CUDA events around one forward,
with input and output on the device, measure the time. Every run is awaited; warm-ups are not timed.

Usage:
  resnet3d bench --clip 1x3x8x224x224 --output features.safetensors
  python3 benches/peers/torch_resnet3d.py --clip 1x3x8x224x224 --features features.safetensors

  python3 benches/peers/torch_resnet3d.py --weights r18.safetensors --input clip.safetensors --json
  python3 benches/peers/torch_resnet3d.py --device cpu --clip 1x3x2x32x32 --runs 2

Without files, weights and clip come from resnet3d's generator, the same to the bit. The network is that of --config, or
of the metadata of --features, or of --weights, or the flagship (r18-conv4). Needs only torch and numpy.
The exit code is 0 if float32 agrees with --features (or there is none), 1 if not or if a mode failed, 2 for wrong
usage.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

try:
    import numpy as np
    import torch

    from network import Config, Failure, Network, network_of
    from tensors import Tensors, generate, load_clip, load_weights, parse_shape, read_safetensors, relative_l2
    from torch_network import TorchNetwork, inspect
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch and numpy")

# Measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """How the network runs: number format, with or without TF32, eagerly or as a CUDA graph."""

    name: str
    dtype: torch.dtype
    tf32: bool
    graph: bool

    @property
    def label(self) -> str:
        return self.name.replace("-", " ")


def modes(cuda: bool) -> list[Mode]:
    """All modes; without CUDA there is one."""
    f32, f16 = torch.float32, torch.float16
    everything = [
        Mode("f32-eager", f32, False, False),
        Mode("f32-graph", f32, False, True),
        Mode("tf32-eager", f32, True, False),
        Mode("tf32-graph", f32, True, True),
        Mode("f16-eager", f16, False, False),
        Mode("f16-graph", f16, False, True),
    ]
    return everything if cuda else everything[:1]


def summary(times: list[float]) -> dict[str, float]:
    return {"min": min(times), "median": statistics.median(times), "max": max(times)}


def captured(run: Callable[[], torch.Tensor], warmups: int) -> Callable[[], torch.Tensor]:
    """`run` as a CUDA graph, captured after warm-ups on a side stream, in which cuDNN also chooses its algorithms."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warmups):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay


def time_on_device(run: Callable[[], torch.Tensor], runs: int) -> list[float]:
    """Milliseconds between two events around each run. Every run is awaited."""
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return times


def time_on_host(run: Callable[[], torch.Tensor], runs: int) -> list[float]:
    """Milliseconds by the clock of the host, for the CPU."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def measure(
    mode: Mode, model: TorchNetwork, clip: torch.Tensor, runs: int, warmups: int
) -> tuple[list[float], np.ndarray]:
    """The times of `mode`, and the last blob of an additional run."""
    cuda = clip.is_cuda
    if cuda:
        torch.backends.cudnn.allow_tf32 = mode.tf32
        torch.backends.cuda.matmul.allow_tf32 = mode.tf32

    def run() -> torch.Tensor:
        return model(clip)

    prepared = captured(run, warmups) if mode.graph else run
    for _ in range(warmups):
        prepared()
    if cuda:
        torch.cuda.synchronize()
    times = (time_on_device if cuda else time_on_host)(prepared, runs)
    return times, prepared().float().contiguous().cpu().numpy()


@dataclass
class Row:
    """The result of a mode; `error` if it failed."""

    mode: str
    label: str
    ms: dict[str, float] | None = None
    gflops: float | None = None
    relative_l2: float | None = None
    finite: bool | None = None
    channels_last: bool | None = None
    error: str | None = None


def run_mode(
    mode: Mode,
    network: Network,
    weights: Tensors,
    clip: np.ndarray,
    expected: np.ndarray | None,
    args: argparse.Namespace,
) -> tuple[Row, int]:
    """A row of the report, and the multiply-adds of a forward. The row of a failed mode has the error."""
    row, macs = Row(mode.name, mode.label), 0
    try:
        layout = {"device": args.device, "dtype": mode.dtype, "memory_format": torch.channels_last_3d}
        model = TorchNetwork(network, weights).eval().to(**layout)
        data = torch.from_numpy(clip).to(**layout)
        macs, row.channels_last = inspect(model, data)
        times, values = measure(mode, model, data, args.runs, args.warmups)
    except RuntimeError as error:  # torch raises it, also for out of memory
        row.error = str(error).strip().split("\n")[0]
        return row, macs
    row.ms = summary(times)
    row.gflops = 2 * macs / row.ms["median"] / 1e6
    row.finite = bool(np.isfinite(values).all())
    if expected is not None:
        if values.shape != expected.shape:
            row.error = f"the result is {values.shape}, but --features has {expected.shape}"
        else:
            row.relative_l2 = relative_l2(values, expected)
    return row, macs


def is_off(row: Row, tolerance: float) -> bool:
    """Whether `row` failed, or is float32 and disagrees. NaN never agrees."""
    if row.error is not None:
        return True
    compared = row.mode.startswith("f32") and row.relative_l2 is not None
    return compared and not row.relative_l2 <= tolerance


# The program ------------------------------------------------------------------------------------------------------


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", metavar="FILE|JSON", help="the network, with all keys (no presets)")
    parser.add_argument("--weights", metavar="FILE|random[:SEED]", default="random:0", help="default random:0")
    clip = parser.add_mutually_exclusive_group()
    clip.add_argument("--clip", metavar="NxCxTxHxW", type=parse_shape, help="a generated clip; default 1x3x8x224x224")
    clip.add_argument("--input", metavar="FILE", type=Path, help="a safetensors file with the clip as tensor data")
    parser.add_argument("--clip-seed", type=int, default=0, metavar="S", help="seed of the generated clip; default 0")
    parser.add_argument("--features", metavar="FILE", type=Path, help="output of `resnet3d bench --output`, to compare")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative L2 allowed for f32; default 1e-4")
    parser.add_argument("--modes", metavar="A,B", help="of " + ", ".join(mode.name for mode in modes(True)))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default cuda")
    parser.add_argument("--runs", type=int, default=10, help="measured runs of every mode; default 10")
    parser.add_argument("--warmups", type=int, default=5, help="warm-up runs of every mode; default 5")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(arguments)
    if args.runs < 1 or args.warmups < 1:
        parser.error("--runs and --warmups take at least 1")
    return args


def choose_modes(args: argparse.Namespace) -> list[Mode]:
    possible = {mode.name: mode for mode in modes(args.device == "cuda")}
    if not args.modes:
        return list(possible.values())
    for name in args.modes.split(","):
        if name not in possible:
            raise Failure(f"unknown mode {name} on {args.device}; known are {', '.join(possible)}")
    return [possible[name] for name in args.modes.split(",")]


def choose_config(args: argparse.Namespace, metadata: dict[str, str]) -> Config:
    """The configuration of --config, or of the metadata of the features or of the weights, or the flagship."""
    if args.config:
        if args.config.lstrip().startswith("{"):
            return Config.from_json(args.config)
        try:
            return Config.from_json(Path(args.config).read_text())
        except OSError as error:
            raise Failure(f"--config {args.config}: {error.strerror}; presets are not supported here") from error
    if "config" not in metadata and not args.weights.startswith("random"):
        metadata = read_safetensors(Path(args.weights))[1]
    return Config.from_json(metadata["config"]) if "config" in metadata else Config()


def describe_device(device: str) -> dict[str, str | None]:
    if device == "cpu":
        return {"device": "CPU", "cuda": None, "cudnn": None}
    return {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()),
    }


def report_of(args: argparse.Namespace) -> dict:
    """Loads, runs every mode, and compares."""
    if args.device == "cuda" and not torch.cuda.is_available():
        raise Failure("PyTorch sees no CUDA device here; --device cpu checks correctness without one")
    features, metadata = read_safetensors(args.features) if args.features else ({}, {})
    config = choose_config(args, metadata)
    network = network_of(config)
    chosen = choose_modes(args)
    weights = load_weights(args.weights, network)
    if args.input:
        clip = load_clip(args.input)
    else:
        clip = generate("data", args.clip or (1, 3, 8, 224, 224), args.clip_seed % 2**64)
    last = network.stages[-1].output
    expected = features.get(last, features.get(f"expect.{last}"))
    if args.features and expected is None:
        raise Failure(f"{args.features} has no tensor {last}; is it of another network? (--config)")

    torch.backends.cudnn.benchmark = True
    rows, macs = [], 0
    with torch.inference_mode():
        for mode in chosen:
            print(f"{mode.label} …", file=sys.stderr, flush=True)
            row, counted = run_mode(mode, network, weights, clip, expected, args)
            rows.append(row)
            macs = macs or counted
            if args.device == "cuda":
                torch.cuda.empty_cache()
    return {
        "peer": "PyTorch",
        "version": torch.__version__,
        **describe_device(args.device),
        "clock": "CUDA events" if args.device == "cuda" else "the host's",
        "clip": list(clip.shape),
        "config": asdict(config),
        "weights": args.weights,
        "macs": macs,
        "runs": args.runs,
        "tolerance": args.tolerance,
        "compared": last if expected is not None else None,
        "passed": not any(is_off(row, args.tolerance) for row in rows),
        "modes": [asdict(row) for row in rows],
    }


def text_of(report: dict) -> str:
    """The report as text."""
    where = report["device"]
    if report["device"] == "CPU":
        where = "the CPU: this checks that the network is the same; the times say nothing about a GPU"
    else:
        where += f", CUDA {report['cuda']}, cuDNN {report['cudnn']}"
    lines = [
        f"PyTorch {report['version']} on {where}",
        f"clip {'x'.join(map(str, report['clip']))}, {report['macs'] / 1e9:.3f} GMAC, {report['runs']} runs, "
        f"times by {report['clock']}",
        f"{'mode':<12}{'min ms':>10}{'median':>10}{'max':>10}{'GFLOP/s':>11}  relative L2",
    ]
    for row in report["modes"]:
        if row["ms"] is None:
            lines.append(f"{row['label']:<12}failed: {row['error']}")
            continue
        ms = "".join(f"{row['ms'][key]:>10.3f}" for key in ("min", "median", "max"))
        compared = "not compared" if row["relative_l2"] is None else f"{row['relative_l2']:.2e}"
        notes = ("" if row["finite"] else ", not finite") + ("" if row["channels_last"] else ", not all channels last")
        notes += (f", {row['error']}" if row["error"] else "")
        lines.append(f"{row['label']:<12}{ms}{row['gflops']:>11.1f}  {compared}{notes}")
    if not report["passed"]:
        lines.append(f"FAILED: a mode failed, or f32 differs from --features by more than {report['tolerance']:g}")
    return "\n".join(lines)


def without_nan(value: object) -> object:
    """Replaces NaN and infinity by null, because JSON does not have them."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        report = report_of(args)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(without_nan(report), indent=2) if args.json else text_of(report))
    if report["device"] == "CPU" and args.json:
        print("note: this was the CPU; the times say nothing about a GPU", file=sys.stderr)
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
