#!/usr/bin/env python3
"""Writes the goldens of this directory: the results of PyTorch for narrow, untrained networks of torchvision's blocks.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python make.py

The networks are torchvision's ResNet code with smaller widths. Weights are random, batch-norm statistics are far from
those of a new network, and some variances are so small that `eps` matters. Files:

* torchvision_basic, torchvision_bottleneck, torchvision_grouped (.safetensors): the state dict with torchvision's
  names, including `layer4` and `fc`, which a conv4 body does not use; `data`, a clip of two frames; `expect.res2` to
  `expect.res4`, the outputs of layer1 to layer3 for each frame separately, (1, C, T, H, W), computed in float64. The
  bottleneck also has `expect_1x1.*` (the stride on the first 1x1, as in MSRA's networks) and `expect_eps0.*` (the same
  without eps in the batch norms, as in maskrcnn-benchmark).
* shapes.json: names and shapes of torchvision's full-width networks, to tell the networks apart.
* py*.pkl: one dictionary of arrays of several kinds, in the pickle protocols 0 to 5 of Python 3; pickles.safetensors:
  the same values as float32.
"""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = Path(__file__).parent


class Narrow(ResNet):
    """torchvision's ResNet with `width` channels in its stem instead of 64."""

    def __init__(self, block, counts, width, groups=1, width_per_group=64):
        nn.Module.__init__(self)
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation = width, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, width, counts[0])
        self.layer2 = self._make_layer(block, 2 * width, counts[1], stride=2)
        self.layer3 = self._make_layer(block, 4 * width, counts[2], stride=2)
        self.layer4 = self._make_layer(block, 8 * width, counts[3], stride=2)
        self.fc = nn.Linear(8 * width * block.expansion, 5)

    def stages(self, frames):
        """The outputs of layer1 to layer3."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(frames))))
        outputs = []
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
            outputs.append(x)
        return outputs


def randomise(model):
    """Batch norms as after training: nothing is 0 or 1, and a few variances are tiny."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            module.weight.data = torch.empty(n).uniform_(0.5, 1.5)
            module.bias.data = torch.empty(n).uniform_(-0.5, 0.5)
            module.running_mean = torch.empty(n).uniform_(-0.5, 0.5)
            module.running_var = torch.empty(n).uniform_(0.3, 2.0)
            module.running_var[0] = 2e-3
            # Keeps the channel with the tiny variance from dominating the others.
            module.weight.data[0] *= 0.05
            module.num_batches_tracked += 7


def features(model, clip):
    """The outputs for the frames of `clip`, (1, 3, T, H, W), joined to (1, C, T, H, W), computed in float64."""
    with torch.no_grad():
        outputs = model.double().eval().stages(clip.double()[0].transpose(0, 1))
    model.float()
    return [output.transpose(0, 1)[None].float().contiguous() for output in outputs]


def golden(name, model, variants):
    randomise(model)
    clip = torch.randn(1, 3, 2, 37, 50)
    tensors = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    tensors["data"] = clip
    for label, change in variants.items():
        change(model)
        for stage, output in enumerate(features(model, clip), start=2):
            tensors[f"{label}.res{stage}"] = output
    save_file(tensors, HERE / f"{name}.safetensors")


def stride_on_1x1(model):
    for module in model.modules():
        if isinstance(module, Bottleneck) and module.conv2.stride != (1, 1):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)


def no_eps(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0


def shapes():
    def of(model):
        return {name: list(value.shape) for name, value in model.state_dict().items()}

    image = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2"]
    video = ["r3d_18", "mc3_18", "r2plus1d_18"]
    with torch.device("meta"):
        networks = {name: of(getattr(torchvision.models, name)()) for name in image}
        networks |= {name: of(getattr(torchvision.models.video, name)()) for name in video}
    lines = (f'"{name}": {json.dumps(tensors)}' for name, tensors in networks.items())
    (HERE / "shapes.json").write_text("{" + ",\n".join(lines) + "}\n")


def pickles():
    """Writes one array of every kind that a checkpoint may hold, under names that no body has."""
    rng = np.random.default_rng(0)
    values = {
        "f4": rng.standard_normal((3, 2, 2, 2)).astype("<f4"),
        "f8": rng.standard_normal((3, 4)).astype("<f8"),
        "f2": rng.standard_normal((5,)).astype("<f2"),
        "big": rng.standard_normal((2, 3)).astype(">f4"),
        "fortran": np.asfortranarray(rng.standard_normal((3, 2, 4)).astype("<f4")),
        "scalar_array": np.array(2.5, dtype="<f4"),
        "empty": np.zeros((0, 3), dtype="<f4"),
    }
    values["again"] = values["f4"]
    others = {
        "none": None,
        "number": 7,
        "large": 1 << 40,
        "real": 0.5,
        "numpy_number": np.float32(1.5),
        "list": [1, [2, (3, None)]],
        "counts": np.arange(4, dtype="<i8"),
        "truth": True,
    }
    for protocol in range(6):
        blobs = OrderedDict(values | others) if protocol == 4 else values | others
        file = {"blobs": blobs, "cfg": "MODEL:\n  TYPE: x\n"}
        (HERE / f"py3_protocol{protocol}.pkl").write_bytes(pickle.dumps(file, protocol=protocol))
    plain = {
        name: torch.from_numpy(np.array(value, dtype="<f4", order="C")) for name, value in values.items()
    }
    save_file({name: value.clone() for name, value in plain.items()}, HERE / "pickles.safetensors")


if __name__ == "__main__":
    torch.manual_seed(0)
    golden("torchvision_basic", Narrow(BasicBlock, [2, 2, 2, 1], 6), {"expect": lambda model: None})
    golden(
        "torchvision_bottleneck",
        Narrow(Bottleneck, [2, 3, 2, 1], 4),
        {"expect": lambda model: None, "expect_1x1": stride_on_1x1, "expect_eps0": no_eps},
    )
    golden("torchvision_grouped", Narrow(Bottleneck, [1, 1, 1, 1], 4, 2, 48), {"expect": lambda model: None})
    shapes()
    pickles()
