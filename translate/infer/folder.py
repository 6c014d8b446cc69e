"""``gantk infer``: a trained model applied to files and folders of photos."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from translate.console import current, speaking
from translate.contract import Direction
from translate.data.formats import pixel_limit
from translate.data.listing import describe
from translate.device import choose_device
from translate.distributed import world_from_environment
from translate.errors import InterruptedRunError, UsageError
from translate.files import make_folder, remove_leftovers
from translate.infer.lists import named_photos
from translate.infer.options import InferOptions
from translate.infer.outputs import DiskFullError
from translate.infer.partners import folders_of, with_partners
from translate.infer.plan import plan
from translate.infer.progress import counter, reported_if_long, stoppable
from translate.infer.runner import Network
from translate.infer.sequence import shared
from translate.infer.shards import Meeting
from translate.infer.stages import Stages
from translate.infer.summary import Summary
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
    device = choose_device(options.device, world.local_rank, world.local_size)
    with model.lock:
        network = Network(model, direction, device, options)
    with reported_if_long("looking for photos") if world.leads else nullcontext():
        left_out: Counter[str] = Counter()
        named = () if options.listing is None else named_photos(options.listing, inputs)
        folders_or_photos = inputs if options.listing is None else ()
        jobs = plan(folders_or_photos, out, options, network.levels.planes_out, left_out, named)
        with speaking(world.leads):
            jobs = shared(with_partners(jobs, folders, out), options.share, direction.sequence)
    meeting = Meeting(world)
    make_folder(out, f"--out {out}")
    stages = Stages(network, model.lock, out, options)
    own = shared(jobs, slice(world.rank, None, world.size), direction.sequence)
    if world.leads:
        remove_leftovers(out, below=True)
        console.line(f"{model.plugin} {direction.name} on {device.type} ({network.precision}): {len(jobs)} files")
        if left_out:
            console.line(describe(left_out))
        if (options.batch or 1) > stages.batch:
            why = "follows the order of frames" if direction.sequence else "draws noise for each photo"
            console.line(f"--batch {options.batch}: this direction {why}, so each runs by itself")
        stages.on_the_way = counter(len(own), " of the first process" if world.size > 1 else "")
    mine = stages.summary
    start = time.perf_counter()
    try:
        with stoppable(), pixel_limit(options.max_pixels):
            stages.run(own)
    except (InterruptedRunError, DiskFullError):
        for line in mine.failed_lines():  # each process its own: nobody waits for a report of all now
            console.line(line)
        raise
    mine.seconds["total"] = time.perf_counter() - start
    mine.leads = world.leads
    for other in meeting.reports(asdict(mine))[1:]:
        mine.add(other)
    if world.leads:
        for line in mine.lines():
            console.line(line)
    return mine


def direction_of(model: Published, options: InferOptions) -> Direction:
    """The direction that the options ask for; with ``sample`` as it is where each picture draws noise of its own."""
    direction = model.direction(options.direction)
    if not options.sample:
        return direction
    if not direction.noise:
        raise UsageError(f"--sample: {model.plugin} draws no noise in direction {direction.name}")
    return replace(direction, margin=None)  # each tile would draw noise of its own
