"""Models that travel: one safetensors file that says itself what it is.

The file holds the networks that its directions need and one metadata key, ``gantk``, with canonical JSON: the plugin
and its version, the hyper-parameters, the data it was made for and the directions. No flag repeats what training knew.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from translate.console import current
from translate.contract import Batch, DataSpec, Direction, Nets, TaskModel
from translate.errors import GantkError, UsageError, one_line
from translate.fields import map_paths
from translate.files import write_whole
from translate.modelfile.header import FILE_NAME as FILE_NAME
from translate.modelfile.header import FORMAT, METADATA_KEY, Header, read_fields, read_header
from translate.modelfile.header import ModelFileError as ModelFileError
from translate.modelfile.header import locate as locate
from translate.plugins import PluginError, load, origin

Weights = Literal["raw", "averaged"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model file says about itself; the metadata as typed fields."""

    plugin: str
    distribution: str
    version: str
    model: Mapping[str, Any]
    """Hyper-parameters: the fields of the task model. Paths of the training machine do not travel."""
    data: DataSpec
    directions: tuple[Mapping[str, Any], ...]
    weights: Weights = "raw"
    """Whether the averaged roles hold their moving average."""
    step: int = 0
    """Training steps, at least 1; 0 where the weights were imported."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    format: int = FORMAT

    @property
    def imported(self) -> bool:
        """Whether another code trained it, so that the training size is a guess."""
        return self.step == 0

    @property
    def origin(self) -> str:
        """``after step 1,000``, or ``imported``."""
        return "imported" if self.imported else f"after step {self.step:,}"

    def to_json(self) -> str:
        """Canonical: sorted keys, no spaces, so that equal cards are equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


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


def hyper_parameters(task: TaskModel) -> dict[str, Any]:
    """The fields of a task model as JSON values, without paths of this machine: of several, the names of the files."""
    fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    without = {
        name: None if isinstance(value, Path) else map_paths(value, lambda path: path.name)
        for name, value in fields.items()
    }
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(without, mode="json")
    return plain


def make_task(cls: type[TaskModel], model: Mapping[str, Any], path: Path) -> TaskModel:
    """Build the task model from recorded hyper-parameters; a key it does not know is an error that names it."""
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(model) - known):
        raise ModelFileError(f"{path}: unknown hyper-parameter {unknown[0]!r} for {cls.__name__}")
    try:
        return TypeAdapter(cls).validate_python(dict(model))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"{path}: hyper-parameter {where}: {first['msg']}") from None


def describe(direction: Direction) -> dict[str, Any]:
    """A direction as JSON values: everything but the function."""
    return {
        "name": direction.name,
        "inputs": list(direction.input_names),
        "outputs": direction.outputs,
        "roles": list(direction.roles),
        "multiple": direction.multiple,
        "scale": direction.scale,
        "margin": direction.margin,
        "latent": None if direction.latent is None else dataclasses.asdict(direction.latent),
        "conditions": {
            name: {"help": condition.help, "default": condition.default, "choices": list(condition.choices)}
            for name, condition in direction.conditions.items()
        },
        "noise": direction.noise,
        "sequence": direction.sequence,
    }


def needed_roles(directions: Sequence[Direction]) -> list[str]:
    """The roles that some direction needs, in order of first use."""
    return list(dict.fromkeys(role for direction in directions for role in direction.roles))


def save_published(
    path: Path,
    *,
    plugin: str,
    task: TaskModel,
    data: DataSpec,
    tensors: Mapping[str, Tensor],
    weights: Weights,
    step: int,
    offered: Sequence[str] | None = None,
) -> None:
    """Write the model file, whole or not at all; equal inputs give equal bytes.

    ``tensors``: state of the networks by ``role.key``; roles that no direction needs are left out. ``offered``: names
    of the directions that the file offers; all of the task model's if None.
    """
    directions = [d for d in task.directions(data) if offered is None or d.name in offered]
    roles = set(needed_roles(directions))
    distribution, version = origin(plugin)
    card = Card(
        plugin=plugin,
        distribution=distribution,
        version=version,
        model=hyper_parameters(task),
        data=data,
        directions=tuple(describe(d) for d in directions),
        weights=weights,
        step=step,
    )
    write_card(path, card, {k: v for k, v in tensors.items() if k.partition(".")[0] in roles})


