"""Compares the ONNX file in ONNX Runtime with the fixtures of an independent float64 implementation.

    python3 -m unittest discover benches/peers

Skipped, visibly, without onnx, onnxruntime and numpy.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

try:
    import onnxruntime  # noqa: F401

    import export_onnx
    import onnx_resnet3d
    from network import Config, network_of
    from tensors import load_clip, read_safetensors, relative_l2
except (ImportError, OSError, ValueError, SystemExit) as problem:
    raise unittest.SkipTest(f"no onnx, onnxruntime or numpy: {problem}") from None

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
TOLERANCE = 1e-5


class SameNetwork(unittest.TestCase):
    def test_small_networks(self) -> None:
        files = sorted(FIXTURES.glob("p0*.safetensors"))
        self.assertGreaterEqual(len(files), 9)
        for path in files:
            with self.subTest(path.stem), tempfile.TemporaryDirectory() as folder:
                model, output = Path(folder) / "body.onnx", Path(folder) / "output.safetensors"
                shape = "x".join(map(str, load_clip(path).shape))
                self.assertEqual(export_onnx.main([str(path), str(model), "--clip", shape]), 0)
                arguments = ["--model", str(model), "--clip", str(path), "--output", str(output), "--runs", "1"]
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    self.assertEqual(onnx_resnet3d.main(arguments), 0)
                self.assertEqual(len(json.loads(printed.getvalue())["runs_ms"]), 1)
                tensors, metadata = read_safetensors(path)
                last = network_of(Config.from_json(metadata["config"])).stages[-1].output
                values = read_safetensors(output)[0]["output"]
                self.assertEqual(values.shape, tensors[f"expect.{last}"].shape)
                self.assertLessEqual(relative_l2(values, tensors[f"expect.{last}"]), TOLERANCE)


if __name__ == "__main__":
    unittest.main()
