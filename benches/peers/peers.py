"""The peers that `scripts/bench-peers` knows: how each is run, and how it is had where it is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Of torchvision.models.video, by the names of its functions, which are also those of resnet3d's presets.
NETWORKS = ("r3d_18", "mc3_18", "r2plus1d_18")
# What they are built with.
TORCHVISION = ("torch", "torchvision")


@dataclass(frozen=True)
class Peer:
    """A configuration of a library."""

    key: str
    # The library, and which of its configurations, if there are several.
    name: str
    setup: str
    # A crate here and a binary of it, or nothing and a script here.
    crate: str | None
    program: str
    # Whether it reads an ONNX file; else it reads weights by the names of blobs.
    onnx: bool = False
    options: tuple[str, ...] = ()
    features: str = ""
    modules: tuple[str, ...] = ()
    # Whether it starts so slowly that it takes all its turns at once.
    once: bool = False

    @property
    def binary(self) -> Path:
        """Where cargo puts it."""
        target = os.environ.get("CARGO_TARGET_DIR")
        return (Path(target) if target else HERE / str(self.crate) / "target") / "release" / self.program

    def command(self) -> list[str]:
        """What runs it, without the arguments of the protocol."""
        start = [str(self.binary)] if self.crate else [sys.executable, str(HERE / self.program)]
        return [*start, *self.options]

    def missing(self) -> str | None:
        """What has to be done before it can run, if anything."""
        if self.crate and not self.binary.exists():
            features = f" --features {self.features}" if self.features else ""
            manifest = f"--manifest-path benches/peers/{self.crate}/Cargo.toml"
            return f"not built: `cargo build --release --locked {manifest}{features} --bin {self.program}`"
        modules = self.modules + (("onnx",) if self.onnx else ())
        return missing_modules(modules)


def missing_modules(modules: tuple[str, ...]) -> str | None:
    """Which of these Python packages are not installed, if any, and how to get them."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        return f"no Python package {' or '.join(absent)}: `pip install -r benches/peers/requirements.txt`"
    return None


def known(software: bool) -> list[Peer]:
    """All of them, those that use the adapter first. `software`: whether that is a software adapter."""
    wgpu = ("--device", "wgpu-cpu" if software else "wgpu")

    def tuned(key: str, setup: str, program: str, features: str) -> Peer:
        # It tries kernels for a minute, and forgets which were the best.
        return Peer(key, "burn", setup, "burn", program, options=wgpu, features=features, once=True)

    return [
        Peer("burn", "burn", "wgpu", "burn", "burn-plain", options=wgpu),
        tuned("burn-tuned", "wgpu, fusion, autotune", "burn-tuned", "tuned"),
        tuned("burn-vulkan", "vulkan, fusion, autotune", "burn-vulkan", "tuned,vulkan"),
        Peer("burn-flex", "burn", "flex", "burn", "burn-plain", options=("--device", "flex")),
        Peer("tract", "tract-onnx", "", "tract", "tract-resnet3d", onnx=True),
        Peer("pytorch", "PyTorch", "", None, "torch_cpu.py", modules=("torch",)),
        Peer("onnxruntime", "ONNX Runtime", "", None, "onnx_resnet3d.py", onnx=True, modules=("onnxruntime",)),
    ]


def of_torchvision(network: str) -> list[Peer]:
    """Those that run one of NETWORKS. burn and tract have no such network written for them here."""
    return [
        Peer("pytorch", "PyTorch", "", None, "torchvision_cpu.py", options=("--network", network), modules=TORCHVISION),
        # PyTorch exports to ONNX through onnxscript.
        Peer("onnxruntime", "ONNX Runtime", "", None, "onnx_resnet3d.py", True, modules=("onnxruntime", "onnxscript")),
    ]
