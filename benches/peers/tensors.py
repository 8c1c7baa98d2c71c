"""Weights, clips and files: the generator of `src/weights/random.rs`, safetensors, and the distance of results.

Needs only numpy.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from pathlib import Path

import numpy as np
from network import Config, Conv, Failure, Network, network_of

Tensors = dict[str, np.ndarray]


def fnv1a(name: str) -> int:
    """The 64-bit FNV-1a hash."""
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
    """The tensor `name` of the generator, scaled according to the suffix of the name and rounded once to float32."""
    u = uniform(name, math.prod(shape), seed)
    if name.endswith("_s"):
        u = 1 + 0.5 * u
    elif name.endswith("_b"):
        u = 0.25 * u
    elif name.endswith("_w"):
        u = u * math.sqrt(3 / math.prod(shape[1:]))
    return u.astype(np.float32).reshape(shape)


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Reads floating-point tensors as float32, and the metadata."""
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
        for name, tensor in header.items():
            if tensor["dtype"] in types:
                start, end = tensor["data_offsets"]
                values = np.frombuffer(content[8 + length + start : 8 + length + end], types[tensor["dtype"]])
                tensors[name] = values.reshape(tensor["shape"]).astype(np.float32)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path} is not a safetensors file: {error}") from error
    return tensors, metadata


def write_safetensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Writes float32 tensors in the given order."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    start = 0
    for name, values in tensors.items():
        end = start + 4 * values.size
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for values in tensors.values():
                file.write(np.ascontiguousarray(values, "<f4").tobytes())
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def parse_shape(text: str) -> tuple[int, ...]:
    """Reads the shape of a clip, such as 1x3x8x224x224."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if len(shape) != 5 or shape[1] != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape like 1x3x8x224x224")
    return shape


def load_weights(source: str, network: Network) -> Tensors:
    """The parameters of `network`, from a file or, for `random[:SEED]`, from the generator."""
    parameters = network.parameters()
    if source == "random" or source.startswith("random:"):
        try:
            seed = int(source.partition(":")[2] or 0) % 2**64
        except ValueError as error:
            raise Failure(f"--weights {source}: the seed is not a number") from error
        return {name: generate(name, shape, seed) for name, shape in parameters.items()}
    tensors, _ = read_safetensors(Path(source))
    for name, shape in parameters.items():
        if name not in tensors:
            raise Failure(f"{source} has no tensor {name}; is it of another network? (--config)")
        if tensors[name].shape != shape:
            raise Failure(f"{source}: {name} is {tensors[name].shape}, but the network needs {shape}")
    return {name: tensors[name] for name in parameters}


def load_clip(path: Path) -> np.ndarray:
    """The tensor `data` of a safetensors file."""
    data = read_safetensors(path)[0].get("data")
    if data is None or data.ndim != 5 or data.shape[1] != 3:
        raise Failure(f"{path} has no tensor data of N x 3 x T x H x W")
    return data


def load_network(path: Path) -> tuple[Network, Tensors]:
    """The weights in a file, and the network that its metadata names, by default the flagship."""
    metadata = read_safetensors(path)[1]
    network = network_of(Config.from_json(metadata.get("config", "{}")))
    return network, load_weights(str(path), network)


def folded(conv: Conv, weights: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias with the affine channel folded in, multiplied in float64 and rounded once."""
    scale = weights[f"{conv.affine}_s"].astype(np.float64).reshape(-1, 1, 1, 1, 1)
    return (weights[f"{conv.name}_w"].astype(np.float64) * scale).astype(np.float32), weights[f"{conv.affine}_b"]


def relative_l2(values: np.ndarray, expected: np.ndarray) -> float:
    """|values - expected| / |expected|, in float64. NaN and infinity propagate."""
    values, expected = values.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        difference, norm = np.linalg.norm(values - expected), np.linalg.norm(expected)
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return float(difference / norm)
