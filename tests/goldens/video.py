#!/usr/bin/env python3
"""Writes the goldens of networks for video: the results of the projects' code for narrow, untrained networks.

    python3 -m venv venv && venv/bin/pip install -r requirements-video.txt
    venv/bin/python video.py PROJECTS [NAME…]

PROJECTS is a directory with clones of the projects, at these commits or later ones that compute the same:

    facebookresearch/pytorchvideo@f3142bb0      kenshohara/3D-ResNets-PyTorch@540a0ea1
    facebookresearch/SlowFast@287ec007          hassony2/inflated_convnets_pytorch@e2e2bf11
    facebookresearch/VMZ@4cc542d5               open-mmlab/mmaction2@4d6c9347

torchvision's networks come from its wheel. Every network is built by its project's function from its configuration.
Then its convolutions, batch norms and classifier are replaced by narrower ones with a thirty-second of the width (a
sixteenth for two pathways), and the blocks of a stage after the second (or third) are left out. The project's code
still does the computation. Batch-norm statistics are far from those of a new network, some variances are so small that
`eps` matters, and all values are rounded to half precision, in which they are stored. Each network gives
`video/NAME.safetensors`: the state dict with the names of the project; `data`, a clip; `expect.res<stage>_<block>_sum`,
`expect.pool5` (the mean over time, height and width) and `expect.pred` (the classifier's scores for the mean), computed
in float64 and rounded once. The metadata key `cfg` is the text that a file of the project has next to its tensors, if
it matters.
"""

import functools
import importlib
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
CLASSES = 5


