"""What all plain loops share: networks as published, torch's Adam, the losses of the public codes."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import rate_at
from translate.layers.norms import InstanceNorm
from translate.training.engine import Draw, Engine

Move = Callable[[Draw], None]
"""One step of training, which draws as many batches as it needs."""


class TorchInstanceNorm(nn.Module):
    """``nn.InstanceNorm2d`` without weights, for any number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.instance_norm(x)
        if x.requires_grad:
            # torch's backward on the CPU is wrong for a batch of one where the gradient is in channels_last.
            x.register_hook(lambda gradient: gradient.contiguous())
        return x


def published(engine: Engine, role: str) -> nn.Module:
    """A copy of a network, in NCHW and with torch's instance norm, as the public code has it."""
    net = copy.deepcopy(engine.nets[role]).to(memory_format=torch.contiguous_format)
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, TorchInstanceNorm())
    return net.train().requires_grad_(True)


class Loop:
    """A model's plain training: its networks, its optimizers, and, once a model's function has set them up, its steps.

    ``autocast``: the context of the forward passes. ``progress``: the share of the run that is done, which a schedule
    may read. ``done``: steps so far. ``finish``: by role, what a network needs after its last step.
    """

    def __init__(self, engine: Engine, autocast: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self.engine, self.task, self.data, self.autocast = engine, engine.task, engine.data, autocast
        self.nets: dict[str, nn.Module] = {}
        self.averages: dict[str, nn.Module] = {}
        self.optimizers: list[torch.optim.Optimizer] = []
        self.finish: dict[str, Callable[[nn.Module], None]] = {}
        self.progress, self.done = 0.0, 0
        self.move: Move

    def networks(self, *roles: str) -> list[nn.Module]:
        """Copies of these, which the loop trains."""
        self.nets |= {role: published(self.engine, role) for role in roles}
        return [self.nets[role] for role in roles]

    def constant(self, role: str) -> nn.Module:
        """A copy of a network that is not trained, such as VGG19's first layers."""
        return published(self.engine, role).eval().requires_grad_(False)

    def optimizer(self, *roles: str, share: float = 1.0) -> torch.optim.Optimizer:
        """torch's own with the model's rate and moments for these networks. ``share``: of lazy regularisation, the
        share of a network's updates that are not for it (Karras et al., 2020, appendix B)."""
        task = self.task
        lr = task.lr_d if task.lr_d is not None and roles[0] in task.discriminators else task.lr
        params = itertools.chain(*(self.nets[role].parameters() for role in roles))
        if task.optimizer == "rmsprop":
            made: torch.optim.Optimizer = torch.optim.RMSprop(params, lr, alpha=task.betas[1])
        else:
            only(task.optimizer == "adam" and not task.weight_decay)
            betas = (task.betas[0] ** share, task.betas[1] ** share)
            made = torch.optim.Adam(params, lr * share, betas)
        for group in made.param_groups:
            group["base"] = group["lr"]
        self.optimizers.append(made)
        return made

    def average(self, *roles: str) -> None:
        """Keep a moving average of these networks, as the public code does, where the run has one."""
        if self.engine.run.ema:
            self.averages |= {role: copy.deepcopy(self.nets[role]).eval().requires_grad_(False) for role in roles}

    def step(self, draw: Draw, progress: float = 0.0) -> None:
        """One step of training, as the engine's ``train_step``."""
        self.progress = progress
        self.set_rate(1.0)
        self.move(draw)
        self.done += 1
        with torch.no_grad():
            for role, averaged in self.averages.items():
                for kept, new in zip(averaged.parameters(), self.nets[role].parameters(), strict=True):
                    kept.lerp_(new, 1 - self.engine.run.ema)
                for kept, new in zip(averaged.buffers(), self.nets[role].buffers(), strict=True):
                    kept.copy_(new)

    def set_rate(self, factor: float) -> None:
        """The learning rates of this step: the schedule's, times a factor."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * rate_at(self.task, self.progress) * factor

    @torch.no_grad()
    def publish(self) -> None:
        """Put what was learnt in the place of the engine's networks, averaged where the loop keeps averages."""
        for role, net in {**self.nets, **self.averages}.items():
            if role in self.finish:
                net = copy.deepcopy(net).train()
                self.finish[role](net)
            self.engine.nets[role].load_state_dict(net.state_dict())
            if role in self.engine.averages:
                self.engine.averages[role].load_state_dict(net.state_dict())


def only(holds: bool) -> None:
    """Refuse options that a loop is without."""
    if not holds:
        raise SystemExit("the plain loop is for the model's own loss, without further options; take these away")


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


def lsgan(logits: Tensor, target: float) -> Tensor:
    return F.mse_loss(logits, torch.full_like(logits, target))


def frozen(nets: Sequence[nn.Module], yes: bool) -> None:
    for net in nets:
        net.requires_grad_(not yes)


def slopes(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of a critic's scores at images, (N, ...) -> (N, values), with a graph, for a penalty on it."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """Images at random places between real ones and fakes."""
    share = torch.rand(len(real), device=real.device)[:, None, None, None]
    return share * real + (1 - share) * fake.detach()
