#!/usr/bin/env python3
"""Prints the measurements of `scripts/bench-gpu` as a Markdown table: resnet3d and the peer, with ratios.

Reads the raw JSON and logs in OUT (verify.json, adapters.json, bench-CLIP.json, torch-CLIP.json), prints the table, and
writes it to OUT/table.md. With tune.json, a second table has the methods of every kind of operator. The exit code is 1
if no clip was measured or the outputs disagree. Needs only the standard library.

Usage:
  python3 benches/peers/table.py OUT --clips 1x3x8x224x224,8x3x8x224x224 --command 'scripts/bench-gpu'
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from rendering import NONE, number, table

Json = dict[str, Any]
COLUMNS = ["clip", "what", "min ms", "median ms", "max ms", "GFLOP/s", "ours/peer", "note"]
RIGHT = range(2, 7)
TUNE_COLUMNS = ["operator", "count", "method of the table", "ms", "others, relative time"]
TUNE_RIGHT = (1, 3)
SHOWN = 6  # methods shown in addition to the table's; tune.json has all


@dataclass(frozen=True)
class Clip:
    """The reports of one clip, or the errors."""

    shape: str
    ours: Optional[Json]
    ours_error: str
    peer: Optional[Json]
    peer_error: str


@dataclass
class Session:
    """All measurements."""

    clips: list[Clip]
    verify: Optional[Json] = None
    verify_error: str = ""
    tune: Optional[Json] = None
    tune_error: str = ""
    adapters: Json = field(default_factory=dict)
    command: str = "scripts/bench-gpu"
    date: str = ""
    program: str = "resnet3d"
    peer_skipped: str = ""


def read_json(path: Path) -> Optional[Json]:
    """The JSON object in a file, or None. A program that fails leaves an empty file."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def reason(log: Path) -> str:
    """The message of a failed program: its last line that starts with `error:`, or else its last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "no log"
    errors = [line for line in lines if line.startswith("error:")]
    return (errors or lines or ["no message"])[-1].removeprefix("error:").strip()


def read_session(out: Path, clips: list[str]) -> Session:
    def clip(shape: str) -> Clip:
        logs = [out / f"{program}-{shape}.log" for program in ("bench", "torch")]
        reports = [read_json(log.with_suffix(".json")) for log in logs]
        return Clip(
            shape,
            reports[0],
            "" if reports[0] else reason(logs[0]),
            reports[1],
            "" if reports[1] or not logs[1].exists() else reason(logs[1]),
        )

    verify, tune = read_json(out / "verify.json"), read_json(out / "tune.json")
    return Session(
        clips=[clip(shape) for shape in clips],
        verify=verify,
        verify_error="" if verify else reason(out / "verify.log"),
        tune=tune,
        tune_error="" if tune or not (out / "tune.log").exists() else reason(out / "tune.log"),
        adapters=read_json(out / "adapters.json") or {},
    )


def flops_of(ours: Json) -> float:
    """The floating-point operations of a forward. The GFLOP/s of the report are over gpu_ms, or else over latency."""
    return ours["gflops"] * 1e6 * (ours["gpu_ms"] or ours["latency_ms"])["median"]


def timed(what: str, ms: Json, flops: float, ratio: str, note: str) -> list[str]:
    speed = number(flops / ms["median"] / 1e6) if ms["median"] > 0 else NONE
    return [what, number(ms["min"]), number(ms["median"]), number(ms["max"]), speed, ratio, note]


def failed(what: str, why: str) -> list[str]:
    return [what, NONE, NONE, NONE, NONE, NONE, f"failed: {why}"]


def is_software(session: Session) -> bool:
    """Whether the measured adapter is a software adapter."""
    names = {clip.ours["adapter"] for clip in session.clips if clip.ours}
    types = [adapter.get("type") for adapter in session.adapters.get("adapters", []) if adapter.get("name") in names]
    return bool(types) and all(kind == "cpu" for kind in types)


def peer_rows(clip: Clip, comparable: bool) -> list[list[str]]:
    if clip.peer is None:
        return [failed("PyTorch", clip.peer_error)] if clip.peer_error else []
    rows, ours = [], clip.ours["gpu_ms"] if clip.ours else None
    on_cpu = clip.peer["device"] == "CPU"
    for mode in clip.peer["modes"]:
        what = f"PyTorch {mode['label']}, {'CPU' if on_cpu else 'device'}"
        if mode["ms"] is None:
            rows.append(failed(what, mode["error"]))
            continue
        ratio = NONE
        if comparable and ours and not on_cpu and mode["ms"]["median"] > 0:
            ratio = f"{ours['median'] / mode['ms']['median']:.2f}"
        rows.append(timed(what, mode["ms"], 2 * clip.peer["macs"], ratio, peer_note(mode, clip.peer)))
    return rows


def peer_note(mode: Json, peer: Json) -> str:
    """The distance of its output from ours."""
    if mode["error"]:
        return mode["error"]
    if not peer["compared"]:
        return "outputs not compared"
    difference = mode["relative_l2"]
    text = "differs by NaN" if difference is None else f"differs by {difference:.1e}"
    if disagrees(mode, peer):
        text += f", DISAGREES (allowed {peer['tolerance']:g})"
    text += "" if mode["finite"] else ", not finite"
    # All results should be channels last on a CUDA device. On the CPU, PyTorch uses other layouts.
    return text + (", not all channels last" if peer["cuda"] and not mode["channels_last"] else "")


def disagrees(mode: Json, peer: Json) -> bool:
    """Whether a float32 mode was compared and exceeds the tolerance. Other modes are only reported."""
    if not mode["mode"].startswith("f32") or not peer["compared"] or mode["ms"] is None:
        return False
    return mode["relative_l2"] is None or mode["relative_l2"] > peer["tolerance"]


def clip_rows(clip: Clip, comparable: bool) -> list[list[str]]:
    """The rows of one clip. The first has the name of the clip."""
    rows, ours = [], clip.ours
    if ours is None:
        rows.append(failed("resnet3d", clip.ours_error))
    else:
        flops, name = flops_of(ours), f"resnet3d {ours['precision']}"
        first = f"first forward {number(ours['first_forward_ms'])} ms"
        rows.append(timed(f"{name}, latency", ours["latency_ms"], flops, NONE, first))
        if ours["gpu_ms"]:
            note = f"{ours['dispatches']} dispatches, {ours['peak_gpu_bytes'] / 2**20:.0f} MiB"
            rows.append(timed(f"{name}, device", ours["gpu_ms"], flops, NONE, note))
        else:
            rows.append([f"{name}, device", NONE, NONE, NONE, NONE, NONE, "no timestamp queries"])
    rows += peer_rows(clip, comparable)
    if ours and clip.peer and clip.peer["macs"] and abs(flops_of(ours) / 2 / clip.peer["macs"] - 1) > 1e-3:
        rows[-1][-1] += f"; counts {clip.peer['macs'] / 1e9:.3f} GMAC, resnet3d {flops_of(ours) / 2e9:.3f}"
    return [[clip.shape if index == 0 else "", *row] for index, row in enumerate(rows)]


def verify_line(session: Session) -> str:
    if session.verify is None:
        return f"verify: did not finish: {session.verify_error}"
    report = session.verify
    rows = [row for adapter in report["adapters"] for row in adapter.get("rows", [])]
    # NaN is null in JSON, and counts as failed.
    bad = [row["name"] for row in rows if row["failed"]]
    bad += [adapter["error"] for adapter in report["adapters"] if adapter.get("error")]
    worst = max((row["worst_relative"] for row in rows if row["worst_relative"] is not None), default=None)
    drawn = f"{report['operators']} operators and {report['bodies']} bodies, seed {report['seed']}"
    drawn += f", worst relative L2 {worst:.1e}" if worst is not None else ""
    return f"verify: passed, {drawn}" if report["passed"] else f"verify: FAILED ({', '.join(bad)}), {drawn}"


def heading(session: Session) -> list[str]:
    """The facts above the table."""
    ours = next((clip.ours for clip in session.clips if clip.ours), None)
    peer = next((clip.peer for clip in session.clips if clip.peer), None)
    lines = [f"date: {session.date}", f"command: `{session.command}`"]
    if ours:
        lines.append(f"{session.program}: {ours['adapter']}, {ours['backend']}, driver {ours['driver']}")
    if is_software(session):
        lines.append("software adapter: these times say nothing about a GPU")
    lines.append(verify_line(session))
    if peer:
        cuda = f", CUDA {peer['cuda']}, cuDNN {peer['cudnn']}" if peer["cuda"] else ""
        lines.append(f"PyTorch {peer['version']}: {peer['device']}{cuda}, times by {peer['clock']}")
        if ours and peer["cuda"] and not same_device(ours["adapter"], peer["device"]):
            lines.append("the two may have run on different devices: compare the names above")
    elif session.peer_skipped:
        lines.append(f"PyTorch: skipped, {session.peer_skipped}")
    lines.append("ours/peer: ratio of the median device times; below 1, resnet3d is faster")
    return lines


def same_device(adapter: str, device: str) -> bool:
    adapter, device = adapter.lower(), device.lower()
    return adapter in device or device in adapter


def render(session: Session) -> str:
    comparable = not is_software(session)
    rows = [row for clip in session.clips for row in clip_rows(clip, comparable)]
    facts = "\n".join(f"- {line}" for line in heading(session))
    text = f"# resnet3d and PyTorch\n\n{facts}\n\n{table(COLUMNS, RIGHT, rows)}\n"
    return text + tune_section(session)


def tune_section(session: Session) -> str:
    """The methods of every kind of operator; empty without a tuning."""
    if session.tune is None:
        return f"\nTuning failed: {session.tune_error}\n" if session.tune_error else ""
    tuning = session.tune["tuning"]
    rows = table(TUNE_COLUMNS, TUNE_RIGHT, [tune_row(operator) for operator in tuning["operators"]])
    gain = f"with the fastest of each, the network is {tuning['gain'] * 100:+.1f} % faster than with the fixed table"
    clip = "x".join(str(extent) for extent in session.tune["clip"])
    return f"\n## Methods, {clip}\n\nMedians of operators alone; {gain}.\n\n{rows}\n"


def tune_row(operator: Json) -> list[str]:
    """A kind of operator: the time of the method of the table, and the relative times of the others, fastest first."""
    base = operator["table_ms"]
    others = [timed for timed in operator["times"] if timed["method"] != operator["table"]]
    notes = [f"{timed['method']} {timed['ms'] / base:.2f}" if base else timed["method"] for timed in others[:SHOWN]]
    notes += [f"{len(others) - SHOWN} slower"] if len(others) > SHOWN else []
    notes += [f"{name} REFUSED" for name in operator["refused"]]
    shown = NONE if base is None else number(base)
    return [operator["operator"], str(operator["count"]), operator["table"], shown, ", ".join(notes) or NONE]


def is_good(session: Session) -> bool:
    """Whether at least one clip was measured and all outputs agree."""
    peers = [clip.peer for clip in session.clips if clip.peer]
    agrees = not any(disagrees(mode, peer) for peer in peers for mode in peer["modes"])
    return agrees and any(clip.ours for clip in session.clips)


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder with the raw JSON")
    parser.add_argument("--clips", required=True, help="comma-separated shapes, in the order of the table")
    parser.add_argument("--command", default="scripts/bench-gpu", help="the command line, for the heading")
    parser.add_argument("--date", default="", help="for the heading")
    parser.add_argument("--program", default="resnet3d", help="name and version, for the heading")
    parser.add_argument("--peer-skipped", default="", metavar="WHY", help="why there is no peer, if there is none")
    args = parser.parse_args(arguments)
    session = read_session(args.out, args.clips.split(","))
    session.command, session.date, session.program = args.command, args.date, args.program
    session.peer_skipped = args.peer_skipped
    try:
        text = render(session)
    except (KeyError, TypeError) as error:
        print(f"error: a report in {args.out} is not as expected: {error!r}", file=sys.stderr)
        return 1
    (args.out / "table.md").write_text(text)
    print(text, end="")
    return 0 if is_good(session) else 1


if __name__ == "__main__":
    sys.exit(main())