def narrow_width(width, shrink):
    """A width divided by `shrink`. The channels of a clip stay three."""
    return width if width == 3 else max(1, width // shrink)


def narrow(module, shrink):
    """Replaces every layer that has a width by a narrower one."""
    for name, child in list(module.named_children()):
        if isinstance(child, (nn.Conv2d, nn.Conv3d)):
            own = nn.Conv2d if isinstance(child, nn.Conv2d) else nn.Conv3d
            inside, outside = narrow_width(child.in_channels, shrink), narrow_width(child.out_channels, shrink)
            depthwise = child.groups == child.in_channels
            groups = 1 if child.groups == 1 else inside if depthwise else 2
            conv = own(inside, outside, child.kernel_size, child.stride, child.padding, child.dilation, groups,
                       bias=child.bias is not None)
            setattr(module, name, conv)
        elif isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
            # inflated_convnets_pytorch lets a 2-D batch norm take 3-D maps.
            own = nn.BatchNorm3d if "_check_input_dim" in vars(child) else type(child)
            setattr(module, name, own(narrow_width(child.num_features, shrink), eps=child.eps))
        elif isinstance(child, nn.Linear):
            setattr(module, name, nn.Linear(narrow_width(child.in_features, shrink), CLASSES))
        else:
            narrow(child, shrink)


def randomise(model):
    """Batch norms as after training: nothing is 0 or 1, and a few variances are tiny."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            n = module.num_features
            module.weight.data = torch.empty(n).uniform_(0.5, 1.5)
            module.bias.data = torch.empty(n).uniform_(-0.5, 0.5)
            module.running_mean = torch.empty(n).uniform_(-0.5, 0.5)
            module.running_var = torch.empty(n).uniform_(0.3, 2.0)
            module.running_var[0] = 2e-3
            # Keeps the channel with the tiny variance from dominating the others.
            module.weight.data[0] *= 0.05
            module.num_batches_tracked += 7
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()


def keep_blocks(stage, count):
    """Leaves out the blocks after the first `count`."""
    del stage[count:]


class Golden:
    """A network: the project's model, its stages, the stages of its fast pathway if it has one, and its classifier,
    which takes the means of the fast pathway first if `fast_first` is set."""

    def __init__(
        self, model, stages, classifier, prefix="", cfg=None, shape=(1, 3, 8, 32, 40), fast=None, fast_first=False
    ):
        self.model, self.stages, self.classifier, self.prefix, self.cfg = model, stages, classifier, prefix, cfg
        self.shape, self.fast, self.fast_first = shape, fast, fast_first
        self.shrink = 16 if fast else 32

    def write(self, name):
        torch.manual_seed(sum(name.encode()))
        narrow(self.model, self.shrink)
        randomise(self.model)
        for module in self.model.modules():
            # Hara's shortcut A is not a module but a function of the width.
            shortcut = getattr(module, "downsample", None)
            if isinstance(shortcut, functools.partial):
                shortcut.keywords["planes"] = narrow_width(shortcut.keywords["planes"], self.shrink)
        # Looks up the replaced modules again.
        stages, classifier = self.stages(self.model), self.classifier(self.model)
        state = {self.prefix + key: value.clone() for key, value in self.model.state_dict().items()}
        data = torch.randn(self.shape).half().float()
        named = {f"res{i + 2}_{len(stage) - 1}_sum": stage[-1] for i, stage in enumerate(stages)}
        if self.fast:
            fast = enumerate(self.fast(self.model))
            named.update({f"t_res{i + 2}_{len(stage) - 1}_sum": stage[-1] for i, stage in fast})
        outputs = {}
        keep = lambda name: lambda _module, _inputs, out: outputs.__setitem__(name, out)
        hooks = [block.register_forward_hook(keep(name)) for name, block in named.items()]
        with torch.no_grad():
            run_backbone(self.model.double().eval(), data.double(), len(named), outputs)
        for hook in hooks:
            hook.remove()
        # mmaction2's C2D treats frames as clips.
        frames = lambda out: out if out.dim() == 5 else out.unflatten(0, (self.shape[0], -1)).transpose(1, 2)
        expect = {name: frames(outputs[name]) for name in named}
        means = [out.mean((2, 3, 4)) for name, out in expect.items() if "res5" in name]
        pooled = torch.cat(means, 1)
        expect["pool5"] = pooled[:, :, None, None, None]
        if classifier is not None:
            with torch.no_grad():
                scores = classifier(torch.cat(means[::-1], 1) if self.fast_first else pooled)
                expect["pred"] = scores[:, :, None, None, None]
        tensors = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        tensors["data"] = data.half()
        tensors.update({f"expect.{key}": value.float().contiguous() for key, value in expect.items()})
        path = HERE / "video" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file(tensors, path, metadata={"cfg": self.cfg} if self.cfg else None)
        shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in expect.items())
        print(f"{name}: {path.stat().st_size // 1024} KiB; {shapes}")


class Done(Exception):
    """All stages have run. The heads, which are made for full-width maps, need not run."""


def run_backbone(model, clip, stages, outputs):
    def stop(_module, _inputs):
        if len(outputs) == stages:
            raise Done
    last = (nn.Linear, nn.AvgPool3d, nn.Dropout)
    hooks = [m.register_forward_pre_hook(stop) for m in model.modules() if isinstance(m, last)]
    hooks += [m.register_forward_pre_hook(stop) for m in model.modules() if isinstance(m, nn.AdaptiveAvgPool3d)]
    try:
        model(clip)
    except Done:
        pass
    for hook in hooks:
        hook.remove()
    assert len(outputs) == stages, len(outputs)


def layers(model, counts=(2, 2, 2, 2), of=lambda model: model):
    """`layer1` to `layer4` of a model, shortened."""
    own = of(model)
    stages = [own.layer1, own.layer2, own.layer3, own.layer4]
    for stage, count in zip(stages, counts):
        keep_blocks(stage, count)
    return lambda model: [getattr(of(model), f"layer{i}") for i in range(1, 5)]


def stub(module, *names):
    """Stands in for a module that a project imports and these networks do not use."""
    for count in range(module.count(".") + 1):
        name = ".".join(module.split(".")[:count + 1])
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except ImportError:
                sys.modules[name] = types.ModuleType(name)
                sys.modules[name].__path__ = []
    for name in names:
        if not hasattr(sys.modules[module], name):
            setattr(sys.modules[module], name, None)


def torchvision_network(name):
    import torchvision
    model = getattr(torchvision.models.video, name)()
    return Golden(model, layers(model), lambda model: model.fc)


def pytorchvideo(function, module="resnet", counts=(2, 2, 3, 2)):
    hub = importlib.import_module(f"pytorchvideo.models.hub.{module}")
    model = getattr(hub, function)(pretrained=False)
    stages = lambda model: [block.res_blocks for block in model.blocks if hasattr(block, "res_blocks")]
    for stage, count in zip(stages(model), counts):
        keep_blocks(stage, count)
    return Golden(model, stages, lambda model: model.blocks[-1].proj)


def slow_frames(clip, alpha):
    """The frames for the slow pathway, by the function that both projects use."""
    return clip.index_select(2, torch.linspace(0, clip.shape[2] - 1, clip.shape[2] // alpha).long())


def pytorchvideo_slowfast(function, counts=(2, 2, 3, 2)):
    model = getattr(importlib.import_module("pytorchvideo.models.hub.slowfast"), function)(pretrained=False)
    pathway = lambda index: lambda model: [
        block.multipathway_blocks[index].res_blocks for block in model.blocks
        if hasattr(block, "multipathway_blocks") and hasattr(block.multipathway_blocks[0], "res_blocks")
    ]
    for index in range(2):
        for stage, count in zip(pathway(index)(model), counts):
            keep_blocks(stage, count)
    forward = model.forward
    model.forward = lambda clip: forward([slow_frames(clip, 4), clip])
    return Golden(model, pathway(0), lambda model: model.blocks[-1].proj, shape=(1, 3, 16, 32, 40), fast=pathway(1))


def pyslowfast(config, counts=(2, 2, 3, 2)):
    stub("detectron2.layers", "ROIAlign")
    stub("slowfast.datasets.kinetics", "Kinetics")
    stub("pytorchvideo.losses.soft_target_cross_entropy", "SoftTargetCrossEntropyLoss")
    from slowfast.config.defaults import get_cfg
    from slowfast.models import video_model_builder
    cfg = get_cfg()
    cfg.merge_from_file(PROJECTS / "SlowFast/configs/Kinetics" / config)
    model = getattr(video_model_builder, cfg.MODEL.MODEL_NAME)(cfg)
    pathways = len(cfg.DATA.INPUT_CHANNEL_NUM)
    stages = [getattr(model, f"s{i}") for i in range(2, 6)]
    for stage, count in zip(stages, counts):
        for pathway in range(pathways):
            for block in range(count, 100):
                if hasattr(stage, f"pathway{pathway}_res{block}"):
                    delattr(stage, f"pathway{pathway}_res{block}")
        stage.num_blocks = [count] * pathways

    class Blocks:
        """The blocks of a stage, which PySlowFast keeps by name."""

        def __init__(self, stage, pathway):
            self.blocks = [getattr(stage, f"pathway{pathway}_res{i}") for i in range(stage.num_blocks[0])]

        def __len__(self):
            return len(self.blocks)

        def __getitem__(self, index):
            return self.blocks[index]

    # The builder takes one clip for each pathway.
    forward = model.forward
    model.forward = lambda clip: forward([slow_frames(clip, cfg.SLOWFAST.ALPHA), clip] if pathways > 1 else [clip])
    cfg_text = f"MODEL:\n  ARCH: {cfg.MODEL.ARCH}\n"
    if pathways > 1:
        cfg_text += f"SLOWFAST:\n  ALPHA: {cfg.SLOWFAST.ALPHA}\n"
    blocks = lambda pathway: lambda model: [Blocks(getattr(model, f"s{i}"), pathway) for i in range(2, 6)]
    shape, fast = ((1, 3, 16, 32, 40), blocks(1)) if pathways > 1 else ((1, 3, 8, 32, 40), None)
    return Golden(model, blocks(0), lambda model: model.head.projection, cfg=cfg_text, shape=shape, fast=fast)


def hara(builder):
    sys.path.insert(0, str(PROJECTS / "3D-ResNets-PyTorch"))
    try:
        for name in [name for name in sys.modules if name == "models" or name.startswith("models.") or name == "utils"]:
            del sys.modules[name]
        resnet = importlib.import_module("models.resnet")
        resnext = importlib.import_module("models.resnext")
        model = builder(resnet, resnext)
    finally:
        sys.path.pop(0)
    return Golden(model, layers(model), lambda model: model.fc, prefix="module.", shape=(1, 3, 16, 32, 40))


def hara_resnext(resnet, resnext):
    """ResNeXt-101 as published in 2018: the 2020 constructor passes the class count as the factor of the width."""
    class Block(resnext.ResNeXtBottleneck):
        def __init__(self, in_planes, planes, stride=1, downsample=None):
            super().__init__(in_planes, planes, 32, stride, downsample)

    # The stem stays 64 wide, although the blocks are twice as wide as ResNet's.
    model = resnet.ResNet(Block, [3, 4, 23, 3], [64, 128, 256, 512])
    model.in_planes = 64
    for i, planes in enumerate(resnext.get_inplanes()):
        setattr(model, f"layer{i + 1}", model._make_layer(Block, planes, [3, 4, 23, 3][i], "B", 1 if i == 0 else 2))
    model.fc = nn.Linear(2048, 400)
    return model


def i3resnet():
    import torchvision
    sys.path.insert(0, str(PROJECTS / "inflated_convnets_pytorch"))
    try:
        i3res = importlib.import_module("src.i3res")
        model = i3res.I3ResNet(torchvision.models.resnet50(), frame_nb=16)
    finally:
        sys.path.pop(0)
    return Golden(model, layers(model), lambda model: model.fc, shape=(1, 3, 16, 32, 40))


def vmz(module, builder):
    # The package itself imports data sets of an old torchvision.
    package = types.ModuleType("vmz")
    package.__path__ = [str(PROJECTS / "VMZ/pt/vmz")]
    sys.modules["vmz"] = package
    model = getattr(importlib.import_module(f"vmz.models.{module}"), builder)()
    return Golden(model, layers(model), lambda model: model.fc)


def mmaction2(config, shape=(1, 3, 8, 32, 40), **changes):
    from mmaction.models import backbones, heads
    from mmengine.registry import init_default_scope
    init_default_scope("mmaction")
    path = PROJECTS / "mmaction2/configs/_base_/models" / config
    settings = {}
    exec(path.read_text(), settings)
    backbone = settings["model"]["backbone"]
    backbone.update(changes)
    kind = backbone.pop("type")
    backbone.pop("pretrained", None)
    backbone["pretrained2d"] = False
    norm = backbone.get("norm_cfg")
    if norm:
        norm["type"] = "BN3d"
    model = nn.Module()
    model.backbone = getattr(backbones, kind)(pretrained=None, **backbone)
    head = settings["model"]["cls_head"]
    model.cls_head = heads.I3DHead(num_classes=400, in_channels=head["in_channels"])
    model.forward = lambda clip: model.backbone(clip)
    return Golden(model, layers(model, (2, 2, 3, 2), of=lambda model: model.backbone),
                  lambda model: model.cls_head.fc_cls, shape=shape)


def mmaction2_slowfast(counts=(2, 2, 3, 2)):
    from mmaction.models import backbones, heads
    from mmengine.registry import init_default_scope
    init_default_scope("mmaction")
    settings = {}
    exec((PROJECTS / "mmaction2/configs/_base_/models/slowfast_r50.py").read_text(), settings)
    backbone = settings["model"]["backbone"]
    backbone.pop("type")
    model = nn.Module()
    model.backbone = backbones.ResNet3dSlowFast(**backbone)
    model.cls_head = heads.SlowFastHead(num_classes=400, in_channels=2304)
    model.forward = lambda clip: model.backbone(clip)
    pathway = lambda name: lambda model: getattr(model.backbone, name)
    slow, fast = [layers(model, counts, of=pathway(name)) for name in ("slow_path", "fast_path")]
    classifier = lambda model: model.cls_head.fc_cls
    return Golden(model, slow, classifier, shape=(1, 3, 16, 32, 40), fast=fast, fast_first=True)


NETWORKS = {
    "torchvision_mc3": lambda: torchvision_network("mc3_18"),
    "pytorchvideo_c2d": lambda: pytorchvideo("c2d_r50"),
    "pytorchvideo_csn": lambda: pytorchvideo("csn_r101", "csn"),
    "pytorchvideo_r2plus1d": lambda: pytorchvideo("r2plus1d_r50", "r2plus1d"),
    "pyslowfast_slow": lambda: pyslowfast("SLOW_8x8_R50.yaml"),
    "pyslowfast_i3d": lambda: pyslowfast("I3D_8x8_R50.yaml"),
    "pyslowfast_c2d": lambda: pyslowfast("C2D_8x8_R50.yaml"),
    "pytorchvideo_slowfast": lambda: pytorchvideo_slowfast("slowfast_r50"),
    "pyslowfast_slowfast": lambda: pyslowfast("SLOWFAST_8x8_R50.yaml"),
    "mmaction2_slowfast": mmaction2_slowfast,
    "hara_basic": lambda: hara(lambda resnet, _: resnet.generate_model(18)),
    "hara_shortcut_a": lambda: hara(lambda resnet, _: resnet.generate_model(18, shortcut_type="A")),
    "hara_resnext": lambda: hara(hara_resnext),
    "i3resnet": i3resnet,
    "vmz_r2plus1d": lambda: vmz("r2plus1d", "r2plus1d_34"),
    "vmz_ir_csn": lambda: vmz("csn", "ir_csn_152"),
    "vmz_ip_csn": lambda: vmz("csn", "ip_csn_152"),
    "mmaction2_slowonly": lambda: mmaction2("slowonly_r50.py"),
    "mmaction2_i3d": lambda: mmaction2("i3d_r50.py", shape=(1, 3, 16, 32, 40)),
    "mmaction2_c2d": lambda: mmaction2("c2d_r50.py"),
    "mmaction2_r2plus1d": lambda: mmaction2("r2plus1d_r34.py"),
    "mmaction2_ir_csn": lambda: mmaction2("ircsn_r152.py"),
    "mmaction2_ip_csn": lambda: mmaction2("ircsn_r152.py", bottleneck_mode="ip"),
}

if __name__ == "__main__":
    PROJECTS = Path(sys.argv[1]).resolve()
    for project in ("pytorchvideo", "SlowFast", "mmaction2"):
        sys.path.insert(0, str(PROJECTS / project))
    for wanted in sys.argv[2:] or NETWORKS:
        NETWORKS[wanted]().write(wanted)
