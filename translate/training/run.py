"""A training run from its settings to its folder: scan, build, resume, and the loop."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from translate import distributed
from translate.config import resolved_toml
from translate.console import current, speaking, using
from translate.contract import Nets, parameter_count
from translate.data.formats import pixel_limit
from translate.device import choose_device, choose_precision, set_determinism
from translate.distributed import World
from translate.errors import UsageError
from translate.settings import UNKNOWN
from translate.training import checkpoint, circumstances, folder
from translate.training.engine import Engine
from translate.training.journal import Journal
from translate.training.layout import CHECKPOINTS, CONFIG
from translate.training.lock import locked
from translate.training.loop import Training
from translate.training.opening import facts_of, open_parts
from translate.training.recompute import recompute_all
from translate.training.request import Request


def train(request: Request, journal: Journal) -> Path:
    """Train from the start, or from the run's latest checkpoint; returns the run folder.

    Raises ``UsageError`` before anything is written, ``DivergedError``, ``InterruptedRunError`` after saving.
    """
    with speaking(distributed.world_from_environment().leads), pixel_limit(request.run.max_pixels):
        return _train(request, journal)


def _train(request: Request, journal: Journal) -> Path:
    run, out = request.run, request.out
    # A rank that torchrun restarts resumes at the last checkpoint.
    resume = request.resume or distributed.restarted()
    world = distributed.world_from_environment()
    device = choose_device(run.device, world.local_rank, world.local_size)
    choose_precision(run.precision, device)  # refused before the data are read
    config = resolved_toml(request.plugin, request.source, request.task, run)
    begun = _check_folder(request, config, resume)
    with ExitStack() as held:
        if begun and world.leads:
            held.enter_context(locked(out, take_over=request.take_over))
        return _run(request, journal, world, device, config, begun, held)


def _run(
    request: Request,
    journal: Journal,
    world: World,
    device: torch.device,
    config: str,
    begun: bool,
    held: ExitStack,
) -> Path:
    run, out = request.run, request.out
    set_determinism(run.deterministic)
    remarks: list[str] = []
    with using(current().copied_to(remarks)):
        dataset, held_out = open_parts(request.source, run, request.task.networks)
    facts = facts_of(dataset, held_out, remarks)
    world.places(run.batch, run.accumulate)  # refused before anything is written
    distributed.join(device, world)
    try:
        if len(dataset) < 1:
            raise UsageError("the data has no samples")
        total = run.total_steps(len(dataset))
        if begun and (found := checkpoint.list_checkpoints(out / CHECKPOINTS)):
            reached = checkpoint.step_of(found[-1])
            if reached > total:
                raise UsageError(
                    f"--resume: {out} is at step {reached}; expected --steps {reached} or more, not {total}"
                )
        # A resumed run has its weights in its checkpoint.
        start = replace(run, init=()) if begun else run
        engine = Engine(request.task, dataset.spec, start, world, device)
        if world.leads and not begun:
            folder.make(out, config)
            held.enter_context(locked(out))
            folder.note_data(out, request.source, facts)
            circumstances.note(out, circumstances.circumstances(request.plugin, engine))
        distributed.barrier(world)
        with Training(request, journal, engine, dataset, held_out) as training:
            if begun:
                training.resume_from(out / CHECKPOINTS)
                if world.leads:  # only now: settings with which a checkpoint cannot be read must not stay in the folder
                    folder.reopen(out, config)
                    folder.note_data(out, request.source, facts)
                    circumstances.note(out, circumstances.circumstances(request.plugin, engine))
            training.run_to_the_end()
    finally:
        distributed.leave()
    return out


def _check_folder(request: Request, config: str, resume: bool) -> bool:
    """Whether there is a run to resume; raises ``UsageError`` where the folder does not fit the request."""
    if not resume:
        folder.check_free(request.out)
        return False
    if not request.resume and not (request.out / CONFIG).is_file():
        return False  # torchrun restarts a rank that was killed before the folder was created
    circumstances.check_not_older(request.out, request.plugin)
    folder.check_same(request.out, config)
    return True


def plan(request: Request) -> dict[str, Any]:
    """What ``train`` would do, without doing it: checks data and settings, builds the networks, writes nothing."""
    device = choose_device(request.run.device)
    precision = choose_precision(request.run.precision, device, bf16_proven=request.task.bf16_proven)
    config = resolved_toml(request.plugin, request.source, request.task, request.run)
    _check_folder(request, config, request.resume)
    with pixel_limit(request.run.max_pixels):
        dataset, _ = open_parts(request.source, request.run, request.task.networks)
    torch.manual_seed(request.run.seed)
    networks = {role: build() for role, build in request.task.networks(dataset.spec).items()}
    phases = request.task.phases(dataset.spec)
    if request.run.recompute:
        recompute_all(Nets(networks), sorted({role for phase in phases for role in phase.updates}))
    steps = request.run.total_steps(len(dataset))
    return {
        "plugin": request.plugin,
        "out": str(request.out),
        "device": str(device),
        "precision": precision,
        "samples_per_epoch": len(dataset),
        "steps": steps if steps != UNKNOWN else f"as many as {request.run.minutes:g} minutes have room for",
        "batch": request.run.batch,
        "size": dataset.spec.size,
        "channels": dict(dataset.spec.channels),
        "parameters": {role: parameter_count(net) for role, net in networks.items()},
        "phases": {phase.name: list(phase.updates) for phase in phases},
    }
