"""The results of `compare.py`: samples, distances between outputs, and their table or JSON."""

from __future__ import annotations

import datetime
import math
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rendering import NONE, number, table
from tensors import relative_l2

# All programs compute in float32, in different orders. The tolerance is ten times the resulting difference for this
# network, and a hundredth of the difference of TF32 or f16.
TOLERANCE = 1e-5
COLUMNS = ["clip", "what", "min ms", "median ms", "max ms", "times ours", "start ms", "differs by", "at most by"]
RIGHT = range(2, 9)


@dataclass(frozen=True)
class Sample:
    """One turn: milliseconds for preparation and first run together, and for the runs after it."""

    start: float
    min: float
    median: float
    max: float

    @staticmethod
    def of(start: float, runs: list[float]) -> Sample:
        return Sample(start, min(runs), statistics.median(runs), max(runs))


@dataclass
class Result:
    """The result of a peer or of resnet3d; `missing` says how to get it, `error` why it failed."""

    key: str
    name: str
    setup: str = ""
    missing: str | None = None
    error: str | None = None
    version: str = ""
    configuration: str = ""
    device: str = ""
    samples: list[Sample] = field(default_factory=list)
    relative_l2: float | None = None
    max_abs: float | None = None

    def title(self) -> str:
        """Library, version and configuration."""
        return f"{self.name} {self.version}".strip() + (f", {self.setup}" if self.setup else "")

    def compare(self, values: np.ndarray, expected: np.ndarray) -> None:
        """Computes the distance of `values` from the output of resnet3d."""
        if values.shape != expected.shape:
            self.error = f"its output is {values.shape}, ours is {expected.shape}"
            return
        self.relative_l2 = relative_l2(values, expected)
        self.max_abs = float(np.max(np.abs(values.astype(np.float64) - expected)))

    def agrees(self) -> bool:
        """Whether the output agrees. NaN never agrees."""
        return self.relative_l2 is None or self.relative_l2 <= TOLERANCE

    def ms(self) -> Sample | None:
        """Over all turns: the median of the medians, the minimum and the maximum; the median of the starts."""
        if not self.samples:
            return None
        turns = self.samples
        start, median = (statistics.median(values) for values in zip(*((turn.start, turn.median) for turn in turns)))
        return Sample(start, min(turn.min for turn in turns), median, max(turn.max for turn in turns))


@dataclass
class Clip:
    """The results of a clip shape; resnet3d is the first."""

    shape: str
    results: list[Result]

    def rows(self) -> list[list[str]]:
        ours = self.results[0].ms()
        rows = [row(result, ours) for result in self.results]
        return [[self.shape if index == 0 else "", *cells] for index, cells in enumerate(rows)]


def row(result: Result, ours: Sample | None) -> list[str]:
    """The cells of a result, without the clip."""
    what, ms = result.title(), result.ms()
    if result.missing or result.error or ms is None:
        state = "failed" if result.error or not result.missing else result.missing.partition(":")[0]
        return [f"{what}: {state}", *[NONE] * 7]
    ratio = f"{ms.median / ours.median:.2f}" if ours and ours.median > 0 else NONE
    distance = NONE if result.relative_l2 is None else f"{result.relative_l2:.1e}"
    worst = NONE if result.max_abs is None else f"{result.max_abs:.1e}"
    if not result.agrees():
        distance += " DISAGREES"
    return [what, number(ms.min), number(ms.median), number(ms.max), ratio, number(ms.start), distance, worst]


@dataclass
class Report:
    """All clips, and how they were measured."""

    clips: list[Clip]
    cores: int
    rounds: int
    command: str
    # A network of torchvision instead of the flagship of the crate.
    network: str | None = None

    def results(self) -> list[Result]:
        return [result for clip in self.clips for result in clip.results]

    def passed(self) -> bool:
        return all(result.error is None and result.agrees() for result in self.results())

    def to_json(self) -> dict[str, Any]:
        def fields_of(result: Result, ours: Sample | None) -> dict[str, Any]:
            ms = result.ms()
            fields = asdict(result)
            fields.update((name, finite(fields[name])) for name in ("relative_l2", "max_abs"))
            ratio = ms.median / ours.median if ms and ours and ours.median > 0 else None
            return {**fields, "ms": asdict(ms) if ms else None, "times_ours": ratio, "agrees": result.agrees()}

        def clip(clip: Clip) -> dict[str, Any]:
            ours = clip.results[0].ms()
            return {"clip": clip.shape, "results": [fields_of(result, ours) for result in clip.results]}

        return {
            "date": today(),
            "command": self.command,
            **({"network": self.network} if self.network else {}),
            "processor": processor(),
            "cores": self.cores,
            "rounds": self.rounds,
            "tolerance": TOLERANCE,
            "passed": self.passed(),
            "clips": [clip(found) for found in self.clips],
        }

    def heading(self) -> list[str]:
        """The facts above the table."""
        lines = [f"date: {today()}", f"command: `{self.command}`", f"processor: {processor()}, {self.cores} cores"]
        if self.network:
            lines.append(f"network: torchvision's {self.network}, random weights and batch norms, from its state dict")
        seen = set()
        for result in self.results():
            if result.samples and result.key not in seen:
                seen.add(result.key)
                how = "" if result.configuration == result.setup else f"{result.configuration}; "
                lines.append(f"{result.title()}: {how}{result.device}")
        lines.append(f"rounds: {self.rounds}; in each, resnet3d and a peer take turns")
        blob = "pred" if self.network else "last blob"
        lines.append(f"differs by: relative L2 distance from our {blob}, {TOLERANCE:g} allowed; at most by: a value")
        return lines

    def notes(self) -> list[str]:
        """The reasons for rows without figures."""
        lines = []
        for clip in self.clips:
            for result in clip.results:
                if result.error:
                    lines.append(f"{result.title()}, {clip.shape}: failed: {result.error}")
                elif result.missing:
                    lines.append(f"{result.title()}: {result.missing}")
        return list(dict.fromkeys(lines))


def finite(value: float | None) -> float | None:
    """Replaces NaN and infinity by null, because JSON does not have them."""
    return value if value is not None and math.isfinite(value) else None


def today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def render(report: Report) -> str:
    """The report as Markdown."""
    facts, notes = (listed(lines) for lines in (report.heading(), report.notes()))
    rows = [cells for clip in report.clips for cells in clip.rows()]
    verdict = "" if report.passed() else "\nFAILED: outputs disagree, or an available program did not run.\n"
    body = f"# resnet3d and its peers\n\n{facts}\n{table(COLUMNS, RIGHT, rows)}\n"
    return body + (f"\n{notes}" if notes else "") + verdict


def listed(lines: list[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)
