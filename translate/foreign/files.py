"""Reading foreign files: tensors alone. A pickle that would call anything is refused unread."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from translate.errors import UsageError
from translate.header import METADATA_KEY

AVERAGED = ("params_ema", "g_ema")
CONTAINERS = (*AVERAGED, "params", "state_dict", "netG", "generator")
"""Under which keys training codes keep the generator's state, the best first."""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile add to every name."""


@dataclass(frozen=True)
class ForeignFile:
    """What a file holds: fp32 tensors by name, without the prefixes of wrappers. ``averaged``: it says so itself."""

    path: Path
    state: Mapping[str, Tensor]
    averaged: bool


def read_file(path: Path) -> ForeignFile:
    """The generator's tensors of a ``.pth``, ``.pt``, ``.ckpt``, ``.tar``, ``.th`` or ``.safetensors`` file.

    Raises ``UsageError`` naming the file and what is wrong with it.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected weights (.pth, .pt, .ckpt, .tar, .th or .safetensors)")
    content = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickled(path)
    averaged = False
    while key := next((key for key in CONTAINERS if isinstance(content.get(key), Mapping)), None):
        averaged = averaged or key in AVERAGED
        content = content[key]  # type: ignore[assignment]
    named = {_unwrapped(key): value for key, value in content.items() if isinstance(key, str)}
    for key in CONTAINERS:  # one state dict of several networks, as Lightning saves it
        inner = {_unwrapped(name.removeprefix(f"{key}.")): v for name, v in named.items() if name.startswith(f"{key}.")}
        if inner:
            averaged, named = averaged or key in AVERAGED, inner
            break
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(content)[:5])) or "none"
        raise UsageError(f"{path}: no tensors found under {', '.join(CONTAINERS)} or at the top; its keys are {keys}")
    return ForeignFile(path, {key: _plain(path, key, tensor) for key, tensor in tensors.items()}, averaged)


def _pickled(path: Path) -> Mapping[object, object]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that it may not read: then it says so
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        called = re.search(r"GLOBAL (\S+)", str(error))
        if called:
            name = called.group(1).rstrip(".,")
            raise UsageError(
                f"{path}: refused, because reading it would run {name}; expected tensors alone, as in a state dict"
            ) from None
        # Before and behind its reason, torch advises to read the file without this protection.
        reason = str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0].strip()
        raise UsageError(f"{path}: refused, because it is not of tensors alone ({_shortened(reason)})") from None
    except Exception as error:  # damaged files raise nearly anything
        raise UsageError(f"{path}: not a readable PyTorch file ({_one_line(error)})") from None
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: holds a {type(content).__name__}; expected a state dict")
    return content


def _safetensors(path: Path) -> Mapping[object, object]:
    try:
        with safe_open(path, framework="pt") as file:
            ours = METADATA_KEY in (file.metadata() or {})
            tensors: dict[object, object] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable safetensors file ({_one_line(error)})") from None
    if ours:
        raise UsageError(f"{path}: is a gantk model already; use it as it is")
    return tensors


def _unwrapped(name: str) -> str:
    while wrapper := next((wrapper for wrapper in WRAPPERS if name.startswith(wrapper)), None):
        name = name.removeprefix(wrapper)
    return name


def _plain(path: Path, key: str, tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise UsageError(f"{path}: tensor {key} is sparse, quantised, complex or empty; expected plain numbers")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UsageError(f"{path}: tensor {key} claims {tensor.numel():,} values, which the file does not hold")
    if not tensor.is_floating_point():
        return tensor.detach()
    plain = tensor.detach().float()
    if not bool(torch.isfinite(plain).all()):
        raise UsageError(f"{path}: tensor {key} holds values that are not finite")
    return plain


def _one_line(error: Exception) -> str:
    """What an exception says; its type where that is all that it tells, as a ``KeyError`` does."""
    spoken = str(error) if isinstance(error, (OSError, RuntimeError, SafetensorError, ValueError)) else ""
    return _shortened(spoken) or type(error).__name__


def _shortened(text: str) -> str:
    return " ".join(text.split())[:160]
