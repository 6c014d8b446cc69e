"""What a family of foreign networks is, and helpers to read sizes from tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from translate.contract import DataSpec

State = Mapping[str, Tensor]
"""A foreign state dict: tensors by their own names."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one state dict would be read as a network of a family, as far as its tensors determine that.

    It is made for any state, also one of another family: then ``layers`` and the state differ, and the difference is
    what the user reads.
    """

    state: State
    """What is to be translated: without what carries no information, such as fixed filters."""
    plugin: str
    model: Mapping[str, Any]
    """Hyper-parameters of the plugin's task model."""
    data: DataSpec
    role: str
    direction: str
    layers: Mapping[str, str]
    """Their name of each layer with tensors, and ours."""
    others: tuple[str, ...] = ()
    """Further directions that the same network serves."""
    problem: str = ""
    """Why a state with these very names still cannot be imported."""
    notes: tuple[str, ...] = field(default=())
    """What the tensors do not determine and was assumed."""


@dataclass(frozen=True, kw_only=True)
class PublicForm:
    """How the public code saves a network, for ``gantk export --to pth``: the inverse of ``Family.read``."""

    network: type[nn.Module]
    """Our class of it."""
    state: Callable[[Any], State]
    """The tensors of such a network by the public code's names. Raises ``UsageError`` for a variant that the public
    code does not build."""
    keys: tuple[str, str] | None = None
    """The key of the file that holds raw weights, and that of averaged ones; None: the file is the state dict."""


BASICSR = ("params", "params_ema")
"""``PublicForm.keys`` of BasicSR and of all codes that are built on it."""


@dataclass(frozen=True)
class Family:
    """Networks of one public code: ``plugins`` can express them, the first unless ``--as`` names another."""

    name: str
    title: str
    plugins: tuple[str, ...]
    read: Callable[[State, str | None], Layout]
    """Lays out a state for the plugin that ``--as`` names, or None; never fails."""
    form: PublicForm | None = None
    """None: networks of this family are imported alone."""


def side(state: State, key: str, axis: int, default: int = 1) -> int:
    """The size of a tensor along an axis; ``default`` where there is no such tensor or axis."""
    tensor = state.get(key)
    return tensor.shape[axis] if tensor is not None and -tensor.dim() <= axis < tensor.dim() else default


def numbered(state: State, pattern: str) -> list[int]:
    """The numbers that the one group of ``pattern`` finds at the start of keys, sorted."""
    found = (re.match(pattern, key) for key in state)
    return sorted({int(match.group(1)) for match in found if match})


def layer_of(key: str) -> str:
    """The layer that a tensor belongs to: the name without its last part."""
    return key.rpartition(".")[0]


def renamed(state: State, layers: Mapping[str, str]) -> dict[str, Tensor]:
    """Our tensors by their names; ``layers`` as in ``Layout``."""
    theirs = {ours: there for there, ours in layers.items()}
    return {f"{theirs[layer_of(key)]}.{key.rpartition('.')[2]}": tensor for key, tensor in state.items()}


def biases_folded(state: State, norms: Mapping[str, str]) -> dict[str, Tensor]:
    """The state without biases before batch norm, which are redundant and ours lack: they go into the running means.

    The same function, in eval mode and in training. ``norms``: the layer before each norm, by the norm's name.
    """
    folded = dict(state)
    for norm, conv in norms.items():
        mean, bias = f"{norm}.running_mean", f"{conv}.bias"
        if mean in folded and bias in folded and folded[mean].shape == folded[bias].shape:
            folded[mean] = folded[mean] - folded.pop(bias)
    return folded


def without_instance_statistics(state: State) -> dict[str, Tensor]:
    """Drop running statistics of norms that have no weights: PyTorch before 0.4 saved them for instance norm, which
    does not use them."""
    idle = {layer_of(key) for key in state if key.endswith(".running_mean")}
    idle -= {layer_of(key) for key in state if key.endswith(".weight")}
    statistics = {
        f"{layer}.{name}" for layer in idle for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    return {key: tensor for key, tensor in state.items() if key not in statistics}
