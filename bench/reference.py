"""Training steps as the public codes write them: plain loops in the published order, to measure ours against.

The networks have the published layers (torch's own instance norm); nothing is batched, fused, frozen or cached that the
public codes do not batch, fuse, freeze or cache.
"""

from __future__ import annotations

import copy
import itertools
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from translate.contract import parameter_count
from translate.layers.norms import InstanceNorm
from translate.training.engine import Engine

Step = Callable[[Mapping[str, Tensor]], None]


class TorchInstanceNorm(nn.Module):
    """``nn.InstanceNorm2d`` without weights, for any number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x)


def published(engine: Engine, role: str) -> nn.Module:
    """A copy of a network, in NCHW and with torch's instance norm, as the public code has it."""
    net = copy.deepcopy(engine.nets[role]).to(memory_format=torch.contiguous_format)
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, TorchInstanceNorm())
    return net.train().requires_grad_(True)


class Pool:
    """Fifty past fakes in a Python list."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        shown = []
        for image in images.detach():
            if len(self.images) < 50:
                self.images.append(image[None])
                shown.append(image[None])
            elif random.random() > 0.5:
                index = random.randrange(50)
                shown.append(self.images[index].clone())
                self.images[index] = image[None]
            else:
                shown.append(image[None])
        return torch.cat(shown)


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def vgg(engine: Engine) -> Callable[[Tensor], Tensor]:
    """torchvision's layers, whose rectifiers work in place, with the weights of ours, on an input as they expect it."""
    ours = engine.nets["features"]
    layers = make_layers(cfgs["E"], batch_norm=False)[: len(ours.features)]
    layers.load_state_dict(ours.features.state_dict())
    layers.eval().requires_grad_(False).to(ours.mean.device)

    def features(image: Tensor) -> Tensor:
        return layers(((image + 1) / 2 - ours.mean) / ours.std)

    return features


def frozen(nets: list[nn.Module], yes: bool) -> None:
    for net in nets:
        net.requires_grad_(not yes)


def cyclegan(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """The order of the public CycleGAN code: translations, cycles, identities, then each discriminator."""
    g_ab, g_ba, d_a, d_b = (published(engine, role) for role in ("g_ab", "g_ba", "d_a", "d_b"))
    opt_g = torch.optim.Adam(itertools.chain(g_ab.parameters(), g_ba.parameters()), 2e-4, (0.5, 0.999))
    opt_d = torch.optim.Adam(itertools.chain(d_a.parameters(), d_b.parameters()), 2e-4, (0.5, 0.999))
    pools = Pool(), Pool()

    def lsgan(logits: Tensor, target: float) -> Tensor:
        return F.mse_loss(logits, torch.full_like(logits, target))

    def step(x: Mapping[str, Tensor]) -> None:
        a, b = x["a"], x["b"]
        with autocast():
            fake_b = g_ab(a)
            rec_a = g_ba(fake_b)
            fake_a = g_ba(b)
            rec_b = g_ab(fake_a)
            frozen([d_a, d_b], True)
            opt_g.zero_grad()
            loss = 5 * F.l1_loss(g_ab(b), b) + 5 * F.l1_loss(g_ba(a), a)
            loss = loss + lsgan(d_b(fake_b), 1.0) + lsgan(d_a(fake_a), 1.0)
            loss = loss + 10 * F.l1_loss(rec_a, a) + 10 * F.l1_loss(rec_b, b)
        loss.backward()
        opt_g.step()
        frozen([d_a, d_b], False)
        opt_d.zero_grad()
        for net, real, fake, pool in ((d_a, b, fake_b, pools[0]), (d_b, a, fake_a, pools[1])):
            with autocast():
                loss = 0.5 * (lsgan(net(real), 1.0) + lsgan(net(pool.query(fake).detach()), 0.0))
            loss.backward()
        opt_d.step()

    return step


def pix2pix(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """The order of the public pix2pix code: the discriminator, then the generator."""
    g, d = published(engine, "g"), published(engine, "d")
    opt_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))

    def step(x: Mapping[str, Tensor]) -> None:
        a, b = x["a"], x["b"]
        with autocast():
            fake = g(a)
            frozen([d], False)
            opt_d.zero_grad()
            loss = bce(d(torch.cat([a, fake.detach()], 1)), 0.0)
            loss = 0.5 * (loss + bce(d(torch.cat([a, b], 1)), 1.0))
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        with autocast():
            loss = bce(d(torch.cat([a, fake], 1)), 1.0) + 100 * F.l1_loss(fake, b)
        loss.backward()
        opt_g.step()

    return step


def dcgan(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """The order of PyTorch's DCGAN example: real, fake, then the generator on the same fakes."""
    g, d = published(engine, "g"), published(engine, "d")
    opt_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))

    def step(x: Mapping[str, Tensor]) -> None:
        d.zero_grad()
        with autocast():
            real = d(x["image"])
            loss = bce(real, 1.0)
        loss.backward()
        z = torch.randn(len(x["image"]), 100, device=real.device)
        with autocast():
            fake = g(z)
            loss = bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()
        g.zero_grad()
        with autocast():
            loss = bce(d(fake), 1.0)
        loss.backward()
        opt_g.step()

    return step


