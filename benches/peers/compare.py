#!/usr/bin/env python3
"""Runs resnet3d and its peers in turn on the same weights and clips, compares their outputs, and prints one table.

Call it through `scripts/bench-peers`; the README describes the measurements. Needs numpy; peers need more.
The exit code is 1 if outputs disagree, or if resnet3d or an available peer fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers import HERE, NETWORKS, TORCHVISION, Peer, known, missing_modules, of_torchvision

try:
    import numpy as np

    from comparison import Clip, Report, Result, Sample, render
    from network import Failure
    from protocol import cores, positive
    from tensors import parse_shape, read_safetensors
except ImportError as problem:
    sys.exit(f"error: {problem}\nhint: this needs the Python package numpy; PYTHON names another Python")

ROOT = HERE.parents[1]
KEYS = [peer.key for peer in known(software=True)]
# torchvision's networks are trained on clips of 16 frames of 112 x 112.
CLIP, NETWORK_CLIP = "1x3x8x224x224", "1x3x16x112x112"
NETWORK_KEYS = [peer.key for peer in of_torchvision(NETWORKS[0])]


def call(command: Sequence[str], log: Path) -> str:
    """Runs `command` and returns its output. Its standard error goes to `log`, and is the message if it fails."""
    try:
        with log.open("a") as file:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, text=True, check=False)
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error:")]
        message = (errors or lines or ["no message"])[-1]
        code = done.returncode
        end = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise Failure(f"{Path(command[0]).name} ended with {end}: {message}")
    return done.stdout


def call_json(command: Sequence[str], log: Path) -> dict[str, Any]:
    printed = call(command, log)
    try:
        return json.loads(printed)
    except ValueError as error:
        raise Failure(f"{Path(command[0]).name} did not print JSON: {error}") from error


class Body:
    """The flagship of the crate, whose last blob is compared."""

    weights = "weights.safetensors"
    taps: tuple[str, ...] = ()

    def make_weights(self, weights: Path) -> list[str]:
        return ["inputs.py", "--weights", str(weights)]

    def make_onnx(self, weights: Path, model: Path, clip: str) -> list[str]:
        return ["export_onnx.py", str(weights), str(model), "--clip", clip]

    def peers(self, software: bool) -> list[Peer]:
        return known(software)

    def compared(self, features: Path) -> np.ndarray:
        """The only tensor that `resnet3d bench` writes without taps."""
        (blob,) = read_safetensors(features)[0].values()
        return blob


class Published:
    """A network of torchvision, from a file as torchvision publishes it. `pred` is compared."""

    taps = ("pred",)

    def __init__(self, network: str) -> None:
        lacking = missing_modules(TORCHVISION)
        if lacking:
            raise Failure(f"--network {network} needs torchvision: {lacking}, or name another Python with PYTHON")
        self.network, self.weights = network, f"{network}.pth"

    def make_weights(self, weights: Path) -> list[str]:
        return ["torchvision_files.py", "weights", self.network, str(weights)]

    def make_onnx(self, weights: Path, model: Path, clip: str) -> list[str]:
        return ["torchvision_files.py", "onnx", self.network, str(weights), str(model), "--clip", clip]

    def peers(self, software: bool) -> list[Peer]:
        return of_torchvision(self.network)

    def compared(self, features: Path) -> np.ndarray:
        """`pred` is N x classes x 1 x 1 x 1 here, but N x classes in torchvision."""
        blobs, _ = read_safetensors(features)
        return blobs["pred"][:, :, 0, 0, 0]


class Bench:
    """The state that all clips share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.subject = Published(args.network) if args.network else Body()
        # A separate folder for each network.
        self.args, self.out = args, args.out / (args.network or "")
        self.out.mkdir(parents=True, exist_ok=True)
        self.weights = self.out / self.subject.weights
        self.python(*self.subject.make_weights(self.weights))
        args.version = call([str(args.binary), "--version"], self.out / "version.log").split()[-1]
        adapters = call_json([*self.ours(), "adapters", "--json"], self.out / "adapters.log")
        chosen = adapters["adapters"][adapters["default"]]
        self.peers = [peer for peer in self.subject.peers(chosen["type"] == "cpu") if peer.key in args.peers]

    def ours(self) -> list[str]:
        adapter = [("--adapter", self.args.adapter), ("--backend", self.args.backend)]
        return [str(self.args.binary), *(part for pair in adapter if pair[1] for part in pair)]

    def python(self, script: str, *arguments: str) -> None:
        call([sys.executable, str(HERE / script), *arguments], self.out / f"{Path(script).stem}.log")

    def clip(self, shape: str) -> Clip:
        """Measures one clip: in every round each peer, with resnet3d immediately before it."""
        folder = self.out / shape
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        data = folder / "clip.safetensors"
        self.python("inputs.py", "--clip", shape, str(data))
        ours = Result("resnet3d", "resnet3d")
        results = {peer.key: Result(peer.key, peer.name, peer.setup, peer.missing()) for peer in self.peers}
        available = [peer for peer in self.peers if results[peer.key].missing is None]
        if any(peer.onnx for peer in available):
            self.python(*self.subject.make_onnx(self.weights, folder / "body.onnx", shape))
        for round_ in range(self.args.rounds):
            print(f"{shape}, round {round_ + 1} of {self.args.rounds}", file=sys.stderr, flush=True)
            for peer in [peer for peer in available if round_ == 0 or not peer.once] or [None]:
                self.run_ours(ours, data, folder)
                if peer is not None and results[peer.key].error is None:
                    self.run_peer(results[peer.key], peer, data, folder)
        expected = self.subject.compared(folder / "resnet3d.safetensors") if ours.error is None else None
        for peer in available:
            if results[peer.key].error is None and expected is not None:
                results[peer.key].compare(read_safetensors(folder / f"{peer.key}.safetensors")[0]["output"], expected)
        return Clip(shape, [ours, *results.values()])

    def run_ours(self, result: Result, data: Path, folder: Path) -> None:
        command = [*self.ours(), "bench", "--json", "--weights", str(self.weights), "--input", str(data)]
        command += ["--runs", str(self.args.runs), "--output", str(folder / "resnet3d.safetensors")]
        command += ["--taps", ",".join(self.subject.taps)] if self.subject.taps else []
        try:
            report = call_json(command, folder / "resnet3d.log")
        except Failure as failure:
            result.error = str(failure)
            return
        result.version, result.configuration = self.args.version, report["precision"]
        result.device = f"{report['adapter']}, {report['backend']}, {report['driver']}"
        result.samples.append(Sample(report["prepare_ms"] + report["first_forward_ms"], **report["latency_ms"]))

    def run_peer(self, result: Result, peer: Peer, data: Path, folder: Path) -> None:
        print(f"  {result.title()}", file=sys.stderr, flush=True)
        model = folder / "body.onnx" if peer.onnx else self.weights
        turns = self.args.rounds if peer.once else 1
        command = [*peer.command(), "--model", str(model), "--clip", str(data)]
        command += ["--runs", str(turns * self.args.runs), "--seconds", str(turns * self.args.seconds)]
        command += ["--output", str(folder / f"{peer.key}.safetensors")]
        try:
            report = call_json(command, folder / f"{peer.key}.log")
        except Failure as failure:
            result.error = str(failure)
            return
        result.version, result.configuration = report["version"], report["configuration"]
        result.device = report["device"]
        result.samples.append(Sample.of(report["prepare_ms"] + report["first_ms"], report["runs_ms"]))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench-peers",
        description="Runs the same network, weights and clips in turn in resnet3d and in every peer that is built or "
        "installed, checks that their outputs agree, and prints one table.",
        epilog="Progress goes to stderr, raw logs and outputs to --out. The text under the table says how to get "
        "missing peers. The exit code is 1 if outputs disagree, or if resnet3d or an available peer fails; 2 for wrong "
        "usage. PYTHON names the Python with numpy and the packages of the peers; default python3.",
    )
    out = ROOT / "target" / "bench-peers"
    parser.add_argument(
        "--network",
        metavar="NAME",
        type=parse_network,
        help=f"a network of torchvision: {', '.join(NETWORKS)}; default the flagship of the crate",
    )
    clips = f"default {CLIP}, with --network {NETWORK_CLIP}"
    keys = f"default all: {','.join(KEYS)}; with --network only {','.join(NETWORK_KEYS)}"
    parser.add_argument("--clips", metavar="A,B,…", type=parse_clips, help=clips)
    parser.add_argument("--peers", metavar="A,B,…", type=parse_peers, help=keys)
    parser.add_argument("--rounds", metavar="N", type=positive, default=3, help="turns of each program; default 3")
    parser.add_argument("--runs", metavar="N", type=positive, default=5, help="maximum of measured runs; default 5")
    parser.add_argument("--seconds", metavar="S", type=float, default=8, help="no run begins after this; default 8")
    parser.add_argument("--adapter", metavar="SUBSTRING", help="for resnet3d, as in `resnet3d bench`")
    parser.add_argument("--backend", metavar="NAME", help="for resnet3d, as in `resnet3d bench`")
    parser.add_argument("--binary", metavar="PATH", type=Path, help="default target/release/resnet3d, built if missing")
    parser.add_argument("--out", metavar="DIR", type=Path, default=out, help="default target/bench-peers")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(arguments)
    args.clips = args.clips or [NETWORK_CLIP if args.network else CLIP]
    possible = NETWORK_KEYS if args.network else KEYS
    args.peers = args.peers or possible
    outside = [key for key in args.peers if key not in possible]
    if outside:
        parser.error(f"--network {args.network} supports {', '.join(possible)}, but not {', '.join(outside)}")
    return args


