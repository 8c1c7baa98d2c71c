#!/usr/bin/env python3
"""The same 3D ResNet body in PyTorch, timed on the device and compared with what `resnet3d` computed.

Every convolution carries its affine channel, folded in float64 as resnet3d does; residual sums and ReLUs are in place;
memory is channels_last_3d; cudnn.benchmark is on; everything runs in inference mode. Times are the device's, by CUDA
events around one forward with input and output on the device, each run waited for; warm-ups are outside.

Usage:
  resnet3d bench --clip 1x3x8x224x224 --output features.safetensors
  python3 benches/peers/torch_resnet3d.py --clip 1x3x8x224x224 --features features.safetensors

  python3 benches/peers/torch_resnet3d.py --weights r18.safetensors --input clip.safetensors --json
  python3 benches/peers/torch_resnet3d.py --device cpu --clip 1x3x2x32x32 --runs 2

Without files, weights and clip are those of resnet3d's generator, the same to the bit. The network is that of --config,
else of the metadata of --features, else of --weights, else the flagship (r18-conv4). Needs torch and numpy only.
Exit code 0 if float32 agrees with --features (or there is none), 1 if not or if a mode failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

try:
    import numpy as np
    import torch
except (ImportError, OSError, ValueError) as problem:  # a broken PyTorch raises any of these
    sys.exit(f"error: {problem}\nhint: this needs Python packages torch and numpy")

Tensors = dict[str, np.ndarray]
Triple = tuple[int, int, int]


class Failure(Exception):
    """Something that the user should read, without a trace."""


# What network -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """The keys of resnet3d's BackboneConfig, by default the flagship's."""

    transformation: str = "bottleneck"
    block_counts: tuple[int, ...] = (2, 2, 2)
    feat_dims: tuple[int, ...] = (64, 64, 128, 256)
    num_groups: int = 1
    width_per_group: int = 64
    stride_1x1: bool = True
    time_kernel_dim: int = 3
    time_stride_on: bool = False
    dilation: int = 1
    freeze_at: int = 2

    @staticmethod
    def from_json(text: str) -> Config:
        """A configuration as `resnet3d plan --json` prints it; keys left out are the flagship's."""
        try:
            keys = json.loads(text)
        except json.JSONDecodeError as error:
            raise Failure(f"the configuration is no JSON: {error}") from error
        if not isinstance(keys, dict):
            raise Failure("the configuration is no JSON object")
        if "preset" in keys:
            raise Failure("presets are unknown here: give the configuration spelt out, as `resnet3d plan --json` does")
        unknown = sorted(set(keys) - {field.name for field in fields(Config)})
        if unknown:
            raise Failure(f"unknown keys in the configuration: {', '.join(unknown)}")
        config = Config(**{key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()})
        if config.transformation not in ("bottleneck", "basic"):
            raise Failure(f"transformation is {config.transformation!r}, not bottleneck or basic")
        if len(config.feat_dims) != len(config.block_counts) + 1:
            raise Failure("feat_dims needs a width for the stem and one for each of block_counts")
        return config


@dataclass(frozen=True)
class Conv:
    """A convolution and the affine channel after it."""

    name: str
    affine: str
    dim_in: int
    dim_out: int
    kernel: Triple
    stride: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    groups: int = 1

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.dim_out, self.dim_in // self.groups, *self.kernel)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of what it reads."""
        channels = (self.dim_out,)
        return {f"{self.name}_w": self.weight_shape, f"{self.affine}_s": channels, f"{self.affine}_b": channels}


@dataclass(frozen=True)
class Block:
    """ReLU(branch + shortcut), with ReLUs between the branch's convolutions; no shortcut is the identity."""

    branch: tuple[Conv, ...]
    shortcut: Conv | None


@dataclass(frozen=True)
class Stage:
    """Blocks in a row, and the name of the blob that the last one writes."""

    output: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Network:
    """Stem and stages. The stem's convolution is followed by ReLU and a max pool of 1x3x3 by 1x2x2."""

    stem: Conv
    stages: tuple[Stage, ...]

    def convs(self) -> Iterator[Conv]:
        yield self.stem
        for stage in self.stages:
            for block in stage.blocks:
                yield from block.branch
                if block.shortcut is not None:
                    yield block.shortcut

    def parameters(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for conv in self.convs() for name, shape in conv.parameters().items()}


