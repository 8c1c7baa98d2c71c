"""Tests the table of `scripts/bench-peers` with made-up results and with fake programs.

    python3 -m unittest discover benches/peers

Skipped, visibly, without numpy.
"""

from __future__ import annotations

import contextlib
import io
import json
import stat
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

try:
    import numpy as np

    import compare
    from comparison import Clip, Report, Result, Sample, render
    from peers import Peer
except (ImportError, SystemExit) as problem:
    raise unittest.SkipTest(f"no numpy: {problem}") from None

SHAPE = "1x3x2x32x32"
PRETENDED = """#!{python}
import json, sys
sys.path.insert(0, {here!r})
from pathlib import Path
import numpy as np
from tensors import write_safetensors

words = sys.argv[1:]
if "--version" in words:
    print("resnet3d 9.9.9")
elif "adapters" in words:
    print(json.dumps({{"default": 0, "adapters": [{{"type": "cpu"}}]}}))
elif {fails}:
    sys.exit("error: it broke")
else:
    path = Path(words[words.index("--output") + 1])
    tensors = {{"output": np.full((1, 3) if "--network" in words else (1, 2, 1, 1, 1), {value}, np.float32)}}
    if "--taps" in words:
        # As by resnet3d, the last blob is there too.
        tensors[words[words.index("--taps") + 1]] = np.full((1, 3, 1, 1, 1), {value}, np.float32)
    write_safetensors(path, tensors)
    identity = {{"peer": "x", "version": "1", "configuration": "f32", "precision": "f32", "device": "d"}}
    where = {{"adapter": "a", "backend": "b", "driver": "c"}}
    ours = {{"first_forward_ms": 5.0, "latency_ms": {{"min": 1.0, "median": 2.0, "max": 3.0}}}}
    print(json.dumps({{**identity, **where, **ours, "prepare_ms": 1.0, "first_ms": 2.0, "runs_ms": [8.0, 4.0, 9.0]}}))
"""


def result(key: str, *medians: float) -> Result:
    samples = [Sample(10 * median, median - 1, median, median + 1) for median in medians]
    return Result(key, key, version="1.2", configuration="f32", device="device", samples=samples)


def cells(text: str, what: str) -> list[str]:
    (row,) = [line for line in text.splitlines() if line.startswith("|") and f" {what} " in line]
    return [cell.strip() for cell in row.strip("|").split(" | ")]


class Table(unittest.TestCase):
    def report(self, *results: Result) -> Report:
        return Report([Clip(SHAPE, list(results))], cores=2, rounds=3, command="scripts/bench-peers")

    def test_medians_of_turns_and_ratios(self) -> None:
        peer = result("peer", 9.0, 7.0, 8.0)
        peer.compare(np.array([3.0, 4.0]), np.array([3.0, 4.00002]))
        report = self.report(result("resnet3d", 5.0, 2.0, 4.0), peer)
        self.assertTrue(report.passed())
        text = render(report)
        self.assertEqual(cells(text, "resnet3d 1.2")[2:], ["1.000", "4.000", "6.000", "1.00", "40.00", "–", "–"])
        expected = ["6.000", "8.000", "10.00", "2.00", "80.00", "4.0e-06", "2.0e-05"]
        self.assertEqual(cells(text, "peer 1.2")[2:], expected)
        self.assertEqual(report.to_json()["clips"][0]["results"][1]["times_ours"], 2.0)

    def test_what_disagrees_fails(self) -> None:
        for values in ([3.0, 4.1], [3.0, np.nan], [3.0, np.inf]):
            with self.subTest(values):
                peer = result("peer", 9.0)
                peer.compare(np.array(values), np.array([3.0, 4.0]))
                report = self.report(result("resnet3d", 5.0), peer)
                self.assertFalse(report.passed())
                self.assertIn("DISAGREES", render(report))
                json.dumps(report.to_json(), allow_nan=False)
        peer = result("peer", 9.0)
        peer.compare(np.zeros(3), np.zeros(4))
        report = self.report(result("resnet3d", 5.0), peer)
        self.assertFalse(report.passed())
        self.assertIn("peer 1.2, 1x3x2x32x32: failed: its output is (3,), ours is (4,)", render(report))

    def test_what_is_not_there_is_no_failure(self) -> None:
        report = self.report(result("resnet3d", 5.0), Result("peer", "peer", missing="not built: `make it`"))
        self.assertTrue(report.passed())
        text = render(report)
        self.assertEqual(cells(text, "peer: not built")[2:], ["–"] * 7)
        self.assertIn("- peer: not built: `make it`", text)

    def test_nothing_of_ours(self) -> None:
        ours = Result("resnet3d", "resnet3d", error="no adapter")
        report = self.report(ours, result("peer", 9.0))
        self.assertFalse(report.passed())
        self.assertEqual(cells(render(report), "peer 1.2")[5], "–")


