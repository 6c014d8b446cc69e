"""``gantk infer``: a trained model applied to files and folders of photos."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from translate.console import current, speaking
from translate.contract import Direction
from translate.data.formats import pixel_limit
from translate.data.listing import describe
from translate.device import choose_device
from translate.distributed import World, world_from_environment
from translate.errors import GantkError, UsageError
from translate.files import make_folder
from translate.infer.direction import direction_of
from translate.infer.engine import Engine
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
from translate.infer.summary import Summary, Tally
from translate.infer.urls import url_of
from translate.modelfile.model import Published

if TYPE_CHECKING:
    from translate.infer.staging import Staging


def infer(
    model: Published,
    inputs: Sequence[Path],
    out: Path,
    options: InferOptions | None = None,
) -> Summary:
    """Apply ``model`` to every photo of ``inputs``, files and folders, and write the results below ``out``.

    With ``options.listing``, to the photos that a list names, see ``named_photos``. Photos and ``out`` may lie on
    stores: ``Path("s3://bucket/photos")``. The console receives a record for each file. The model's networks are moved
    to the device. What fails is reported and does not stop the rest. Raises ``UsageError`` before the first photo is
    read, ``InterruptedRunError`` on Ctrl-C or SIGTERM and ``DiskFullError``, after which nothing half-done is left.
    """
    options = options or InferOptions()
    console, direction = current(), direction_of(model, options)
    folders = folders_of(direction, options.also)
    world = world_from_environment()
    with stoppable(), ExitStack() as opened:
        named = () if options.listing is None else named_photos(options.listing, inputs)
        inputs = inputs if options.listing is None else ()
        staging = None
        if any(url_of(path) is not None for path in (out, *inputs, *(path for path, _ in named))):
            from translate.infer.staging import staged

            staging = opened.enter_context(staged(out, options, direction))
        engine = opened.enter_context(_engine(model, direction, out, options, world))
        planes = Levels.of(model.data, direction.outputs, options.bits).planes_out
        with reported_if_long("looking for photos") if world.leads else nullcontext(), speaking(world.leads):
            if staging is None:
                left_out: Counter[str] = Counter()
                jobs = with_partners(plan(inputs, out, options, planes, left_out, named), folders, out)
                work = _planned(shared(jobs, options.share, direction.sequence), left_out, direction, world)
            else:
                staging.find(inputs, named)
                work = _staged(staging, options, planes, world)
        meeting, tally = Meeting(world), Tally()
        if url_of(out) is None:
            make_folder(out, f"--out {out}", below=world.leads)
        if world.leads:
            for line in work.lines(model.plugin, direction, engine, options.batch or 1):
                console.line(line)
            tally.on_the_way = counter(work.own, " of the first process" if world.size > 1 else "")
        mine = tally.summary
        start = time.perf_counter()
        try:
            with pixel_limit(options.max_pixels):
                work.do(engine, tally)
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


@dataclass(frozen=True)
class _Work:
    """``count`` photos, of which this process does its ``own``; ``left_out``: what is no photo by its name."""

    count: int
    own: int
    left_out: Counter[str]
    do: Callable[[Engine, Tally], None]

    def lines(self, plugin: str, direction: Direction, engine: Engine, batch: int) -> Iterator[str]:
        """What begins, for people; ``batch``: how many photos are to run together."""
        yield f"{plugin} {direction.name} on {engine.place()}: {self.count} files"
        if self.left_out:
            yield describe(self.left_out)
        if batch > engine.batch:
            why = "follows the order of frames" if direction.sequence else "draws noise for each photo"
            yield f"--batch {batch}: this direction {why}, so each runs by itself"


def _planned(jobs: Sequence[Job], left_out: Counter[str], direction: Direction, world: World) -> _Work:
    own = shared(jobs, slice(world.rank, None, world.size), direction.sequence)
    return _Work(len(jobs), len(own), left_out, lambda engine, tally: engine.run(own, tally))


def _staged(staging: Staging, options: InferOptions, planes: int, world: World) -> _Work:
    shares = (options.share, slice(world.rank, None, world.size))
    return _Work(
        staging.count(options.share),
        staging.count(*shares),
        staging.left_out,
        lambda engine, tally: staging.run(engine, tally, planes, *shares),
    )


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
    yield Stages(network, model.lock, options)
