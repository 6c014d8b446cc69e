"""Reading models: one safetensors file that describes itself, so that no flag repeats what training knew.

The file holds the networks that its directions need and a `Card`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from translate.console import current
from translate.contract import Batch, DataSpec, Direction, Nets, TaskModel
from translate.errors import GantkError, UsageError, one_line, shortened
from translate.modelfile.card import Card, card_of
from translate.modelfile.header import Header, ModelFileError, locate, read_header, verify
from translate.modelfile.write import DTYPES
from translate.plugins import PluginError, load, origin
from translate.versions import is_newer


@dataclass(frozen=True)
class Published:
    """A trained model, ready to run: networks on the CPU, in eval mode, fp32."""

    path: Path
    card: Card
    task: TaskModel
    nets: Nets
    directions: tuple[Direction, ...]
    lock: RLock = field(default_factory=RLock, repr=False, compare=False)
    """Held while the networks run or move: tiles and dropout change them for the time of a forward."""

    @property
    def plugin(self) -> str:
        """The registered name of the plugin."""
        return self.card.plugin

    @property
    def data(self) -> DataSpec:
        """What the model was trained on: sizes, channels, scale."""
        return self.card.data

    def direction(self, name: str | None = None, *, latent: bool = False) -> Direction:
        """The direction of that name, or the first of the wanted kind (images in, or noise in for ``latent``)."""
        offered = [d for d in self.directions if (d.latent is not None) == latent]
        if not offered:
            kind, other = ("sample", "infer") if latent else ("infer", "sample")
            raise UsageError(f"{self.path}: gantk {kind} has no use for a model of {self.plugin}; use gantk {other}")
        if name is None:
            return offered[0]
        for direction in offered:
            if direction.name == name:
                return direction
        names = ", ".join(d.name for d in offered)
        raise UsageError(f"--direction {name}: {self.path} offers {names}")


class DirectionModule(nn.Module):
    """A direction as a plain module, tensors in and a tensor out, for exporters."""

    def __init__(self, nets: Nets, direction: Direction) -> None:
        super().__init__()
        self.nets = nets
        self.direction = direction

    def forward(self, *tensors: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] for each input, or latent noise, then the conditions -> (N, C, H * scale, ...)."""
        return self.direction.run(self.nets, Batch(zip(self.direction.arguments, tensors, strict=True)))


def make_task(cls: type[TaskModel], model: Mapping[str, Any], path: Path, written: str = "") -> TaskModel:
    """Build the task model from recorded hyper-parameters; a key it does not know is an error that names it.

    ``written``: what that error adds of who wrote the file.
    """
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(model) - known):
        raise ModelFileError(f"{path}: unknown hyper-parameter {shortened(unknown[0])!r} for {cls.__name__}{written}")
    try:
        return TypeAdapter(cls).validate_python(dict(model))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"{path}: hyper-parameter {shortened(where)}: {shortened(first['msg'], 160)}") from None


