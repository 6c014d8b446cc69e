"""Where in a foreign file networks may be: under which keys of its mappings, and behind which prefix of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile add to every name."""
AVERAGE = re.compile(r"(?<![a-z])ema(?![a-z])|avg|average|shadow", re.IGNORECASE)
"""What the key of averaged weights contains: ``params_ema``, ``g_ema``, ``ema.generator``, ``avgG``."""
DISCRIMINATOR = re.compile(r"(?:^|[._])(?:net_?|model_?)?d(?:_?[ab])?(?:$|[._])|discriminator|critic", re.IGNORECASE)
"""What the key of a discriminator contains: ``netD``, ``d_a``, ``discriminator``."""
DEEPEST = 6
"""Mappings in mappings that are looked into."""
LONGEST = 3
"""Parts of a prefix."""


@dataclass(frozen=True)
class Candidate:
    """Tensors by name that may be a network's. ``key``: where in the file, as ``--key`` has it; "" is all of it."""

    key: str
    state: Mapping[str, Tensor]

    @property
    def averaged(self) -> bool:
        """Whether its key says that the weights are averages."""
        return AVERAGE.search(self.key) is not None

    @property
    def discriminator(self) -> bool:
        """Whether its key, or else its shapes say so: pictures of two channels or more go in, one number comes out."""
        if DISCRIMINATOR.search(self.key):
            return True
        weights = [tensor for tensor in self.state.values() if tensor.dim() in (2, 4)]
        return len(weights) > 1 and weights[0].dim() == 4 and weights[0].shape[1] > 1 and weights[-1].shape[0] == 1


def whole(content: Mapping[object, object], key: str = "", depth: int = 0) -> Iterator[Candidate]:
    """Every mapping that holds tensors itself, the outer ones first."""
    state = {_unwrapped(name): value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if tensors:
        yield Candidate(key, tensors)
    if depth < DEEPEST:
        for name, value in content.items():
            if isinstance(value, Mapping) and isinstance(name, str):
                yield from whole(value, _joined(key, name), depth + 1)


def parts(candidate: Candidate) -> Iterator[Candidate]:
    """Those of a candidate's tensors whose names begin alike, the shorter prefixes first."""
    prefixes: dict[str, None] = {}
    for length in range(1, LONGEST + 1):
        for name in candidate.state:
            pieces = name.split(".")[:-1]
            if len(pieces) >= length and not any(piece.isdigit() for piece in pieces[:length]):
                prefixes[".".join(pieces[:length])] = None
    for prefix in prefixes:
        start = f"{prefix}."
        state = {
            _unwrapped(name.removeprefix(start)): tensor
            for name, tensor in candidate.state.items()
            if name.startswith(start)
        }
        yield Candidate(_joined(candidate.key, prefix), state)


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _unwrapped(name: str) -> str:
    while wrapper := next((wrapper for wrapper in WRAPPERS if name.startswith(wrapper)), None):
        name = name.removeprefix(wrapper)
    return name
