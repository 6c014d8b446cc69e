"""Starting from weights that are there already: ``--init FILE`` and ``--init ROLE=FILE``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from translate.console import current
from translate.contract import Nets
from translate.errors import UsageError
from translate.fields import cut
from translate.modelfile.model import load_exactly, read_tensors

CHECKPOINT = "nets/"
"""What a checkpoint puts before the names of its networks' tensors."""


def load_initial(nets: Nets, given: Sequence[str]) -> list[str]:
    """Load weights into ``nets``; returns the roles that were loaded.

    ``given``: a run folder, a model file or a checkpoint, of which every role that ``nets`` has too is loaded; or
    ``ROLE=FILE``, of which that role is loaded, or the only one that the file has. Floats of another precision are
    converted, which is reported. Raises ``UsageError`` for a file that shares no role, and names the first tensor that
    does not fit.
    """
    loaded: list[str] = []
    for text in given:
        role, equals, rest = text.partition("=")
        if equals and role in nets:
            states = _states(Path(rest))
            state = states.get(role) or (next(iter(states.values())) if len(states) == 1 else None)
            if state is None:
                raise UsageError(
                    f"--init {text}: expected a file with role {role}, it has {', '.join(map(cut, states))}"
                )
            chosen = {role: state}
        else:
            states = _states(Path(text))
            chosen = {role: state for role, state in states.items() if role in nets}
            if not chosen:
                have, want = ", ".join(map(cut, states)), ", ".join(nets)
                raise UsageError(f"--init {text}: it has {have}; this model has {want} (--init ROLE=FILE picks one)")
        for role, state in chosen.items():
            origin = f"--init {text}: role {role}"
            load_exactly(nets[role], _converted(state, nets[role].state_dict(), origin), origin)
            loaded.append(role)
    return loaded


def _converted(state: Mapping[str, Tensor], own: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """The state with its floats in the precision of the network; reported in one line where it was another."""
    found: set[str] = set()
    converted = dict(state)
    for name, tensor in state.items():
        wanted = own[name].dtype if name in own else tensor.dtype
        if tensor.is_floating_point() and wanted.is_floating_point and tensor.dtype != wanted:
            converted[name] = tensor.to(wanted)
            found.add(f"{tensor.dtype} to {wanted}".replace("torch.", ""))
    if found:
        current().line(f"{origin}: converted from {', '.join(sorted(found))}")
    return converted


def _states(path: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file by role and name."""
    tensors: Mapping[str, Tensor] = read_tensors(path)
    if any(name.startswith(CHECKPOINT) for name in tensors):
        tensors = {name.removeprefix(CHECKPOINT): t for name, t in tensors.items() if name.startswith(CHECKPOINT)}
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        role, _, key = name.partition(".")
        states.setdefault(role, {})[key] = tensor
    return states
