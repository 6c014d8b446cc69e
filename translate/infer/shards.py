"""One folder shared by several processes (torchrun), and one summary of what all of them did."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # documented, but not marked as exported
from torch.distributed.rendezvous import rendezvous

from translate.distributed import World

PATIENCE = timedelta(minutes=30)
"""How long the processes wait for each other at the start. At the end the first waits as long as it takes."""


class Meeting:
    """Where the processes of one ``gantk infer`` leave their reports; without torchrun there is nobody to meet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store: Any = None
        if world.size > 1:
            store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
            self._store = PrefixStore("gantk-infer", store)

    def reports(self, mine: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The reports (JSON values) of all processes, by rank; for all but the first process its own alone."""
        own = json.dumps(mine)
        if self._world.size == 1:
            return [json.loads(own)]
        if not self._world.leads:
            self._store.set(str(self._world.rank), own)
            return [json.loads(own)]
        others = [str(rank) for rank in range(1, self._world.size)]
        while not self._store.check(others):
            time.sleep(0.1)
        return [json.loads(own), *(json.loads(self._store.get(rank)) for rank in others)]
