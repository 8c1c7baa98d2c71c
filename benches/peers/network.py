"""The network of a configuration: the body of `src/graph/resnet.rs` as plain data.

All peers in Python share this module. It needs no library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields

Triple = tuple[int, int, int]


class Failure(Exception):
    """A failure that is reported without a traceback."""


@dataclass(frozen=True)
class Config:
    """The keys of resnet3d's BackboneConfig. The defaults are those of the flagship."""

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
        """A configuration as `resnet3d plan --json` prints it. Missing keys have the values of the flagship."""
        try:
            keys = json.loads(text)
        except json.JSONDecodeError as error:
            raise Failure(f"the configuration is not JSON: {error}") from error
        if not isinstance(keys, dict):
            raise Failure("the configuration is not a JSON object")
        if "preset" in keys:
            raise Failure("presets are not supported here: give all keys, as `resnet3d plan --json` prints them")
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
        """Names and shapes of its parameters."""
        channels = (self.dim_out,)
        return {f"{self.name}_w": self.weight_shape, f"{self.affine}_s": channels, f"{self.affine}_b": channels}


@dataclass(frozen=True)
class Block:
    """ReLU(branch + shortcut), with ReLUs between the convolutions of the branch. Without a shortcut: the identity."""

    branch: tuple[Conv, ...]
    shortcut: Conv | None


@dataclass(frozen=True)
class Stage:
    """Successive blocks, and the name of the last blob."""

    output: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Network:
    """Stem and stages. The convolution of the stem is followed by ReLU and a 1x3x3 max pool with stride 1x2x2."""

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
    """Stage `index`. Stage 0 is res2, which has no stride and no kernel over time."""
    number, count, dim_out = index + 2, config.block_counts[index], config.feat_dims[index + 1]
    dims_in = [config.feat_dims[index]] + [dim_out] * (count - 1)
    blocks = tuple(
        block_of(config, index, f"res{number}_{position}", dim_in, dim_out) for position, dim_in in enumerate(dims_in)
    )
    return Stage(f"res{number}_{count - 1}_sum", blocks)


def block_of(config: Config, index: int, prefix: str, dim_in: int, dim_out: int) -> Block:
    """A residual block. It has a stride only if the width changes, but not in res2 and not in a dilated res5."""
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
