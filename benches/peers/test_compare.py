"""The table of `scripts/bench-peers`, from results made up here, and from programs that pretend to be those it runs.

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
    write_safetensors(path, {{"output": np.full((1, 2, 1, 1, 1), {value}, np.float32)}})
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
        self.assertIn("peer 1.2, 1x3x2x32x32: failed: its output is (3,), ours (4,)", render(report))

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
        """A program that writes `value` everywhere, as resnet3d or as a peer, or fails."""
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

    def test_wrong_usage(self) -> None:
        for arguments in (["--clips", "3x3"], ["--peers", "candle"], ["--rounds", "0"], ["--what"]):
            with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()):
                with self.assertRaises(SystemExit) as ended:
                    compare.main(arguments)
                self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