def srgan(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """The order of the public SRGAN codes: the discriminator, then the generator with its content loss.

    As in those codes the discriminator's gradients are computed in the generator's step too, and thrown away.
    """
    g, d, features = published(engine, "g"), published(engine, "d"), vgg(engine)
    opt_g = torch.optim.Adam(g.parameters(), 1e-4, (0.9, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 1e-4, (0.9, 0.999))

    def step(x: Mapping[str, Tensor]) -> None:
        with autocast():
            fake = g(x["low"])
            d.zero_grad()
            loss = bce(d(x["high"]), 1.0) + bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()
        g.zero_grad()
        with autocast():
            loss = F.mse_loss(features(fake) / 12.75, features(x["high"]) / 12.75) + 1e-3 * bce(d(fake), 1.0)
        loss.backward()
        opt_g.step()

    return step


def esrgan(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """The order of the authors' ESRGAN code: the generator with the discriminator frozen, then the discriminator.

    BasicSR's later version takes the same steps, but forwards the fakes once more in the discriminator's.
    """
    g, d, features = published(engine, "g"), published(engine, "d"), vgg(engine)
    opt_g = torch.optim.Adam(g.parameters(), 1e-4, (0.9, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 1e-4, (0.9, 0.999))

    def step(x: Mapping[str, Tensor]) -> None:
        frozen([d], True)
        opt_g.zero_grad()
        with autocast():
            fake = g(x["low"])
            loss = 1e-2 * F.l1_loss(fake, x["high"]) / 2 + F.l1_loss(features(fake), features(x["high"]).detach())
            on_fake, on_real = d(fake), d(x["high"]).detach()
            loss = loss + 5e-3 * (bce(on_real - on_fake.mean(), 0.0) + bce(on_fake - on_real.mean(), 1.0)) / 2
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with autocast():
            on_real, on_fake = d(x["high"]), d(fake.detach())
            loss = (bce(on_real - on_fake.mean(), 1.0) + bce(on_fake - on_real.mean(), 0.0)) / 2
        loss.backward()
        opt_d.step()

    return step


def gan(engine: Engine, autocast: Callable[[], torch.autocast]) -> Step:
    """Algorithm 1 of Goodfellow et al. (2014) with k = 1: the discriminator, then the generator on fresh noise.

    Adam for the paper's momentum, as ours has it. As in the PyTorch codes of it, the discriminator's gradients are
    computed in the generator's step too, and thrown away.
    """
    g, d = published(engine, "g"), published(engine, "d")
    opt_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))

    def noise(images: Tensor) -> Tensor:
        return torch.rand(len(images), 100, device=images.device) * 2 - 1

    def step(x: Mapping[str, Tensor]) -> None:
        opt_d.zero_grad()
        with autocast():
            loss = bce(d(x["image"]), 1.0) + bce(d(g(noise(x["image"])).detach()), 0.0)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with autocast():
            loss = bce(d(g(noise(x["image"]))), 1.0)
        loss.backward()
        opt_g.step()

    return step


PEERS = {"cyclegan": "cycle_gan", "pix2pix": "pix2pix"}
"""The models that the public CycleGAN/pix2pix code has too, under its own names; CUT's code has the first alone."""


def peer(path: Path, model: str, engine: Engine) -> Step:
    """A step of the public code in a checkout, through its own options and its own model class.

    Its networks are those of our defaults at that size: as many blocks, and without the blurring that CUT's code added.
    """
    size, device = engine.data.size, engine.device
    known = (path / "options" / "base_options.py").read_text(encoding="utf-8")
    if model == "cyclegan":
        net_g = "resnet_9blocks" if size >= 256 else "resnet_6blocks"
    else:
        net_g = "unet_128" if size == 128 else "unet_256"
    arguments = ["--name", "bench", "--model", PEERS[model]]
    arguments += ["--crop_size", str(size), "--load_size", str(size), "--netG", net_g, "--init_type", "normal"]
    arguments += [flag for flag in ("--no_antialias", "--no_antialias_up") if flag in known]
    if device.type == "cpu" and "--gpu_ids" in known:
        arguments += ["--gpu_ids", "-1"]
    before = sys.argv
    sys.path.insert(0, str(path))  # before this folder, which has a data.py too
    try:
        with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
            sys.argv = ["train.py", "--dataroot", folder, "--checkpoints_dir", folder, *arguments]
            from models import create_model  # type: ignore[import-not-found]
            from options.train_options import TrainOptions  # type: ignore[import-not-found]

            options = TrainOptions().parse()
            options.device = device  # the latest version takes it from here, others from gpu_ids
            options.amp = False  # CUT's CycleGAN asks for it, but has no such option
            net = create_model(options)
            net.setup(options)
    finally:
        sys.argv = before
        sys.path.remove(str(path))
    theirs = sum(parameter_count(getattr(net, f"net{name}")) for name in net.model_names)
    ours = sum(parameter_count(engine.nets[role]) for role in engine.optimizers)
    if theirs != ours:
        raise SystemExit(f"{path}: its networks have {theirs} weights, ours {ours}; these steps cannot be compared")

    def step(x: Mapping[str, Tensor]) -> None:
        net.set_input({"A": x["a"], "B": x["b"], "A_paths": [""], "B_paths": [""]})
        net.optimize_parameters()

    return step


STEPS = {"cyclegan": cyclegan, "pix2pix": pix2pix, "dcgan": dcgan, "srgan": srgan, "esrgan": esrgan, "gan": gan}
