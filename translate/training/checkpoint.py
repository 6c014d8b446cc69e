"""A run's state on disk: one safetensors file with every tensor and one JSON key; no pickle, whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from translate import distributed
from translate.errors import GantkError, UsageError, named_line, one_line, shortened
from translate.modelfile.header import CHECKSUM_KEY, ModelFileError, read_header, verify
from translate.modelfile.model import load_exactly, tensors_of
from translate.modelfile.write import write_tensors
from translate.training.engine import Engine

FORMAT = 1
METADATA_KEY = "gantk-checkpoint"
NAME = re.compile(r"step-(\d{8,})\.safetensors")


class CheckpointError(GantkError):
    """A checkpoint that cannot be read, or that belongs to another model."""


def name_of(step: int) -> str:
    """File name of the checkpoint after so many steps."""
    return f"step-{step:08d}.safetensors"


def step_of(path: Path) -> int:
    """The number of steps after which a checkpoint was written, from its name."""
    return int(path.stem.removeprefix("step-"))


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    found = [path for path in folder.glob("step-*.safetensors") if NAME.fullmatch(path.name)]
    return sorted(found, key=step_of)


def save_checkpoint(folder: Path, engine: Engine, *, position: int, keep: int) -> Path | None:
    """Write the engine's state and the loader's position; then drop all but the ``keep`` latest.

    Every process must call it (state in buffers is gathered); rank 0 alone writes and returns the path.
    """
    tensors = dict(_tensors(engine))
    if not engine.world.leads:
        return None
    state = {
        "format": FORMAT,
        "step": engine.step,
        "position": position,
        "processes": engine.world.size,
        "data": asdict(engine.data),
        "scalers": {name: scaler.state_dict() for name, scaler in engine.scalers.items()},
        "numbers": _numbers(engine),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_of(engine.step)
    write_tensors(path, tensors, {METADATA_KEY: json.dumps(state, sort_keys=True)})
    # What lies beyond this step is none of this run's latest: a stray file, or a damaged one that was passed over.
    for old in [found for found in list_checkpoints(folder) if step_of(found) <= engine.step][:-keep]:
        old.unlink(missing_ok=True)
    return path


def check_readable(path: Path) -> None:
    """Raise ``CheckpointError`` unless the file is whole and is what its checksum describes."""
    try:
        if not verify(read_header(path)):
            raise ModelFileError(f"{path}: damaged: no checksum; every checkpoint has one")
    except ModelFileError as error:
        raise CheckpointError(str(error)) from None


def newest_readable(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, and a line for each newer one that is damaged."""
    faults: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            check_readable(path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        return path, faults
    return None, faults


def load_checkpoint(path: Path, engine: Engine) -> int:
    """Put a checkpoint into the engine; returns the loader's position. Raises ``CheckpointError``."""
    try:
        return _load(path, engine)
    except GantkError:
        raise
    except Exception as error:  # whatever strange values make the optimizers raise
        raise CheckpointError(f"{path}: not a readable checkpoint ({named_line(error, 200)})") from error


def _load(path: Path, engine: Engine) -> int:
    try:
        header = read_header(path)
        if CHECKSUM_KEY not in header.metadata:
            raise ValueError("no checksum")
        tensors = tensors_of(header, finite=False)
        state = json.loads(header.metadata.get(METADATA_KEY, "{}"))
    except (ModelFileError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({one_line(error, 200)})") from None
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path}: checkpoint format {shortened(found)}; this gantk reads format {FORMAT}")
    now = json.loads(json.dumps(asdict(engine.data)))
    if unknown := sorted(state.get("data", now).keys() - now.keys()):
        raise UsageError(f"--resume: {path} has data.{shortened(unknown[0])}, which this gantk does not know")
    for key, before in state.get("data", now).items():
        if before != now[key]:
            raise UsageError(
                f"--resume: the data had {key} {shortened(before, 200)} when {path} was saved, and have {now[key]} now"
            )
    own = engine.world.rank % state["processes"]
    groups: dict[str, dict[str, Tensor]] = {"nets": {}, "averages": {}, "optimizers": {}, "process": {}}
    for name, tensor in tensors.items():
        group, _, key = name.partition("/")
        if group not in groups:
            raise UsageError(f"--resume: {path} has a tensor {shortened(name)}, which this gantk does not know")
        groups[group][key] = tensor
    held = groups["process"]
    for role in _stateful(engine):
        for key in engine.nets[role].state_dict():
            name = f"{role}.{key}"
            groups["nets"][name] = held.get(f"{own}/{name}", held[f"0/{name}"])
    try:
        for role in engine.constants:  # rebuilt from their own weights, not checkpointed
            groups["nets"].update({f"{role}.{k}": v for k, v in engine.nets[role].state_dict().items()})
        load_exactly(engine.nets, groups["nets"], str(path))
        load_exactly(engine.averages, groups["averages"], str(path))
    except GantkError as error:
        raise CheckpointError(str(error)) from None
    for role, optimizer in engine.optimizers.items():
        moments: dict[int, dict[str, Any]] = {}
        for key, value in {**groups["optimizers"], **state["numbers"]}.items():
            of_role, index, name = key.split("/", 2)
            if of_role == role:
                moments.setdefault(int(index), {})[name] = value
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for number, values in moments.items():
            like = parameters[number]
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == like.shape:
                    # Fused optimizers walk weight and moments as flat memory: their layouts must agree.
                    values[name] = torch.empty_like(like, dtype=value.dtype).copy_(value)
        # Rates and betas are hyper-parameters and functions of progress: the optimizer just built has them.
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, scaler in engine.scalers.items():
        if scaler.is_enabled() and state["scalers"].get(name):
            scaler.load_state_dict(state["scalers"][name])
    engine.step = int(state["step"])
    return int(state["position"])


def saved_processes(path: Path) -> tuple[int, list[str]]:
    """How many processes wrote a checkpoint, and the roles whose state was not the same on all of them."""
    with safe_open(path, framework="pt") as file:
        groups = [name.split("/", 2) for name in file.keys()]  # noqa: SIM118 -- not a dict
        apart = {parts[2].partition(".")[0] for parts in groups if parts[0] == "process" and parts[1] != "0"}
        return int(json.loads(file.metadata()[METADATA_KEY])["processes"]), sorted(apart)


def published_tensors(engine: Engine) -> dict[str, Tensor]:
    """The weights to publish by ``role.key``: moving averages where the task model keeps them."""
    tensors = {f"{role}.{k}": v for role, net in engine.nets.items() for k, v in net.state_dict().items()}
    for role, averaged in engine.averages.items():
        tensors.update({f"{role}.{k}": v for k, v in averaged.state_dict().items()})
    return tensors


def _stateful(engine: Engine) -> list[str]:
    """Roles of buffers alone, such as an image pool: what a process puts there need not be what another does."""
    return [role for role, net in engine.nets.items() if not any(True for _ in net.parameters())]


def _tensors(engine: Engine) -> Iterator[tuple[str, Tensor]]:
    apart = {*_stateful(engine), *engine.constants}
    for role, net in engine.nets.items():
        for key, tensor in net.state_dict().items():
            if role not in apart:
                yield f"nets/{role}.{key}", tensor
            elif role not in engine.constants:
                parts = distributed.gather(tensor, engine.world)
                for rank, part in enumerate(parts):
                    if rank == 0 or not torch.equal(part, parts[0]):
                        yield f"process/{rank}/{role}.{key}", part
    for key, tensor in engine.averages.state_dict().items():
        yield f"averages/{key}", tensor
    for name, value in _moments(engine):
        if isinstance(value, Tensor):
            yield f"optimizers/{name}", value


def _numbers(engine: Engine) -> dict[str, Any]:
    return {name: value for name, value in _moments(engine) if not isinstance(value, Tensor)}


def _moments(engine: Engine) -> Iterator[tuple[str, Any]]:
    for role, optimizer in engine.optimizers.items():
        state: Mapping[int, Mapping[str, Any]] = optimizer.state_dict()["state"]
        for index, values in state.items():
            for name, value in values.items():
                yield f"{role}/{index}/{name}", value


def same_state(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold bit-identical tensors."""
    with safe_open(first, framework="pt") as a, safe_open(second, framework="pt") as b:
        names = list(a.keys())
        return sorted(names) == sorted(b.keys()) and all(
            torch.equal(a.get_tensor(name), b.get_tensor(name)) for name in names
        )
