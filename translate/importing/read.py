"""Reading foreign files: tensors alone. A pickle that would call anything is refused unread."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, TypeAlias
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from translate.errors import UsageError, one_line, shortened
from translate.importing.candidates import Candidate, whole
from translate.modelfile.card import METADATA_KEY
from translate.modelfile.header import LARGEST_HEADER, read_header

Form: TypeAlias = Literal["safetensors", "zip", "pickle"]
"""How tensors are stored: PyTorch's files are zip archives since 1.6, and pickles before."""


@dataclass(frozen=True)
class ForeignFile:
    """What a file holds: mappings of tensors, at any depth. Nothing in it was run."""

    path: Path
    content: Mapping[object, object]
    checked: dict[int, Tensor] = field(default_factory=dict, repr=False)
    """Tensors in fp32 by the identity of those in the file, which several candidates share."""

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors of the mapping that holds the most, in fp32: those of the network, where there is one."""
        return self.plain(max(whole(self.content), key=lambda candidate: len(candidate.state)))

    def plain(self, candidate: Candidate) -> dict[str, Tensor]:
        """A candidate's tensors in fp32. Raises ``UsageError`` naming a tensor that is damaged or of another kind."""
        for key, tensor in candidate.state.items():
            if id(tensor) not in self.checked:
                self.checked[id(tensor)] = _plain(self.path, key, tensor)
        return {key: self.checked[id(tensor)] for key, tensor in candidate.state.items()}


def read_file(path: Path) -> ForeignFile:
    """What a ``.pth``, ``.pt``, ``.ckpt``, ``.tar``, ``.th`` or ``.safetensors`` file holds.

    Raises ``UsageError`` naming the file and what is wrong with it.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected weights (.pth, .pt, .ckpt, .tar, .th or .safetensors)")
    form = _form(path)
    content = _safetensors(path) if form == "safetensors" else _pickled(path, form)
    if next(whole(content), None) is None:
        keys = ", ".join(shortened(str(key)) for key in list(content)[:5]) or "none"
        raise UsageError(f"{path}: no tensors found, at whatever depth; its keys are {keys}")
    return ForeignFile(path, content)


def _form(path: Path) -> Form:
    """What the file is by its first bytes, whatever its name; ``UsageError`` where it holds no weights."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise UsageError(f"{path}: the file is empty; expected weights")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LARGEST_HEADER:
        return "safetensors"
    if head.startswith(b"PK"):
        return "zip"
    if head.startswith(b"\x80"):
        return "pickle"
    if head.startswith(b"version https://git-lfs"):
        found = "a pointer of Git LFS, not the file itself (git lfs pull fetches it)"
    elif head.lstrip().startswith(b"<"):
        found = "a web page; expected the file that was to be downloaded"
    elif head[257:262] == b"ustar":
        found = "a tar archive; expected the file of weights that is in it"
    else:
        found = "neither a zip archive nor a pickle, as PyTorch writes them, nor safetensors"
    raise UsageError(f"{path}: not a readable file of weights ({found})")


def _pickled(path: Path, form: Form) -> Mapping[object, object]:
    try:
        # An open file, as torch would otherwise go by the suffix.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # of pickle protocols that it may not read: then it says so
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        called = re.search(r"GLOBAL (\S+)", str(error))
        if called:
            name = shortened(called.group(1).rstrip(".,"))
            raise UsageError(
                f"{path}: refused, because reading it would run {name}; expected tensors alone, as in a state dict"
            ) from None
        # Before and behind its reason, torch advises to read the file without this protection.
        reason = str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
        reason = re.sub(r"Unsupported operand (\d+)", r"pickle operation \1, which no state dict needs", reason)
        reason = " ".join(reason.split())[:160]
        raise UsageError(f"{path}: refused, because it is not of tensors alone ({reason})") from None
    except Exception as error:  # damaged files raise nearly anything
        wrong = _wrong_with_zip(path, error) if form == "zip" else _wrong_with_pickle(error)
        raise UsageError(f"{path}: not a readable PyTorch file ({wrong})") from None
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: its content is of type {type(content).__name__}; expected a state dict")
    return content


def _wrong_with_zip(path: Path, error: Exception) -> str:
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except NotImplementedError:  # a version that nobody writes
        return "a damaged zip archive"
    except (BadZipFile, OSError, ValueError):
        return "a zip archive that is cut short: its end is missing"
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript archive, which holds code; expected a state dict"
    if not any(name.endswith("/data.pkl") for name in names):
        return "a zip archive of something else: PyTorch's hold a data.pkl"
    return _damage(error)


def _wrong_with_pickle(error: Exception) -> str:
    if "Invalid magic number" in str(error):
        return "a pickle that torch.save did not write"
    if isinstance(error, EOFError) or "unexpected EOF" in str(error):
        return "cut short"
    return _damage(error)


def _damage(error: Exception) -> str:
    """With the error's own words where it is of a kind that uses words, unlike a ``KeyError`` or a ``ValueError``."""
    worded = isinstance(error, (MemoryError, OSError, RuntimeError))
    return f"damaged or cut short: {one_line(error, 160)}" if worded else "damaged or cut short"


def _safetensors(path: Path) -> Mapping[object, object]:
    header = read_header(path)  # whose reasons are plainer than those of safetensors
    if METADATA_KEY in header.metadata:
        raise UsageError(f"{path}: is a gantk model already; use it as it is")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in header.tensors}
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable safetensors file ({one_line(error, 160)})") from None


def _plain(path: Path, key: str, tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise UsageError(
            f"{path}: tensor {shortened(key)} is sparse, quantised, complex or empty; expected plain numbers"
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UsageError(
            f"{path}: tensor {shortened(key)} claims {tensor.numel():,} values, which the file does not hold"
        )
    if not tensor.is_floating_point():
        return tensor.detach()
    plain = tensor.detach().float()
    if not bool(torch.isfinite(plain).all()):
        raise UsageError(f"{path}: tensor {shortened(key)} holds values that are not finite")
    return plain