def shown(arguments: list[str]) -> list[str]:
    """`arguments` without paths, which are specific to this machine, and without --json."""
    parser = argparse.ArgumentParser(add_help=False)
    for path in ("--binary", "--out"):
        parser.add_argument(path)
    parser.add_argument("--json", action="store_true")
    return parser.parse_known_args(arguments)[1]


def parse_clips(text: str) -> list[str]:
    return ["x".join(map(str, parse_shape(part))) for part in text.split(",")]


def parse_network(text: str) -> str:
    if text not in NETWORKS:
        raise argparse.ArgumentTypeError(f"unknown network {text!r}; known are {', '.join(NETWORKS)}")
    return text


def parse_peers(text: str) -> list[str]:
    for key in text.split(","):
        if key not in KEYS:
            raise argparse.ArgumentTypeError(f"unknown peer {key!r}; known are {', '.join(KEYS)}")
    return text.split(",")


def program() -> Path:
    """`target/release/resnet3d`, which is built if it is missing."""
    path = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release" / "resnet3d"
    if not path.exists():
        if shutil.which("cargo") is None:
            raise Failure(f"{path} is missing, and there is no cargo to build it; --binary names another")
        print("building resnet3d", file=sys.stderr, flush=True)
        manifest = ["--manifest-path", str(ROOT / "Cargo.toml")]
        build = ["cargo", "build", "--release", "--locked", "--bin", "resnet3d", *manifest]
        if subprocess.run(build, stdout=sys.stderr, check=False).returncode:
            raise Failure("resnet3d could not be built")
    return path


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(arguments)
    try:
        args.binary = (args.binary or program()).resolve()
        bench = Bench(args)
        clips = [bench.clip(shape) for shape in args.clips]
        command = shlex.join(["scripts/bench-peers", *shown(arguments)])
        report = Report(clips, cores(), args.rounds, command, args.network)
    except (Failure, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(report.to_json(), indent=2) if args.json else render(report).rstrip())
    return 0 if report.passed() else 1


if __name__ == "__main__":
    sys.exit(main())