def network_of(config: Config) -> Network:
    """The body that `config` describes, as `src/graph/resnet.rs` builds it."""
    stem = Conv("conv1", "res_conv1_bn", 3, config.feat_dims[0], (1, 7, 7), (1, 2, 2), (0, 3, 3))
    stages = tuple(stage_of(config, index) for index in range(len(config.block_counts)))
    return Network(stem, stages)


def stage_of(config: Config, index: int) -> Stage:
    """Stage `index`, of which 0 is res2: the one without stride and without a kernel over time."""
    number, count, dim_out = index + 2, config.block_counts[index], config.feat_dims[index + 1]
    dims_in = [config.feat_dims[index]] + [dim_out] * (count - 1)
    blocks = tuple(
        block_of(config, index, f"res{number}_{position}", dim_in, dim_out) for position, dim_in in enumerate(dims_in)
    )
    return Stage(f"res{number}_{count - 1}_sum", blocks)


def block_of(config: Config, index: int, prefix: str, dim_in: int, dim_out: int) -> Block:
    """A residual block. It strides only where the width changes, not in res2 and not in a dilated res5."""
    number = index + 2
    inner = config.num_groups * config.width_per_group << index
    dilation = config.dilation if number == 5 else 1
    time_kernel = 1 if number == 2 else config.time_kernel_dim
    stride = 2 if dim_in != dim_out and number != 2 and dilation == 1 else 1

    def strides(by: int) -> Triple:
        return (by if number != 2 and config.time_stride_on else 1, by, by)

    def pointwise(name: str, width_in: int, width_out: int, by: int = 1) -> Conv:
        name = f"{prefix}_{name}"
        return Conv(name, f"{name}_bn", width_in, width_out, (1, 1, 1), strides(by))

    def window(name: str, width_in: int, width_out: int, by: int, dilate: int, groups: int) -> Conv:
        name, padding = f"{prefix}_{name}", (time_kernel // 2, dilate, dilate)
        kernel, apart = (time_kernel, 3, 3), (1, dilate, dilate)
        return Conv(name, f"{name}_bn", width_in, width_out, kernel, strides(by), padding, apart, groups)

    shortcut = pointwise("branch1", dim_in, dim_out, stride) if dim_in != dim_out else None
    if config.transformation == "basic":
        first = window("branch2a", dim_in, inner, stride, 1, 1)
        return Block((first, window("branch2b", inner, dim_out, 1, dilation, config.num_groups)), shortcut)
    stride_1x1, stride_3x3 = (stride, 1) if config.stride_1x1 else (1, stride)
    reduce = pointwise("branch2a", dim_in, inner, stride_1x1)
    middle = window("branch2b", inner, inner, stride_3x3, dilation, config.num_groups)
    return Block((reduce, middle, pointwise("branch2c", inner, dim_out)), shortcut)


# Weights and clips ------------------------------------------------------------------------------------------------


def fnv1a(name: str) -> int:
    """FNV-1a of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniform(name: str, count: int, seed: int) -> np.ndarray:
    """`count` float64 values in [-1, 1) of the tensor `name`: SplitMix64, as in `src/weights/random.rs`."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(fnv1a(name) ^ seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1


def generate(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The generator's tensor `name`, scaled by what the name ends in, rounded once to float32."""
    u = uniform(name, math.prod(shape), seed)
    if name.endswith("_s"):
        u = 1 + 0.5 * u
    elif name.endswith("_b"):
        u = 0.25 * u
    elif name.endswith("_w"):
        u = u * math.sqrt(3 / math.prod(shape[1:]))
    return u.astype(np.float32).reshape(shape)


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Floating-point tensors as float32, and the metadata."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        types = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
        tensors = {}
        for name, entry in header.items():
            if entry["dtype"] in types:
                start, end = entry["data_offsets"]
                values = np.frombuffer(content[8 + length + start : 8 + length + end], types[entry["dtype"]])
                tensors[name] = values.reshape(entry["shape"]).astype(np.float32)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path} is no safetensors file: {error}") from error
    return tensors, metadata


def parse_shape(text: str) -> tuple[int, ...]:
    """A clip's shape, such as 1x3x8x224x224."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if len(shape) != 5 or shape[1] != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape like 1x3x8x224x224")
    return shape


def load_weights(source: str, network: Network) -> Tensors:
    """The tensors that `network` reads, from a file or, for `random[:SEED]`, from the generator."""
    parameters = network.parameters()
    if source == "random" or source.startswith("random:"):
        try:
            seed = int(source.partition(":")[2] or 0) % 2**64
        except ValueError as error:
            raise Failure(f"--weights {source}: the seed is no number") from error
        return {name: generate(name, shape, seed) for name, shape in parameters.items()}
    tensors, _ = read_safetensors(Path(source))
    for name, shape in parameters.items():
        if name not in tensors:
            raise Failure(f"{source} has no tensor {name}; is it of another network? (--config)")
        if tensors[name].shape != shape:
            raise Failure(f"{source}: {name} is {tensors[name].shape}, and the network needs {shape}")
    return {name: tensors[name] for name in parameters}


def load_clip(path: Path) -> np.ndarray:
    """The tensor `data` of a safetensors file."""
    data = read_safetensors(path)[0].get("data")
    if data is None or data.ndim != 5 or data.shape[1] != 3:
        raise Failure(f"{path} has no tensor data of N x 3 x T x H x W")
    return data


# The network in PyTorch -------------------------------------------------------------------------------------------


def folded(conv: Conv, weights: Tensors) -> torch.nn.Conv3d:
    """The convolution with its affine channel in weight and bias, multiplied in float64 and rounded once."""
    scale = weights[f"{conv.affine}_s"].astype(np.float64).reshape(-1, 1, 1, 1, 1)
    weight = (weights[f"{conv.name}_w"].astype(np.float64) * scale).astype(np.float32)
    layer = torch.nn.utils.skip_init(
        torch.nn.Conv3d,
        conv.dim_in,
        conv.dim_out,
        conv.kernel,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(weights[f"{conv.affine}_b"]))
    return layer


class TorchBlock(torch.nn.Module):
    def __init__(self, block: Block, weights: Tensors) -> None:
        super().__init__()
        self.branch = torch.nn.ModuleList(folded(conv, weights) for conv in block.branch)
        self.shortcut = folded(block.shortcut, weights) if block.shortcut is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for conv in self.branch[:-1]:
            y = conv(y).relu_()
        y = self.branch[-1](y)
        return y.add_(x if self.shortcut is None else self.shortcut(x)).relu_()


class TorchNetwork(torch.nn.Module):
    def __init__(self, network: Network, weights: Tensors) -> None:
        super().__init__()
        self.stem = folded(network.stem, weights)
        self.names = [stage.output for stage in network.stages]
        self.stages = torch.nn.ModuleList(
            torch.nn.Sequential(*(TorchBlock(block, weights) for block in stage.blocks)) for stage in network.stages
        )

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu_()
        return torch.nn.functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pooled(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def taps(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """What every stage returns, by name; the last is `forward`'s."""
        x, taps = self.pooled(x), {}
        for name, stage in zip(self.names, self.stages):
            x = taps[name] = stage(x)
        return taps


def inspect(model: TorchNetwork, clip: torch.Tensor) -> tuple[int, bool]:
    """From one run: multiply-adds of the convolutions, and whether all of their results are channels_last_3d."""
    macs, channels_last = 0, True

    def count(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs, channels_last
        macs += output.numel() * layer.weight[0].numel()
        channels_last &= output.is_contiguous(memory_format=torch.channels_last_3d)

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, torch.nn.Conv3d)]
    model(clip)
    for hook in hooks:
        hook.remove()
    return macs, channels_last


# Measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """How the network is run: number format, TF32 products or not, one by one or as a CUDA graph."""

    name: str
    dtype: torch.dtype
    tf32: bool
    graph: bool

    @property
    def label(self) -> str:
        return self.name.replace("-", " ")


def modes(cuda: bool) -> list[Mode]:
    """All of them; without CUDA there is one."""
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


def spread(times: list[float]) -> dict[str, float]:
    return {"min": min(times), "median": statistics.median(times), "max": max(times)}


def relative_l2(values: np.ndarray, expected: np.ndarray) -> float:
    """|values - expected| / |expected|, in float64; NaN and infinity stay visible."""
    values, expected = values.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        difference, norm = np.linalg.norm(values - expected), np.linalg.norm(expected)
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return float(difference / norm)


def captured(run: Callable[[], torch.Tensor], warmups: int) -> Callable[[], torch.Tensor]:
    """`run` as a CUDA graph, captured after warm-ups on a side stream, which also let cuDNN choose its algorithms."""
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
    """Milliseconds between two events around each run; every run is waited for."""
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
    """Milliseconds of the host's clock, for the CPU."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def measure(
    mode: Mode, model: TorchNetwork, clip: torch.Tensor, runs: int, warmups: int
) -> tuple[list[float], np.ndarray]:
    """The times of `mode`, and the last blob of one more run."""
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
    """What a mode gave; `error` where it failed."""

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
    """A row of the report, and the multiply-adds of a forward. A mode that fails says so in its row."""
    row, macs = Row(mode.name, mode.label), 0
    try:
        layout = {"device": args.device, "dtype": mode.dtype, "memory_format": torch.channels_last_3d}
        model = TorchNetwork(network, weights).eval().to(**layout)
        data = torch.from_numpy(clip).to(**layout)
        macs, row.channels_last = inspect(model, data)
        times, values = measure(mode, model, data, args.runs, args.warmups)
    except RuntimeError as error:  # torch's, out of memory among them
        row.error = str(error).strip().split("\n")[0]
        return row, macs
    row.ms = spread(times)
    row.gflops = 2 * macs / row.ms["median"] / 1e6
    row.finite = bool(np.isfinite(values).all())
    if expected is not None:
        if values.shape != expected.shape:
            row.error = f"the result is {values.shape}, and --features has {expected.shape}"
        else:
            row.relative_l2 = relative_l2(values, expected)
    return row, macs


def is_off(row: Row, tolerance: float) -> bool:
    """Whether `row` failed, or is float32 and does not agree. NaN never agrees."""
    if row.error is not None:
        return True
    compared = row.mode.startswith("f32") and row.relative_l2 is not None
    return compared and not row.relative_l2 <= tolerance


# The program ------------------------------------------------------------------------------------------------------


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", metavar="FILE|JSON", help="the network, every key spelt out (no presets)")
    parser.add_argument("--weights", metavar="FILE|random[:SEED]", default="random:0", help="default random:0")
    clip = parser.add_mutually_exclusive_group()
    clip.add_argument("--clip", metavar="NxCxTxHxW", type=parse_shape, help="a generated clip; default 1x3x8x224x224")
    clip.add_argument("--input", metavar="FILE", type=Path, help="a safetensors file with the clip as tensor data")
    parser.add_argument("--clip-seed", type=int, default=0, metavar="S", help="seed of the generated clip; default 0")
    parser.add_argument("--features", metavar="FILE", type=Path, help="what `resnet3d bench --output` wrote, to compare")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative L2 allowed for f32; default 1e-4")
    parser.add_argument("--modes", metavar="A,B", help="of " + ", ".join(mode.name for mode in modes(True)))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default cuda")
    parser.add_argument("--runs", type=int, default=10, help="measured runs of every mode; default 10")
    parser.add_argument("--warmups", type=int, default=5, help="runs before those; default 5")
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
            raise Failure(f"there is no mode {name} on {args.device}; there are {', '.join(possible)}")
    return [possible[name] for name in args.modes.split(",")]


def choose_config(args: argparse.Namespace, metadata: dict[str, str]) -> Config:
    """From --config, else the features' metadata, else the weights', else the flagship."""
    if args.config:
        if args.config.lstrip().startswith("{"):
            return Config.from_json(args.config)
        try:
            return Config.from_json(Path(args.config).read_text())
        except OSError as error:
            raise Failure(f"--config {args.config}: {error.strerror}; presets are unknown here") from error
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
    """Everything: load, run every mode, compare."""
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
    """The report for people."""
    where = report["device"]
    if report["device"] == "CPU":
        where = "the CPU: this checks that the network is the same; its times say nothing about a GPU"
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
    """JSON has no NaN and no infinity: null stands for both."""
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
        print("note: this was the CPU; its times say nothing about a GPU", file=sys.stderr)
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
