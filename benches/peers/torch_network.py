"""The body in PyTorch: affine channels folded into weight and bias, sums and ReLUs in place."""

from __future__ import annotations

import torch
from network import Block, Conv, Network
from tensors import Tensors, folded


def conv3d(conv: Conv, weights: Tensors) -> torch.nn.Conv3d:
    """The convolution with its affine channel."""
    weight, bias = folded(conv, weights)
    layer = torch.nn.utils.skip_init(
        torch.nn.Conv3d,
        conv.dim_in,
        conv.dim_out,
        conv.kernel,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


class TorchBlock(torch.nn.Module):
    def __init__(self, block: Block, weights: Tensors) -> None:
        super().__init__()
        self.branch = torch.nn.ModuleList(conv3d(conv, weights) for conv in block.branch)
        self.shortcut = conv3d(block.shortcut, weights) if block.shortcut is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for conv in self.branch[:-1]:
            y = conv(y).relu_()
        y = self.branch[-1](y)
        return y.add_(x if self.shortcut is None else self.shortcut(x)).relu_()


class TorchNetwork(torch.nn.Module):
    def __init__(self, network: Network, weights: Tensors) -> None:
        super().__init__()
        self.stem = conv3d(network.stem, weights)
        self.names = [stage.output for stage in network.stages]
        self.stages = torch.nn.ModuleList(
            torch.nn.Sequential(*(TorchBlock(block, weights) for block in stage.blocks)) for stage in network.stages
        )

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu_()
        return torch.nn.functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pooled(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def taps(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The output of every stage by name. The last is the output of `forward`."""
        x, taps = self.pooled(x), {}
        for name, stage in zip(self.names, self.stages):
            x = taps[name] = stage(x)
        return taps


def inspect(model: TorchNetwork, clip: torch.Tensor) -> tuple[int, bool]:
    """The multiply-adds of the convolutions in a run, and whether all their outputs are channels_last_3d."""
    macs, channels_last = 0, True

    def count(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs, channels_last
        macs += output.numel() * layer.weight[0].numel()
        channels_last &= output.is_contiguous(memory_format=torch.channels_last_3d)

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, torch.nn.Conv3d)]
    model(clip)
    for hook in hooks:
        hook.remove()
    return macs, channels_last
