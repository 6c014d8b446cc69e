"""``gantk infer``: a trained model applied to files and folders of photos."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from translate.console import current, speaking
from translate.contract import Direction
from translate.data.formats import pixel_limit
from translate.data.listing import describe
from translate.device import choose_device
from translate.distributed import World, world_from_environment
from translate.errors import GantkError, UsageError
from translate.files import make_folder, remove_leftovers
from translate.infer.direction import direction_of
from translate.infer.fleet import Fleet
from translate.infer.levels import Levels
from translate.infer.lists import named_photos
from translate.infer.options import InferOptions
from translate.infer.partners import folders_of, with_partners
from translate.infer.plan import Job, plan
from translate.infer.progress import counter, reported_if_long, stoppable
from translate.infer.runner import Network
from translate.infer.sequence import shared
from translate.infer.shards import Meeting
from translate.infer.stages import Stages
from translate.infer.summary import Entry, Summary, Tally
from translate.modelfile.model import Published


def infer(
    model: Published,
    inputs: Sequence[Path],
    out: Path,
    options: InferOptions | None = None,
) -> Summary:
    """Apply ``model`` to every photo of ``inputs``, files and folders, and write the results below ``out``.

    With ``options.listing``, to the photos that a list names, see ``named_photos``. The console receives a record for
    each file. The model's networks are moved to the device. What fails is reported and does not stop the rest. Raises
    ``UsageError`` before the first photo is read, ``InterruptedRunError`` on Ctrl-C or SIGTERM and ``DiskFullError``,
    after which nothing half-done is left.
    """
    options = options or InferOptions()
    console, direction = current(), direction_of(model, options)
    folders = folders_of(direction, options.also)
    world = world_from_environment()
    with stoppable(), _engine(model, direction, out, options, world) as engine:
        with reported_if_long("looking for photos") if world.leads else nullcontext():
            left_out: Counter[str] = Counter()
            planes = Levels.of(model.data, direction.outputs, options.bits).planes_out
            named = () if options.listing is None else named_photos(options.listing, inputs)
            folders_or_photos = inputs if options.listing is None else ()
            jobs = plan(folders_or_photos, out, options, planes, left_out, named)
            with speaking(world.leads):
                jobs = shared(with_partners(jobs, folders, out), options.share, direction.sequence)
        meeting = Meeting(world)
        make_folder(out, f"--out {out}")
        own, tally = shared(jobs, slice(world.rank, None, world.size), direction.sequence), Tally()
        if world.leads:
            remove_leftovers(out, below=True)
            console.line(f"{model.plugin} {direction.name} on {engine.place()}: {len(jobs)} files")
            if left_out:
                console.line(describe(left_out))
            if (options.batch or 1) > engine.batch:
                why = "follows the order of frames" if direction.sequence else "draws noise for each photo"
                console.line(f"--batch {options.batch}: this direction {why}, so each runs by itself")
            tally.on_the_way = counter(len(own), " of the first process" if world.size > 1 else "")
        mine = tally.summary
        start = time.perf_counter()
        try:
            with pixel_limit(options.max_pixels):
                engine.run(own, tally)
        except (GantkError, KeyboardInterrupt):
            for line in mine.failed_lines():  # each process its own: nobody waits for a report of all now
                console.line(line)
            raise
        mine.seconds = {**engine.seconds, "total": time.perf_counter() - start}
    mine.leads = world.leads
    for other in meeting.reports(asdict(mine))[1:]:
        mine.add(other)
    if world.leads:
        for line in mine.lines():
            console.line(line)
    return mine


class Engine(Protocol):
    """Who does the photos. ``batch``: how many of equal size run together; ``seconds``: spent in each stage."""

    seconds: dict[str, float]

    @property
    def batch(self) -> int: ...

    def place(self) -> str:
        """Where the photos are done, for people."""

    def run(self, jobs: Sequence[Job], report: Callable[[Entry], None]) -> None:
        """Do all of them, and ``report`` the record of each."""


@contextmanager
def _engine(model: Published, direction: Direction, out: Path, options: InferOptions, world: World) -> Iterator[Engine]:
    if options.engine == "ray":
        if world.size > 1:
            raise UsageError("--engine ray: expected one process, which hands the photos out; not torchrun")
        if direction.sequence:
            raise UsageError(f"--engine ray: {direction.name} follows the order of frames; expected --shard instead")
        if find_spec("ray") is None:
            raise UsageError("--engine ray: ray is not installed; expected pip install 'gantk[ray]'")
        from translate.infer.ray_cluster import ray_cluster

        with ray_cluster(model.path, out, options) as cluster:
            yield Fleet(cluster, overwrite=options.overwrite)
        return
    device = choose_device(options.device, world.local_rank, world.local_size)
    with model.lock:
        network = Network(model, direction, device, options)
    yield Stages(network, model.lock, out, options)