def needed_roles(directions: Sequence[Direction]) -> list[str]:
    """The roles that some direction needs, in order of first use."""
    return list(dict.fromkeys(role for direction in directions for role in direction.roles))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a run's model or of a safetensors file, compared with its checksum where it has one.

    Raises ``ModelFileError``, also for a tensor that holds values that are not finite.
    """
    return tensors_of(read_header(locate(path)))


def tensors_of(header: Header, *, finite: bool = True) -> dict[str, Tensor]:
    """The tensors that a header describes, compared with its checksum; ``finite``: refuse other values."""
    path = header.path
    for key, entry in header.tensors.items():
        if entry.dtype not in DTYPES.values():
            kinds = ", ".join(DTYPES.values())
            found = shortened(entry.dtype)
            raise ModelFileError(f"{path}: tensor {shortened(key)} is of type {found}; expected {kinds}")
    verify(header)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in header.tensors}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    for key, tensor in tensors.items():
        if finite and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{path}: tensor {shortened(key)} holds values that are not finite")
    return tensors


def build_nets(task: TaskModel, data: DataSpec, roles: Sequence[str]) -> Nets:
    """Build the named roles of a task model on the CPU."""
    builders = task.networks(data)
    return Nets({role: builders[role]() for role in roles})


def load_published(path: Path) -> Published:
    """Read a run folder or a model file. Nothing is imported but the installed plugin of the recorded name.

    Raises ``ModelFileError`` naming the file and the exact difference where weights and networks do not fit.
    """
    path = locate(path)
    header = read_header(path)
    card = card_of(header)
    try:
        cls = _plugin_of(card)
        _compare_origin(card, path)
        by = f" (written by {card.distribution} {card.version}, read by {' '.join(origin(card.plugin))})"
        task = make_task(cls, card.model, path, by)
        _report_new_fields(task, card, path)
        directions = _offered(task, card, path)
        with _no_larger_than(header):
            nets = build_nets(task, card.data, needed_roles(directions))
    except ModelFileError:
        raise
    except GantkError as error:
        raise ModelFileError(f"{path}: {one_line(error)}") from None
    except Exception as error:  # sizes that no memory holds, and whatever a plugin does with strange values
        raise ModelFileError(f"{path}: its networks cannot be built ({one_line(error)})") from error
    check_shapes(nets, {key: entry.shape for key, entry in header.tensors.items()}, str(path))
    load_exactly(nets, tensors_of(header), str(path))
    return Published(path, card, task, nets.eval().requires_grad_(False), directions)


def _offered(task: TaskModel, card: Card, path: Path) -> tuple[Direction, ...]:
    """The directions that the file names, in its order; it may hold the networks of some alone."""
    known = {direction.name: direction for direction in task.directions(card.data)}
    for name in (recorded.name for recorded in card.directions):
        if name not in known:
            raise ModelFileError(
                f"{path}: direction {shortened(name)!r} is none of {card.plugin}'s: {', '.join(known)}"
            )
    return tuple(known[recorded.name] for recorded in card.directions)


@contextmanager
def _no_larger_than(header: Header) -> Iterator[None]:
    """Stop building networks that outgrow what the file holds, before their memory is touched.

    Hyper-parameters come from the file: ``blocks: 1000000`` must not fill the machine. There is room for layers whose
    weights are created twice (spectral norm).
    """
    count = 2 * len(header.tensors) + 64
    numbers = 2 * sum(entry.numbers for entry in header.tensors.values()) + (1 << 24)

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count, numbers
        if parameter is None or is_lazy(parameter):
            return
        count, numbers = count - 1, numbers - parameter.numel()
        if count < 0 or numbers < 0:
            raise ModelFileError(
                f"{header.path}: its metadata describes larger networks than the {len(header.tensors)} tensors it holds"
            )

    handle = register_module_parameter_registration_hook(register)
    try:
        yield
    finally:
        handle.remove()


def check_shapes(nets: nn.Module, shapes: Mapping[str, Sequence[int]], origin: str) -> None:
    """Raise ``ModelFileError`` naming the first tensor that is missing, unknown or of another shape."""
    own = nets.state_dict()
    missing, extra = sorted(own.keys() - shapes.keys()), sorted(shapes.keys() - own.keys())
    if missing:
        raise ModelFileError(
            f"{origin}: tensor {shortened(missing[0])} is missing ({len(missing)} missing, {len(extra)} unknown)"
        )
    if extra:
        raise ModelFileError(f"{origin}: unknown tensor {shortened(extra[0])} ({len(extra)} unknown)")
    for key, tensor in own.items():
        if tuple(tensor.shape) != tuple(shapes[key]):
            found, expected = shortened(tuple(shapes[key])), tuple(tensor.shape)
            raise ModelFileError(f"{origin}: tensor {key} has shape {found}, expected {expected}")


def _plugin_of(card: Card) -> type[TaskModel]:
    try:
        return load(card.plugin)
    except PluginError:
        raise
    except UsageError as error:  # a name alone does not say what would have to be installed
        raise UsageError(f"{error} (the file was written with {card.distribution} {card.version})") from None


def _compare_origin(card: Card, path: Path) -> None:
    """Report where the installed plugin is not the one that wrote the file.

    Raises ``ModelFileError`` where it is an older version.
    """
    installed = origin(card.plugin)
    written, by = f"{card.distribution} {card.version}", " ".join(installed)
    if card.distribution == installed[0] and is_newer(card.version, installed[1]):
        raise ModelFileError(f"{path}: written by {card.plugin} of {written}, newer than the installed {by}")
    if (card.distribution, card.version) != installed:
        # Another package under the same name may mean another model; another version should not.
        report = current().warning if card.distribution != installed[0] else current().detail
        report(f"{path}: written by {card.plugin} of {written}, run by that of {by}")


def _report_new_fields(task: TaskModel, card: Card, path: Path) -> None:
    """Report the hyper-parameters that the plugin has got since the file was written, and what they are now."""
    for name in (own.name for own in dataclasses.fields(task) if own.name not in card.model):
        value = shortened(getattr(task, name))
        current().line(f"{path}: --{name.replace('_', '-')} is new since it was written; it has its default, {value}")


def load_exactly(nets: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load a state. Raises ``ModelFileError`` for a tensor that is missing, unknown, of another shape or type."""
    check_shapes(nets, {key: tensor.shape for key, tensor in tensors.items()}, origin)
    for key, own in nets.state_dict().items():
        if own.dtype != tensors[key].dtype:
            found, expected = (str(dtype).removeprefix("torch.") for dtype in (tensors[key].dtype, own.dtype))
            raise ModelFileError(f"{origin}: tensor {key} is of type {found}; expected {expected}")
    nets.load_state_dict(dict(tensors))
