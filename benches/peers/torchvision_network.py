"""torchvision's networks for video, built by its functions: random weights, folded batch norms, named blobs."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torchvision
from network import Failure
from torch import nn

SEED = 0


def untrained(network: str) -> nn.Module:
    """A network of NETWORKS with its 400 classes, as torchvision initialises it."""
    return getattr(torchvision.models.video, network)(weights=None).eval()


def randomised(network: str) -> nn.Module:
    """The network with random weights, which are the same for the same version of PyTorch.

    Batch norms are as after training: those of a new network are nearly the identity, and would hide a mistake.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = untrained(network)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                elif isinstance(module, nn.BatchNorm3d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
                    module.running_mean.uniform_(-0.5, 0.5)
                    module.running_var.uniform_(0.3, 2.0)
                    module.num_batches_tracked.fill_(1000)
    return model


def read(network: str, path: Path) -> nn.Module:
    """The network with the state dict in `path`, as torchvision publishes it."""
    # The meta device avoids an initialisation that would be overwritten.
    with torch.device("meta"):
        model = untrained(network)
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    except (RuntimeError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = f"{path} is not a state dict of torchvision's {network}; torchvision_files.py writes one"
        raise Failure(reason) from error
    return model


def last_conv(module: nn.Module) -> nn.Conv3d | None:
    """The convolution whose output `module` returns. For an R(2+1)D convolution, it is the second half."""
    if isinstance(module, nn.Sequential):
        return last_conv(module[-1])
    return module if isinstance(module, nn.Conv3d) else None


def folded(model: nn.Module) -> nn.Module:
    """`model` in float32 with every batch norm folded into the convolution before it.

    Values are multiplied in float64 and rounded once. resnet3d does the same, and the peers get the flagship in the
    same way. Changes the model in place.
    """
    model.double()
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for index, norm in enumerate(sequence):
            if isinstance(norm, nn.BatchNorm3d):
                conv = last_conv(sequence[index - 1])
                conv.weight, conv.bias = nn.utils.fusion.fuse_conv_bn_weights(
                    conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                sequence[index] = nn.Identity()
    return model.float()


def taps(model: nn.Module, clip: torch.Tensor) -> dict[str, torch.Tensor]:
    """The last blob of every stage, `pool5` and `pred`, with the names and shapes of resnet3d."""
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    named = {f"res{index + 2}_{len(stage) - 1}_sum": stage for index, stage in enumerate(stages)}
    named.update(pool5=model.avgpool, pred=model.fc)
    blobs: dict[str, torch.Tensor] = {}

    def keep(name: str, blob: torch.Tensor) -> None:
        blobs[name] = blob if blob.dim() == 5 else blob[:, :, None, None, None]

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, blob, name=name: keep(name, blob))
        for name, module in named.items()
    ]
    with torch.inference_mode():
        model(clip)
    for hook in hooks:
        hook.remove()
    return blobs
