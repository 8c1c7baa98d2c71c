"""Compares the peers with torchvision's networks in float64 with separate batch norms.

    python3 -m unittest discover benches/peers

Skipped, visibly, without torch, torchvision and numpy; tests that need ONNX, also without its packages.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
    import torch

    import torchvision_check
    import torchvision_cpu
    import torchvision_files
    from network import Failure
    from peers import NETWORKS, missing_modules
    from tensors import generate, read_safetensors, relative_l2, write_safetensors
    from torchvision_network import folded, randomised, read, taps, untrained
except (ImportError, OSError, ValueError, SystemExit) as problem:
    raise unittest.SkipTest(f"no torch, torchvision or numpy: {problem}") from None

# Full width, so the clip is as small as every stride allows.
SHAPE = (1, 3, 4, 24, 32)
TOLERANCE = 1e-5
NO_ONNX = missing_modules(("onnx", "onnxscript", "onnxruntime"))


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.clip = cls.folder / "clip.safetensors"
        write_safetensors(cls.clip, {"data": generate("data", SHAPE, 0)})
        cls.expected = {}
        for network in NETWORKS:
            assert torchvision_files.main(["weights", network, str(cls.weights(network))]) == 0
            data = torch.from_numpy(generate("data", SHAPE, 0)).double()
            blobs = taps(read(network, cls.weights(network)).double(), data)
            cls.expected[network] = {name: blob.numpy() for name, blob in blobs.items()}

    @classmethod
    def weights(cls, network: str) -> Path:
        return cls.folder / f"{network}.pth"

    def run_peer(self, main: object, *arguments: str) -> np.ndarray:
        output = self.folder / "output.safetensors"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(main([*arguments, "--clip", str(self.clip), "--runs", "1", "--output", str(output)]), 0)
        self.assertEqual(len(json.loads(printed.getvalue())["runs_ms"]), 1)
        return read_safetensors(output)[0]["output"]

    def assert_scores(self, scores: np.ndarray, network: str) -> None:
        expected = self.expected[network]["pred"][:, :, 0, 0, 0]
        self.assertEqual(scores.shape, expected.shape)
        self.assertLessEqual(relative_l2(scores, expected), TOLERANCE)

    def test_weights_are_a_state_dict_as_published(self) -> None:
        for network in NETWORKS:
            with self.subTest(network):
                state = torch.load(self.weights(network), weights_only=True)
                own = untrained(network).state_dict()
                self.assertEqual({n: v.shape for n, v in state.items()}, {n: v.shape for n, v in own.items()})
                again = randomised(network).state_dict()
                self.assertTrue(all(torch.equal(state[name], again[name]) for name in state))

    def test_batch_norms_are_not_those_of_a_fresh_network(self) -> None:
        state = torch.load(self.weights("r2plus1d_18"), weights_only=True)
        means = [name for name in state if name.endswith("running_mean")]
        self.assertGreater(len(means), 20)
        for name in means:
            norm = name.removesuffix("running_mean")
            for part, fresh in {"running_mean": 0, "running_var": 1, "weight": 1, "bias": 0}.items():
                self.assertGreater((state[norm + part] - fresh).abs().max().item(), 0.1, norm + part)

    def test_pytorch_computes_it(self) -> None:
        for network in NETWORKS:
            with self.subTest(network):
                arguments = ["--network", network, "--model", str(self.weights(network))]
                self.assert_scores(self.run_peer(torchvision_cpu.main, *arguments), network)

    def test_no_batch_norm_is_left_when_folded(self) -> None:
        for network in NETWORKS:
            model = folded(read(network, self.weights(network)))
            self.assertEqual([m for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)], [], network)

    @unittest.skipIf(NO_ONNX, NO_ONNX)
    def test_onnx_runtime_computes_it(self) -> None:
        import onnx_resnet3d

        shape = "x".join(map(str, SHAPE))
        for network in NETWORKS:
            with self.subTest(network):
                model = self.folder / "body.onnx"
                arguments = ["onnx", network, str(self.weights(network)), str(model), "--clip", shape]
                self.assertEqual(torchvision_files.main(arguments), 0)
                self.assert_scores(self.run_peer(onnx_resnet3d.main, "--model", str(model)), network)

    def test_another_networks_file_is_refused(self) -> None:
        for path, said in {
            self.weights("mc3_18"): "is no state dict of torchvision's r3d_18",
            self.clip: "is no state dict of torchvision's r3d_18",
            self.folder / "nowhere": "No such file",
        }.items():
            with self.subTest(path.name), self.assertRaisesRegex(Failure, said):
                read("r3d_18", path)

    def check(self, features: dict[str, np.ndarray]) -> tuple[int, str]:
        path = self.folder / "features.safetensors"
        write_safetensors(path, features)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = torchvision_check.main(["mc3_18", str(self.weights("mc3_18")), str(self.clip), str(path)])
        return code, printed.getvalue()

    def test_check_by_hand(self) -> None:
        expected = self.expected["mc3_18"]
        self.assertEqual(list(expected), ["res2_1_sum", "res3_1_sum", "res4_1_sum", "res5_1_sum", "pool5", "pred"])
        self.assertEqual(expected["pred"].shape, (1, 400, 1, 1, 1))
        pooled = expected["res5_1_sum"].mean((2, 3, 4), keepdims=True)
        self.assertLessEqual(relative_l2(expected["pool5"], pooled), 1e-12)
        code, text = self.check(expected)
        self.assertEqual(code, 0, text)
        self.assertNotIn("DISAGREES", text)
        code, text = self.check({**expected, "res4_1_sum": expected["res4_1_sum"] * 1.0001})
        self.assertEqual((code, text.count("DISAGREES")), (1, 1))
        self.assertIn("1.0e-04 DISAGREES", text)
        code, text = self.check({**expected, "pred": np.full_like(expected["pred"], np.nan)})
        self.assertEqual((code, text.count("nan DISAGREES")), (1, 1))
        code, text = self.check({name: blob for name, blob in expected.items() if name != "pool5"})
        self.assertEqual((code, text.count("missing |")), (1, 1))
        code, text = self.check({**expected, "pred": expected["pred"][:, :-1], "conv1": np.zeros((1, 2, 3))})
        self.assertEqual(code, 1)
        self.assertIn("is 1x399x1x1x1", text)
        self.assertIn("not compared", text)


if __name__ == "__main__":
    unittest.main()
