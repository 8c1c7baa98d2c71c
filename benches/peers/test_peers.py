"""Tests the list of peers, and the messages about missing ones. Needs no package.

    python3 -m unittest discover benches/peers
"""

from __future__ import annotations

import sys
import unittest
from unittest import mock

import peers
from peers import HERE, NETWORKS, TORCHVISION, known, missing_modules, of_torchvision


def nothing_but(*installed: str) -> mock._patch:
    return mock.patch.object(peers.importlib.util, "find_spec", lambda name: name if name in installed else None)


class Known(unittest.TestCase):
    def test_keys_are_unique_and_scripts_are_there(self) -> None:
        for listed in [known(True), known(False), *map(of_torchvision, NETWORKS)]:
            keys = [peer.key for peer in listed]
            self.assertEqual(len(keys), len(set(keys)))
            for peer in listed:
                self.assertTrue((HERE / (peer.crate or peer.program)).exists(), peer)

    def test_networks_of_torchvision(self) -> None:
        keys = {peer.key for peer in known(True)}
        for network in NETWORKS:
            pytorch, onnx = of_torchvision(network)
            command = [sys.executable, str(HERE / "torchvision_cpu.py"), "--network", network]
            self.assertEqual(pytorch.command(), command)
            # The ONNX file contains the whole network.
            self.assertEqual(onnx.command(), [sys.executable, str(HERE / "onnx_resnet3d.py")])
            self.assertEqual([pytorch.onnx, onnx.onnx], [False, True])
            self.assertLessEqual({pytorch.key, onnx.key}, keys)

    def test_what_is_missing_is_named_with_what_installs_it(self) -> None:
        pytorch, onnx = of_torchvision("r3d_18")
        install = "`pip install -r benches/peers/requirements.txt`"
        with nothing_but("torch"):
            self.assertEqual(pytorch.missing(), f"no Python package torchvision: {install}")
            self.assertEqual(onnx.missing(), f"no Python package onnxruntime or onnxscript or onnx: {install}")
            self.assertEqual(missing_modules(TORCHVISION), f"no Python package torchvision: {install}")
        with nothing_but("torch", "torchvision", "onnx", "onnxruntime"):
            self.assertIsNone(pytorch.missing())
            self.assertEqual(onnx.missing(), f"no Python package onnxscript: {install}")
        with nothing_but("torch", "onnx", "onnxruntime"):
            # The body's peers need neither torchvision nor onnxscript.
            self.assertEqual([peer.missing() for peer in known(True) if peer.crate is None], [None, None])

    def test_what_is_needed_is_among_the_requirements(self) -> None:
        lines = (HERE / "requirements.txt").read_text().splitlines()
        listed = {line.partition("==")[0] for line in lines if "==" in line}
        wanted = {module for peer in known(True) + of_torchvision("r3d_18") for module in peer.modules}
        self.assertLessEqual(wanted | {"numpy", "onnx"}, listed)


if __name__ == "__main__":
    unittest.main()
