"""A look at networks that are in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from translate.contract import Nets


@contextmanager
def resting(nets: Nets) -> Iterator[Nets]:
    """The networks in eval mode, so that a look leaves no trace in their statistics; afterwards as they were."""
    training = {role: net.training for role, net in nets.items()}
    try:
        yield Nets(dict(nets.items())).eval()
    finally:
        for role, net in nets.items():
            net.train(training[role])
