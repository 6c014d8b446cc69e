"""Starting from weights that are there already: ``--init FILE`` and ``--init ROLE=FILE``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from translate.contract import Nets
from translate.errors import UsageError
from translate.modelfile.model import check_shapes, read_tensors

CHECKPOINT = "nets/"
"""What a checkpoint puts before the names of its networks' tensors."""


def load_initial(nets: Nets, given: Sequence[str]) -> list[str]:
    """Load weights into ``nets``; returns the roles that were loaded.

    ``given``: a run folder, a model file or a checkpoint, of which every role that ``nets`` has too is loaded; or
    ``ROLE=FILE``, of which that role is loaded, or the only one that the file has. Raises ``UsageError`` for a file
    that shares no role, and names the first tensor that does not fit.
    """
    loaded: list[str] = []
    for text in given:
        role, equals, rest = text.partition("=")
        if equals and role in nets:
            states = _states(Path(rest))
            state = states.get(role) or (next(iter(states.values())) if len(states) == 1 else None)
            if state is None:
                raise UsageError(f"--init {text}: expected a file with role {role}, it has {', '.join(states)}")
            chosen = {role: state}
        else:
            states = _states(Path(text))
            chosen = {role: state for role, state in states.items() if role in nets}
            if not chosen:
                have, want = ", ".join(states), ", ".join(nets)
                raise UsageError(f"--init {text}: it has {have}; this model has {want} (--init ROLE=FILE picks one)")
        for role, state in chosen.items():
            shapes = {name: tensor.shape for name, tensor in state.items()}
            check_shapes(nets[role], shapes, f"--init {text}: role {role}")
            nets[role].load_state_dict(dict(state))
            loaded.append(role)
    return loaded


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