class Runs(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def pretend(self, name: str, value: float = 1.0, fails: bool = False) -> Path:
        """A fake resnet3d or peer that writes `value` everywhere, or fails."""
        path = self.folder / name
        path.write_text(PRETENDED.format(python=sys.executable, here=str(compare.HERE), value=value, fails=fails))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def run_it(self, program: Path, *more: str) -> tuple[int, str]:
        peer = Peer("tract", "a peer", "plain", "tract", str(program))
        arguments = ["--binary", str(self.pretend("resnet3d")), "--out", str(self.folder / "out")]
        arguments += ["--clips", SHAPE, "--peers", "tract", "--rounds", "2", *more]
        printed, said = io.StringIO(), io.StringIO()
        with mock.patch.object(compare, "known", lambda software: [peer]):
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
                return compare.main(arguments), printed.getvalue()

    def test_in_turn(self) -> None:
        code, text = self.run_it(self.pretend("peer", 1 + 1e-6))
        self.assertEqual(code, 0, text)
        self.assertEqual(cells(text, "a peer 1, plain")[2:6], ["4.000", "8.000", "9.000", "4.00"])
        self.assertIn("command: `scripts/bench-peers --clips 1x3x2x32x32 --peers tract --rounds 2`", text)
        self.assertIn("resnet3d 9.9.9: f32; a, b, c", text)

    def test_a_disagreement_or_failure_is_an_exit_code(self) -> None:
        code, text = self.run_it(self.pretend("peer", 1.1), "--json")
        self.assertEqual((code, json.loads(text)["passed"]), (1, False))
        code, text = self.run_it(self.pretend("peer", fails=True))
        self.assertEqual(code, 1)
        self.assertIn("a peer, plain, 1x3x2x32x32: failed: peer ended with exit code 1: error: it broke", text)

    def test_a_peer_that_is_not_built(self) -> None:
        code, text = self.run_it(self.folder / "nowhere")
        self.assertEqual(code, 0)
        self.assertIn("a peer, plain: not built: `cargo build --release --locked --manifest-path benches/peers", text)
        self.assertEqual(cells(text, "resnet3d 9.9.9")[3], "2.000")

    def run_network(self, value: float, *more: str) -> tuple[int, str, list[tuple[str, ...]]]:
        """Runs r3d_18 with a peer that writes `value`. The scripts for its files need PyTorch and are only recorded."""
        peer = Peer("pytorch", "a peer", "", "crate", str(self.pretend("peer", value)), options=("--network", "r3d_18"))
        arguments = ["--network", "r3d_18", "--binary", str(self.pretend("resnet3d")), "--rounds", "1", *more]
        arguments += ["--out", str(self.folder / "out")]
        asked: list[tuple[str, ...]] = []
        with contextlib.ExitStack() as stack:
            printed = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(mock.patch.object(compare, "missing_modules", lambda modules: None))
            stack.enter_context(mock.patch.object(compare, "of_torchvision", lambda network: [peer]))
            stack.enter_context(mock.patch.object(compare.Bench, "python", lambda self, *words: asked.append(words)))
            return compare.main(arguments), printed.getvalue(), asked

    def test_a_network_of_torchvision_is_compared_by_its_scores(self) -> None:
        code, text, asked = self.run_network(1 + 1e-6)
        self.assertEqual(code, 0, text)
        weights = str(self.folder / "out" / "r3d_18" / "r3d_18.pth")
        self.assertEqual(asked[0], ("torchvision_files.py", "weights", "r3d_18", weights))
        self.assertEqual(asked[1][:2], ("inputs.py", "--clip"))
        self.assertEqual(cells(text, "a peer 1")[0], "")
        self.assertEqual(cells(text, "resnet3d 9.9.9")[0], "1x3x16x112x112")
        self.assertIn("- network: torchvision's r3d_18", text)
        self.assertIn("from our pred, 1e-05 allowed", text)
        code, text, _ = self.run_network(1.1)
        self.assertEqual(code, 1)
        self.assertIn("DISAGREES", cells(text, "a peer 1")[-2])
        _, text, _ = self.run_network(1.0, "--json", "--clips", SHAPE)
        self.assertEqual([json.loads(text)["network"], json.loads(text)["clips"][0]["clip"]], ["r3d_18", SHAPE])

    def test_without_a_network_nothing_is_said_of_one(self) -> None:
        code, text = self.run_it(self.pretend("peer"), "--json")
        self.assertEqual(code, 0)
        self.assertNotIn("network", json.loads(text))
        code, text = self.run_it(self.pretend("peer"))
        self.assertNotIn("torchvision", text)
        self.assertIn("from our last blob", text)

    def test_a_network_needs_torchvision(self) -> None:
        said = io.StringIO()
        with mock.patch.object(compare, "missing_modules", lambda modules: f"no Python package {modules[1]}: `get it`"):
            with contextlib.redirect_stderr(said):
                arguments = ["--binary", str(self.pretend("resnet3d")), "--out", str(self.folder / "out")]
                self.assertEqual(compare.main(["--network", "mc3_18", *arguments]), 1)
        expected = "error: --network mc3_18 is built by torchvision: no Python package torchvision: `get it`"
        self.assertIn(expected, said.getvalue())

    def test_who_takes_no_part_is_refused(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as ended:
            compare.main(["--network", "r3d_18", "--peers", "pytorch,burn,tract"])
        self.assertEqual(ended.exception.code, 2)
        self.assertIn("--network r3d_18 supports pytorch, onnxruntime, but not burn, tract", said.getvalue())

    def test_wrong_usage(self) -> None:
        wrong_network = ["--network", "r3d_34"]
        for arguments in (["--clips", "3x3"], ["--peers", "candle"], ["--rounds", "0"], ["--what"], wrong_network):
            with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()):
                with self.assertRaises(SystemExit) as ended:
                    compare.main(arguments)
                self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
