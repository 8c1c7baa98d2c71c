"""Compares the network in PyTorch on the CPU with the fixtures of an independent float64 implementation.

    python3 -m unittest discover benches/peers

Skipped, visibly, without torch and numpy.
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

    import torch_cpu
    from network import Config, Failure, network_of
    from tensors import Tensors, fnv1a, generate, load_clip, load_weights, read_safetensors, relative_l2, uniform
    from torch_network import TorchNetwork, inspect
except (ImportError, OSError, ValueError, SystemExit) as problem:
    raise unittest.SkipTest(f"no torch or numpy: {problem}") from None

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
# Plain float32 against float64, as for resnet3d itself.
TOLERANCE = 1e-5
# The largest case takes long on a CPU, and another case has the same network.
TOO_LARGE = {"r18_basic_conv4_seed_clip"}


def taps(config: Config, weights: Tensors, clip: np.ndarray) -> dict[str, np.ndarray]:
    model = TorchNetwork(network_of(config), weights).eval()
    with torch.inference_mode():
        data = torch.from_numpy(clip).contiguous(memory_format=torch.channels_last_3d)
        model = model.to(memory_format=torch.channels_last_3d)
        return {name: blob.contiguous().numpy().copy() for name, blob in model.taps(data).items()}


class SameNetwork(unittest.TestCase):
    def test_generator(self) -> None:
        generator = json.loads((FIXTURES / "expected_full.json").read_text())["generator"]
        for name, value in generator["fnv1a64"].items():
            self.assertEqual(fnv1a(name), int(value, 16), name)
        for stream, values in generator["u"].items():
            name, _, seed = stream.split()
            self.assertEqual(uniform(name, len(values), int(seed)).tolist(), values, stream)

    def test_small_networks_value_by_value(self) -> None:
        files = sorted(FIXTURES.glob("p0*.safetensors"))
        self.assertGreaterEqual(len(files), 9)
        for path in files:
            with self.subTest(path.stem):
                tensors, metadata = read_safetensors(path)
                config = Config.from_json(metadata["config"])
                weights = load_weights(str(path), network_of(config))
                found = taps(config, weights, load_clip(path))
                expected = {name: value for name, value in tensors.items() if name.startswith("expect.")}
                self.assertEqual({f"expect.{name}" for name in found}, set(expected))
                for name, values in found.items():
                    self.assertEqual(values.shape, expected[f"expect.{name}"].shape, name)
                    error = relative_l2(values, expected[f"expect.{name}"])
                    self.assertLessEqual(error, TOLERANCE, name)
                    print(f"{path.stem} {name}: {error:.2e}")

    def test_the_program_for_cpus(self) -> None:
        path = FIXTURES / "p01_bottleneck_conv4.safetensors"
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
            output = Path(folder) / "output.safetensors"
            files = ["--model", str(path), "--clip", str(path), "--output", str(output)]
            self.assertEqual(torch_cpu.main([*files, "--runs", "2"]), 0)
            values = read_safetensors(output)[0]["output"]
        line = json.loads(printed.getvalue())
        self.assertEqual((line["peer"], len(line["runs_ms"])), ("PyTorch", 2))
        tensors, metadata = read_safetensors(path)
        last = network_of(Config.from_json(metadata["config"])).stages[-1].output
        self.assertLessEqual(relative_l2(values, tensors[f"expect.{last}"]), TOLERANCE)

    def test_networks_of_full_width_by_samples(self) -> None:
        cases = json.loads((FIXTURES / "expected_full.json").read_text())["cases"]
        for case, expected in cases.items():
            if case in TOO_LARGE:
                continue
            with self.subTest(case):
                self.check_full(case, expected)

    def check_full(self, case: str, expected: dict) -> None:
        config = Config.from_json(json.dumps(expected["config"]))
        network, seed = network_of(config), expected["seed"]
        weights = load_weights(f"random:{seed}", network)
        clip = generate("data", tuple(expected["data_shape"]), seed)
        self.assertEqual(sum(values.size for values in weights.values()), expected["parameters"])
        for name, values in expected["first_values"].items():
            tensor = clip if name == "data" else weights[name]
            self.assertEqual(tensor.ravel()[: len(values)].tolist(), [np.float32(value) for value in values], name)
        model = TorchNetwork(network, weights).eval()
        with torch.inference_mode():
            self.assertEqual(inspect(model, torch.from_numpy(clip))[0], expected["macs"])
        found = taps(config, weights, clip)
        self.assertEqual(set(found), set(expected["taps"]))
        for name, tap in expected["taps"].items():
            values = found[name]
            self.assertEqual(list(values.shape), tap["shape"], name)
            samples = relative_l2(values.ravel()[tap["indices"]], np.array(tap["values"]))
            norm = abs(np.linalg.norm(values.astype(np.float64)) / tap["l2"] - 1)
            self.assertLessEqual(samples, TOLERANCE, name)
            self.assertLessEqual(norm, TOLERANCE, name)
            print(f"{case} {name}: samples {samples:.2e}, norm {norm:.2e}")

    def test_refuses_what_it_does_not_know(self) -> None:
        for text in ["{", "[]", '{"preset": "r18-conv4"}', '{"depth": 18}', '{"transformation": "wide"}']:
            with self.assertRaises(Failure):
                Config.from_json(text)


if __name__ == "__main__":
    unittest.main()
