"""Tests the table of `scripts/bench-gpu` with made-up reports.

    python3 -m unittest discover benches/peers
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import table

SHAPE = "1x3x8x224x224"
MACS = 15_125_000_000


def spread(median: float) -> dict[str, float]:
    return {"min": median * 0.9, "median": median, "max": median * 1.2}


def ours(gpu_ms: float | None = 10.0) -> dict[str, Any]:
    latency = spread(14.0)
    return {
        "adapter": "Some GPU",
        "backend": "vulkan",
        "driver": "driver 1.2",
        "precision": "f32",
        "latency_ms": latency,
        "gpu_ms": gpu_ms and spread(gpu_ms),
        "gflops": 2 * MACS / (gpu_ms or 14.0) / 1e6,
        "first_forward_ms": 20.0,
        "peak_gpu_bytes": 2**26,
        "dispatches": 24,
    }


def mode(name: str, median: float | None, relative: float | None, error: str | None = None) -> dict[str, Any]:
    return {
        "mode": name,
        "label": name.replace("-", " "),
        "ms": median and spread(median),
        "relative_l2": relative,
        "finite": relative is not None,
        "channels_last": True,
        "error": error,
    }


def peer(*modes: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "2.0",
        "device": "Some GPU",
        "cuda": "13.0",
        "cudnn": "9",
        "clock": "CUDA events",
        "macs": MACS,
        "tolerance": 1e-4,
        "compared": "res4_1_sum",
        "modes": list(modes),
    }


def verify(failed: int = 0) -> dict[str, Any]:
    row = {"name": "conv_gemm_tiled", "runs": 9, "failed": failed, "worst_relative": None if failed else 2e-7}
    return {"operators": 60, "bodies": 12, "seed": 1, "passed": not failed, "adapters": [{"rows": [row]}]}


class Table(unittest.TestCase):
    def run_table(self, files: dict[str, Any], clips: str = SHAPE) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                text = content if isinstance(content, str) else json.dumps(content)
                (Path(folder) / name).write_text(text)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = table.main([folder, "--clips", clips, "--date", "2026-01-02"])
            self.assertEqual((Path(folder) / "table.md").read_text(), printed.getvalue())
        return code, printed.getvalue()

    def row(self, text: str, what: str) -> list[str]:
        rows = [line for line in text.splitlines() if line.startswith("|") and f" {what} " in line]
        self.assertEqual(len(rows), 1, text)
        return [cell.strip() for cell in rows[0].strip("|").split(" | ")]

    def test_ratios_are_of_device_times(self) -> None:
        modes = [mode("f32-eager", 5.0, 1e-6), mode("f16-graph", 2.0, 1e-3)]
        modes.append(mode("tf32-graph", None, None, "no memory"))
        files = {"verify.json": verify(), f"bench-{SHAPE}.json": ours(), f"torch-{SHAPE}.json": peer(*modes)}
        code, text = self.run_table(files)
        self.assertEqual(code, 0, text)
        self.assertEqual(self.row(text, "resnet3d f32, device")[2:7], ["9.000", "10.00", "12.00", "3025.0", "–"])
        self.assertEqual(self.row(text, "PyTorch f32 eager, device")[6:], ["2.00", "differs by 1.0e-06"])
        self.assertEqual(self.row(text, "PyTorch f16 graph, device")[6:], ["5.00", "differs by 1.0e-03"])
        self.assertIn("failed: no memory", self.row(text, "PyTorch tf32 graph, device")[7])
        self.assertEqual(self.row(text, "resnet3d f32, latency")[6], "–")
        for fact in ["2026-01-02", "Some GPU, vulkan, driver driver 1.2", "verify: passed", "cuDNN 9"]:
            self.assertIn(fact, text)
        self.assertNotIn("different devices", text)

    def test_f32_that_disagrees_is_a_failure(self) -> None:
        for relative in (2e-4, None):
            files = {f"bench-{SHAPE}.json": ours(), f"torch-{SHAPE}.json": peer(mode("f32-graph", 5.0, relative))}
            code, text = self.run_table(files)
            self.assertEqual(code, 1, text)
            self.assertIn("DISAGREES", text)

    def test_a_clip_that_fails_is_a_row(self) -> None:
        other = "8x3x8x224x224"
        files = {
            f"bench-{SHAPE}.json": ours(),
            f"bench-{other}.json": "",
            f"bench-{other}.log": "working\nerror: blob conv1 needs more | than there is\nhint: less\n",
        }
        code, text = self.run_table(files, f"{SHAPE},{other}")
        self.assertEqual(code, 0, text)
        self.assertIn("failed: blob conv1 needs more \\| than there is", text)
        del files[f"bench-{SHAPE}.json"]
        self.assertEqual(self.run_table(files, f"{SHAPE},{other}")[0], 1, "nothing was measured")

    def test_no_timestamps_no_ratio(self) -> None:
        files = {f"bench-{SHAPE}.json": ours(None), f"torch-{SHAPE}.json": peer(mode("f32-eager", 5.0, 1e-6))}
        _, text = self.run_table(files)
        self.assertEqual(self.row(text, "PyTorch f32 eager, device")[6], "–")
        self.assertEqual(self.row(text, "resnet3d f32, device")[7], "no timestamp queries")

    def test_no_ratio_for_a_software_adapter(self) -> None:
        files = {
            "adapters.json": {"adapters": [{"name": "Some GPU", "type": "cpu"}]},
            f"bench-{SHAPE}.json": ours(),
            f"torch-{SHAPE}.json": peer(mode("f32-eager", 5.0, 1e-6)),
        }
        _, text = self.run_table(files)
        self.assertIn("software adapter", text)
        self.assertEqual(self.row(text, "PyTorch f32 eager, device")[6], "–")

    def test_what_failed_in_verify_is_named(self) -> None:
        _, text = self.run_table({"verify.json": verify(failed=3), f"bench-{SHAPE}.json": ours()})
        self.assertIn("verify: FAILED (conv_gemm_tiled)", text)
        unopened = {**verify(), "passed": False, "adapters": [{"error": "no device"}]}
        _, text = self.run_table({"verify.json": unopened, f"bench-{SHAPE}.json": ours()})
        self.assertIn("verify: FAILED (no device)", text)
        _, text = self.run_table({"verify.log": "error: device lost", f"bench-{SHAPE}.json": ours()})
        self.assertIn("verify: did not finish: device lost", text)

    def test_methods_are_compared_with_that_of_the_table(self) -> None:
        times = [{"method": name, "ms": ms, "runs": 9} for name, ms in [("b", 1.5), ("a", 2.0)]]
        times += [{"method": f"slow{ms}", "ms": ms, "runs": 1} for ms in range(3, 10)]
        one = {"operator": "conv1", "count": 2, "table": "a", "table_ms": 2.0, "times": times, "refused": ["c"]}
        wrong = {**one, "operator": "conv2", "table_ms": None, "times": times[:1], "refused": ["a"]}
        tune = {"clip": [1, 3, 8, 224, 224], "tuning": {"operators": [one, wrong], "gain": 0.25}}
        _, text = self.run_table({"tune.json": tune, f"bench-{SHAPE}.json": ours()})
        self.assertIn("## Methods, 1x3x8x224x224", text)
        self.assertIn("the network is +25.0 % faster", text)
        others = "b 0.75, slow3 1.50, slow4 2.00, slow5 2.50, slow6 3.00, slow7 3.50, 2 slower, c REFUSED"
        self.assertIn(others, self.row(text, "conv1"))
        self.assertIn("b, a REFUSED", self.row(text, "conv2"))
        _, text = self.run_table({"tune.log": "error: device lost", f"bench-{SHAPE}.json": ours()})
        self.assertIn("Tuning failed: device lost", text)
        _, text = self.run_table({f"bench-{SHAPE}.json": ours()})
        self.assertNotIn("uning", text)


if __name__ == "__main__":
    unittest.main()
