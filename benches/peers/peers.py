"""The peers of `scripts/bench-peers`: how to run each, and how to get it if it is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Networks of torchvision.models.video, by the names of its functions, which are also those of resnet3d's presets.
NETWORKS = ("r3d_18", "mc3_18", "r2plus1d_18")
# The Python packages that build them.
TORCHVISION = ("torch", "torchvision")


@dataclass(frozen=True)
class Peer:
    """A configuration of a library."""

    key: str
    # The library, and its configuration if there are several.
    name: str
    setup: str
    # A crate in this folder and its binary, or None and a script in this folder.
    crate: str | None
    program: str
    # Whether it reads an ONNX file. Otherwise it reads weights named by blob.
    onnx: bool = False
    options: tuple[str, ...] = ()
    features: str = ""
    modules: tuple[str, ...] = ()
    # Whether it takes all its turns at once, because it starts slowly.
    once: bool = False

    @property
    def binary(self) -> Path:
        """The path of the binary."""
        target = os.environ.get("CARGO_TARGET_DIR")
        return (Path(target) if target else HERE / str(self.crate) / "target") / "release" / self.program

    def command(self) -> list[str]:
        """The command, without the arguments of the protocol."""
        start = [str(self.binary)] if self.crate else [sys.executable, str(HERE / self.program)]
        return [*start, *self.options]

    def missing(self) -> str | None:
        """The missing prerequisites and how to get them, if any."""
        if self.crate and not self.binary.exists():
            features = f" --features {self.features}" if self.features else ""
            manifest = f"--manifest-path benches/peers/{self.crate}/Cargo.toml"
            return f"not built: `cargo build --release --locked {manifest}{features} --bin {self.program}`"
        modules = self.modules + (("onnx",) if self.onnx else ())
        return missing_modules(modules)


def missing_modules(modules: tuple[str, ...]) -> str | None:
    """The missing ones of these Python packages and how to get them, if any."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        return f"no Python package {' or '.join(absent)}: `pip install -r benches/peers/requirements.txt`"
    return None


def known(software: bool) -> list[Peer]:
    """All peers, those that use the adapter first. `software`: whether it is a software adapter."""
    wgpu = ("--device", "wgpu-cpu" if software else "wgpu")

    def tuned(key: str, setup: str, program: str, features: str) -> Peer:
        # It benchmarks kernels for a minute, and does not keep the result.
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
    """The peers for one of NETWORKS. There is no implementation of these networks for burn and tract here."""
    return [
        Peer("pytorch", "PyTorch", "", None, "torchvision_cpu.py", options=("--network", network), modules=TORCHVISION),
        # PyTorch needs onnxscript to export ONNX.
        Peer("onnxruntime", "ONNX Runtime", "", None, "onnx_resnet3d.py", True, modules=("onnxruntime", "onnxscript")),
    ]