def write_card(path: Path, card: Card, tensors: Mapping[str, Tensor]) -> None:
    """Write a card and its tensors as one safetensors file."""
    plain = {
        k: tensors[k].detach().to("cpu", memory_format=torch.contiguous_format).contiguous() for k in sorted(tensors)
    }
    payload = to_bytes(unshared(plain), metadata={METADATA_KEY: card.to_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: temporary.write_bytes(payload))


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors that share memory (tied weights), which safetensors refuses to write."""
    seen: set[int] = set()
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        pointer = tensor.untyped_storage().data_ptr() if tensor.numel() else 0
        result[name] = tensor.clone() if pointer in seen else tensor
        if pointer:
            seen.add(pointer)
    return result


def read_card(path: Path) -> Card:
    """What a model says about itself, from its header alone."""
    return _card(read_header(locate(path)))


def _card(header: Header) -> Card:
    fields = read_fields(header)
    try:
        return TypeAdapter(Card).validate_python(fields)
    except ValidationError as error:
        raise ModelFileError(f"{header.path}: damaged gantk metadata ({one_line(error)})") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a model file; a non-finite one is refused by name."""
    path = locate(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 -- not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{path}: tensor {key} holds values that are not finite")
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
    card = _card(header)
    try:
        cls = _plugin_of(card)
        _compare_origin(card, path)
        task = make_task(cls, card.model, path)
        directions = _offered(task, card, path)
        with _no_larger_than(header):
            nets = build_nets(task, card.data, needed_roles(directions))
    except ModelFileError:
        raise
    except GantkError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except Exception as error:  # sizes that no memory holds, and whatever a plugin does with strange values
        raise ModelFileError(f"{path}: its networks cannot be built ({one_line(error)})") from error
    check_shapes(nets, {key: entry.shape for key, entry in header.tensors.items()}, str(path))
    load_exactly(nets, read_tensors(path), str(path))
    return Published(path, card, task, nets.eval().requires_grad_(False), directions)


def _offered(task: TaskModel, card: Card, path: Path) -> tuple[Direction, ...]:
    """The directions that the file names, in its order; it may hold the networks of some alone."""
    known = {direction.name: direction for direction in task.directions(card.data)}
    for name in (recorded["name"] for recorded in card.directions):
        if name not in known:
            raise ModelFileError(f"{path}: direction {name!r} is none of {card.plugin}'s: {', '.join(known)}")
    return tuple(known[recorded["name"]] for recorded in card.directions)


@contextmanager
def _no_larger_than(header: Header) -> Iterator[None]:
    """Stop building networks that outgrow what the file holds, before their memory is touched.

    Hyper-parameters come from the file: ``blocks: 1000000`` must not fill the machine. There is room for layers whose
    weights are made twice (spectral norm).
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
        raise ModelFileError(f"{origin}: tensor {missing[0]} is missing ({len(missing)} missing, {len(extra)} unknown)")
    if extra:
        raise ModelFileError(f"{origin}: unknown tensor {extra[0]} ({len(extra)} unknown)")
    for key, tensor in own.items():
        if tuple(tensor.shape) != tuple(shapes[key]):
            seen, expected = tuple(shapes[key]), tuple(tensor.shape)
            raise ModelFileError(f"{origin}: tensor {key} has shape {seen}, expected {expected}")


def _plugin_of(card: Card) -> type[TaskModel]:
    try:
        return load(card.plugin)
    except PluginError:
        raise
    except UsageError as error:  # a name alone does not say what would have to be installed
        raise UsageError(f"{error} (the file was made with {card.distribution} {card.version})") from None


def _compare_origin(card: Card, path: Path) -> None:
    """Say where the installed plugin is not the one that made the file."""
    installed = origin(card.plugin)
    if (card.distribution, card.version) != installed:
        # Another package under the same name may mean another model; another version should not.
        tell = current().warning if card.distribution != installed[0] else current().detail
        made, by = f"{card.distribution} {card.version}", " ".join(installed)
        tell(f"{path}: made by {card.plugin} of {made}, run by that of {by}")


def load_exactly(nets: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load a state; a missing, extra or misshapen tensor is an error that names it and counts the others."""
    check_shapes(nets, {key: tensor.shape for key, tensor in tensors.items()}, origin)
    nets.load_state_dict(dict(tensors))


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Size of the tensors in bytes."""
    return sum(math.prod(t.shape) * t.element_size() for t in tensors.values())
