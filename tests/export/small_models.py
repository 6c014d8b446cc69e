"""Model files with random weights, for all that exports them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from translate.contract import DataSpec
from translate.modelfile.model import build_nets, needed_roles
from translate.modelfile.write import save_published
from translate.plugins import load


def save_random(
    path: Path, plugin: str, model: Mapping[str, object], data: DataSpec, weights: str = "raw", step: int = 7
) -> Path:
    """Write all networks that the model's directions need, every parameter drawn anew; returns the path."""
    torch.manual_seed(0)
    task = load(plugin)(**model)  # type: ignore[arg-type]
    nets = build_nets(task, data, needed_roles(task.directions(data)))
    for parameter in nets.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_published(
        path,
        plugin=plugin,
        task=task,
        data=data,
        tensors=nets.state_dict(),
        weights=weights,  # type: ignore[arg-type]
        step=step,
    )
    return path
