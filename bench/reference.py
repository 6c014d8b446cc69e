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
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.engine import Engine
from translate.layers.norms import InstanceNorm

Step = Callable[[Mapping[str, Tensor]], None]


def published(engine: Engine, role: str) -> nn.Module:
    """A copy of a network, in NCHW and with torch's instance norm, as the public code has it."""
    net = copy.deepcopy(engine.nets[role]).to(memory_format=torch.contiguous_format)
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.InstanceNorm2d(0))  # no weights: the number of channels is not used
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
        z = torch.randn(len(x["image"]), 100)
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
    g, d, features = published(engine, "g"), published(engine, "d"), published(engine, "features").eval()
    features.requires_grad_(False)
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


def peer(path: Path, model: str, size: int, device: torch.device) -> Step:
    """A step of the public code in a checkout, through its own options and its own model class."""
    sys.path.insert(0, str(path))
    folder = tempfile.mkdtemp()
    arguments = ["--dataroot", folder, "--checkpoints_dir", folder, "--name", "bench", "--model", model]
    arguments += ["--crop_size", str(size), "--load_size", str(size)]
    if device.type == "cpu":
        arguments += ["--gpu_ids", "-1"]
    before, sys.argv = sys.argv, ["train.py", *arguments]
    try:
        from models import create_model  # type: ignore[import-not-found]
        from options.train_options import TrainOptions  # type: ignore[import-not-found]

        options = TrainOptions().parse()
        net = create_model(options)
        net.setup(options)
    finally:
        sys.argv = before

    def step(x: Mapping[str, Tensor]) -> None:
        net.set_input({"A": x["a"], "B": x["b"], "A_paths": [""], "B_paths": [""]})
        net.optimize_parameters()

    return step


STEPS = {"cyclegan": cyclegan, "pix2pix": pix2pix, "dcgan": dcgan, "srgan": srgan}
