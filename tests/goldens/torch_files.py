#!/usr/bin/env python3
"""Writes torch/: small checkpoints in the zip and the legacy format of `torch.save`, and the values of their tensors.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python torch_files.py

* everything.pth, everything_legacy.pth: a training checkpoint with a state dict of every kind of tensor, and objects
  that are not tensors; everything.safetensors: the values of its tensors as float32.
* resnet.pth, resnet_legacy.pth, resnet_half.pth (bfloat16, legacy), resnet.safetensors: the state dict of a very narrow
  ResNet with torchvision's names, and the same as safetensors.
* model_state.pyth (PySlowFast's wrapper, names with `module.`), model.pth, bare.pth (a state dict without a wrapper, in
  which two names have the same tensor): the wrappers of other projects.
* whole.pth, whole_legacy.pth: a model that was saved as an object. script.pt: a compiled model.

Nothing is trained. The names of storages in legacy files are addresses, so these files differ from run to run.
"""

import argparse
import collections
import datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent / "torch"


def both(value, name):
    torch.save(value, HERE / f"{name}.pth")
    torch.save(value, HERE / f"{name}_legacy.pth", _use_new_zipfile_serialization=False)


def plain(tensors):
    """The tensors in `tensors` as float32, each with a separate storage."""
    arrays = {name: torch.as_tensor(value) for name, value in tensors.items() if hasattr(value, "shape")}
    return {name: value.detach().float().contiguous().clone() for name, value in arrays.items()}


def everything():
    shared = torch.randn(40)
    matrix = torch.randn(3, 4)
    tensors = collections.OrderedDict(
        f32=torch.randn(3, 2, 2, 2),
        f64=torch.randn(3, 4, dtype=torch.float64),
        f16=torch.randn(5).half(),
        bf16=torch.randn(2, 3).bfloat16(),
        first=shared[:10],
        later=shared[25:37].view(3, 4),
        every_third=shared[1::3],
        transposed=matrix.t(),
        corner=matrix[1:, 1:3],
        permuted=torch.randn(2, 3, 1, 2, 4).permute(0, 4, 2, 1, 3),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        expanded=torch.randn(1).expand(6),
        rows=torch.randn(1, 3).expand(2, 3),
        parameter=nn.Parameter(torch.randn(4)),
        empty=torch.zeros(0, 3),
        scalar=torch.tensor(2.5),
    )
    tensors["tied"] = tensors["f32"]
    tensors["marked"] = nn.Parameter(torch.randn(2))
    tensors["marked"].mark = "an attribute"
    # Element types that no weight has.
    tensors["bn.num_batches_tracked"] = torch.tensor(7)
    tensors["mask"] = torch.tensor([True, False])
    tensors["complex"] = torch.randn(2, dtype=torch.complex64)
    tensors["counted"] = torch.tensor([1, 2], dtype=torch.uint16)
    tensors["_extra_state"] = None
    tensors._metadata = collections.OrderedDict({"": {"version": 1}})
    values = {name: value for name, value in tensors.items() if value is not None and value.is_floating_point()}
    tensors["array"] = np.arange(6, dtype="<f4").reshape(2, 3)
    values["array"] = torch.from_numpy(tensors["array"])
    checkpoint = {
        "epoch": 3,
        "arch": "resnet-18",
        "state_dict": tensors,
        "cfg": "MODEL:\n  ARCH: slow\n",
        "meta": {"cfg": "model = dict(type='Recognizer3D')\n", "time": "now"},
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.randn(3)}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 1)}],
        },
        "args": argparse.Namespace(lr=0.1, names=["a", "b"]),
        "milestones": collections.Counter([50, 100]),
        "defaults": collections.defaultdict(list, {"a": [1]}),
        "best": np.float64(0.5),
        "objects": np.array([None, "x"], dtype=object),
        "when": datetime.datetime(2020, 1, 1),
        "names": {"a", "b"},
        "frozen": frozenset({1}),
        "size": torch.Size([1, 2]),
        "type": torch.float32,
        "device": torch.device("cpu"),
        "seed": 1 << 80,
        "loss": [0.5, None, True],
    }
    both(checkpoint, "everything")
    save_file(plain(values), HERE / "everything.safetensors")


def resnet():
    """One basic block in each of res2 to res4, and a classifier."""
    widths = [2, 2, 4, 8]
    tensors = collections.OrderedDict()

    def conv(name, out, inner, size):
        tensors[f"{name}.weight"] = torch.randn(out, inner, size, size) / (inner * size * size) ** 0.5

    def norm(name, n):
        tensors[f"{name}.weight"] = torch.empty(n).uniform_(0.5, 1.5)
        tensors[f"{name}.bias"] = torch.empty(n).uniform_(-0.5, 0.5)
        tensors[f"{name}.running_mean"] = torch.empty(n).uniform_(-0.5, 0.5)
        tensors[f"{name}.running_var"] = torch.empty(n).uniform_(0.3, 2.0)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", widths[0], 3, 7)
    norm("bn1", widths[0])
    for layer in (1, 2, 3):
        before, own = widths[layer - 1], widths[layer]
        base = f"layer{layer}.0"
        conv(f"{base}.conv1", own, before, 3)
        norm(f"{base}.bn1", own)
        conv(f"{base}.conv2", own, own, 3)
        norm(f"{base}.bn2", own)
        if before != own:
            conv(f"{base}.downsample.0", own, before, 1)
            norm(f"{base}.downsample.1", own)
    tensors["fc.weight"] = torch.randn(5, widths[-1])
    both(tensors, "resnet")
    halves = {name: value.bfloat16() if value.is_floating_point() else value for name, value in tensors.items()}
    torch.save(halves, HERE / "resnet_half.pth", _use_new_zipfile_serialization=False)
    save_file(dict(tensors), HERE / "resnet.safetensors")


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(x)


def wrappers():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = model.state_dict()
    training = {
        "epoch": 1,
        "model_state": collections.OrderedDict((f"module.{name}", value) for name, value in state.items()),
        "optimizer_state": {"state": {}, "param_groups": []},
        "cfg": "MODEL:\n  ARCH: i3d\n",
    }
    torch.save(training, HERE / "model_state.pyth")
    torch.save({"model": state, "model_ema": {"other": torch.zeros(1)}}, HERE / "model.pth")
    state["again.weight"] = state["0.weight"]
    torch.save(state, HERE / "bare.pth")
    # A legacy file has the source of its classes and the path of that source, which should not be published.
    torch.serialization.get_source_lines_and_file = lambda obj: (["class Whole: ...\n"], 0, "whole.py")
    both(Whole(), "whole")
    torch.jit.script(Whole()).save(str(HERE / "script.pt"))


if __name__ == "__main__":
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    everything()
    resnet()
    wrappers()
