"""The loop of a training run: step, log, evaluate, preview, save, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from translate import distributed, plugins, preview
from translate.conditions import examples_of
from translate.config import resolved_toml
from translate.console import current
from translate.contract import Dataset
from translate.data.loader import Loader, fixed_batch
from translate.device import most_memory
from translate.errors import DivergedError, InterruptedRunError, LostDataError
from translate.modelfile.header import FILE_NAME
from translate.modelfile.write import save_published
from translate.training import checkpoint, folder
from translate.training.checkup import Checkup
from translate.training.engine import Engine, seed_of
from translate.training.estimate import estimate, naming_what_saves_memory
from translate.training.health import read_records
from translate.training.journal import Journal
from translate.training.layout import BEST, CHECKPOINTS, METRICS, PREVIEWS
from translate.training.memorising import Memory
from translate.training.pace import Pace, seconds_of, seconds_per_step, undone
from translate.training.request import Request
from translate.training.signals import StopSignal
from translate.training.validation import Validation

PREVIEW_SAMPLES = 4
PREVIEW_LATENTS = 64
SHOW_EVERY = 0.5
"""Seconds between updates of the display."""
EXCHANGE_EVERY = 2.0
"""Seconds between the exchanges of several processes on whether one received a signal to stop."""
EXCHANGE_WITHIN = 100
"""Most steps between them."""


class Training:
    """The state of the loop around the engine: loader, clock, signals."""

    def __init__(
        self, request: Request, journal: Journal, engine: Engine, dataset: Dataset, held_out: Dataset | None = None
    ) -> None:
        self.request, self.run, self.journal, self.engine = request, request.run, journal, engine
        self.dataset = dataset
        self.plugin = plugins.find(request.plugin)
        self.total = self.run.total_steps(len(dataset))
        self.shown: Mapping[str, Tensor] = {}
        self.loader = self._loader(0)
        self.checkup = Checkup(engine, journal, request.out, stops=self.run.stop_when_dead)
        self.validation: Validation | None = None
        self.memory: Memory | None = None
        if held_out is not None:
            self.validation = Validation(engine, held_out, pairs=request.source.pairs, seed=self.run.seed)
            self.memory = Memory(engine, dataset, held_out)
        self.stop = StopSignal()
        self._exchanged = time.monotonic(), engine.step
        self._exchange_at = 0

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *exception: object) -> None:
        self.loader.close()

    def _loader(self, position: int) -> Loader:
        run = self.run
        return Loader(
            self.dataset,
            batch=run.batch,
            seed=run.seed,
            workers=run.workers,
            device=self.engine.device,
            position=position,
            places=self.engine.places,
            left_out=None if run.strict_data else self._leave_out,
        )

    def _leave_out(self, text: str) -> None:
        current().line(text)
        self.journal.note({"step": self.engine.step, "left_out": text})

    def resume_from(self, checkpoints: Path) -> None:
        """Go on after the latest checkpoint; from the start where the run was killed before its first one."""
        newest, faults = checkpoint.newest_readable(checkpoints)
        for fault in faults:
            current().warning(f"passed over {fault}")
        if newest is None:
            if faults:
                raise checkpoint.CheckpointError(f"--resume: no checkpoint in {checkpoints} can be read")
            current().line(f"{checkpoints}: no checkpoint yet; starting from step 0")
            return
        position = checkpoint.load_checkpoint(newest, self.engine)
        (before, apart), now = checkpoint.saved_processes(newest), self.engine.world.size
        self.loader.close()
        self.loader = self._loader(position)
        current().line(f"resuming after step {self.engine.step} ({newest.name})")
        if before != now:
            but = f"; what each process keeps for itself is handed out anew: {', '.join(apart)}" if apart else ""
            current().line(
                f"the run was saved by {before} process(es) and continues with {now}: the batches stay the same{but}"
            )

    def run_to_the_end(self) -> None:
        engine, run = self.engine, self.run
        if engine.world.leads:
            self.journal.begin(self.request.out, total=self.total, start=engine.step)
            for record in read_records(self.request.out / METRICS):
                self.checkup.watch.add(record)
                if self.validation is not None:
                    self.validation.follow(record)
        if engine.step >= self.total:
            current().line(f"the run is complete at step {engine.step}; more --steps or --epochs would extend it")
            self._publish()
            return
        self._prepare()
        if run.minutes is not None:
            self._fix_steps(run.minutes)
        started = shown = time.monotonic()
        self._exchanged = started, engine.step
        first, read_at, read_step, waited = engine.step, started, engine.step, self.loader.waited
        with self.stop.listening():
            while engine.step < self.total:
                self._step()
                step, now = engine.step, time.monotonic()
                stopping, save_requested = self._signals()
                last = step == self.total
                enough = False
                saving, dead = step % run.save_every == 0 or last or stopping or save_requested, False
                judging = run.evaluate_every is not None and (step % run.evaluate_every == 0 or last)
                if step % run.log_every == 0 or saving or judging or self.checkup.due(step):
                    span = max(now - read_at, 1e-9)
                    waiting = (self.loader.waited - waited) / span
                    self._log((step - read_step) * run.batch / span, waiting, judging=judging)
                    read_at, read_step, waited = time.monotonic(), step, self.loader.waited
                    dead = self.checkup.is_dead()
                    enough = judging and self._out_of_patience()
                elif engine.world.leads and now - shown >= SHOW_EVERY:
                    rate = (step - first) * run.batch / (now - started)
                    waiting = self.loader.waited / max(now - started, 1e-9)
                    self.journal.progress(step, images_per_s=rate, waiting=waiting, terms=engine.ledger.latest())
                    shown = now
                if step % run.preview_every == 0 or last:
                    self._preview()
                if saving or dead or enough:
                    self._save()
                if dead:
                    raise self.checkup.error()
                if enough:
                    current().line(f"stopped at step {step}: no better evaluation in {run.patience} (--patience)")
                    break
                if stopping and not last:
                    raise InterruptedRunError(
                        f"stopped at step {step}; continue with --out {self.request.out} --resume", self.stop.exit_code
                    )

    def _prepare(self) -> None:
        """What comes before the first step: notes for the user, the preview's samples, one run of each direction."""
        engine = self.engine
        for phase in engine.phases:
            if phase.start >= self.total:
                current().line(f"phase {phase.name} starts at step {phase.start}: this run of {self.total} ends before")
        if self.run.precision == "auto" and engine.precision != "fp32":
            current().line(
                f"precision: {engine.precision}, which this processor computes; --precision fp32 is exact, and slower"
            )
        self.shown = self._preview_batch()
        if needed := estimate(self.request.task, engine.data, engine.nets, self._micro_batch(), engine.averages):
            current().line(f"memory: {needed}")
        if engine.step == 0:
            engine.try_directions(self.shown)
            self._preview()

    def _step(self) -> None:
        step, position = self.engine.step, self.loader.position
        try:
            self._train_step()
        except LostDataError as error:
            if self.engine.world.size > 1 or not step:  # other processes may still have their data, and save nothing
                raise
            self.loader.position = position
            self._log(0.0, 0.0)
            self._save()
            where = f"saved at step {step}; continue with --out {self.request.out} --resume"
            raise LostDataError(f"{error} ({where})") from None

    def _train_step(self) -> None:
        step = self.engine.step
        with plugins.blamed(self.plugin, f"at step {step}"), naming_what_saves_memory(step, self.run):
            self.engine.train_step(self.loader.next_batch, self._progress(step))

    def _progress(self, step: int) -> float:
        """The share of the schedules that is done, in [0, 1)."""
        return min(step / (self.run.schedule_steps or self.total), math.nextafter(1.0, 0.0))

    def _fix_steps(self, minutes: float) -> None:
        """Fix how many steps there is time for, by steps of each kind that are undone; the run's folder notes it."""
        request, engine, began, position = self.request, self.engine, time.monotonic(), self.loader.position
        judging = 0.0
        if self.run.evaluate_every is not None:
            judging = seconds_of(self._evaluate, engine) / self.run.evaluate_every
        pace = Pace(engine.phases, self._seconds_at)
        with undone(engine):
            pace.steps_within(minutes * 60, judging)
        self.loader.close()
        self.loader = self._loader(position)
        (spent,) = distributed.largest([time.monotonic() - began], engine.world, engine.device)
        self.total = max(1, pace.steps_within(minutes * 60 - spent, judging))
        settled = replace(self.run, minutes=None, steps=self.total)
        if engine.world.leads:
            self.journal.extend(self.total)
            folder.reopen(request.out, resolved_toml(request.plugin, request.source, request.task, settled))
        beside = f" and {judging:.2g} s of evaluation each" if judging else ""
        current().line(f"{minutes:g} minutes have room for {self.total:,} steps of {pace}{beside}")

    def _seconds_at(self, step: int) -> float:
        def again() -> None:
            self.engine.step = step
            self._train_step()

        return seconds_per_step(again, self.engine)

    def _evaluate(self) -> dict[str, float]:
        """What held-out pictures show, for metrics.jsonl. All processes call it together."""
        found = {} if self.memory is None else self.memory.numbers()
        return found | ({} if self.validation is None else self.validation.numbers())

    def _out_of_patience(self) -> bool:
        """Whether the last evaluations were no better; all processes must ask at the same step."""
        engine, patience = self.engine, self.run.patience
        best = None if self.validation is None else self.validation.best
        over = patience is not None and best is not None and best.since >= patience
        return distributed.largest([float(over)], engine.world, engine.device)[0] > 0

    def _log(self, images_per_s: float, waiting: float, *, judging: bool = False) -> None:
        engine = self.engine
        try:
            terms = engine.read()
        except DivergedError as error:
            found = checkpoint.list_checkpoints(self.request.out / CHECKPOINTS)
            kept = f"the last good checkpoint is {found[-1]}" if found else "no checkpoint had been written"
            raise DivergedError(
                f"{error}; {kept}; --resume with --clip 1 or --precision fp32 may help, or a new run with a lower --lr"
            ) from None
        judged = self._evaluate() if judging else {}
        if engine.world.leads:
            self.journal.progress(engine.step, images_per_s=images_per_s, waiting=waiting, terms=terms)
            epoch = engine.step * self.run.batch / len(self.dataset)
            memory = most_memory(engine.device) / 2**30
            numbers = {
                "images_per_s": round(images_per_s, 3),
                "waiting": round(waiting, 4),
                "memory_gib": round(memory, 3),
            }
            health = self.checkup.numbers(self.shown)
            record = {"step": engine.step, "epoch": round(epoch, 4), **numbers, **terms, **health, **judged}
            self.journal.metrics(record)
            self.checkup.follow(record)
            if judging and self.validation is not None:
                better = self.validation.follow(record)
                current().line(self.validation.line(record))
                if better:
                    self._publish(BEST)

    def _preview_batch(self) -> Mapping[str, Tensor]:
        count = min(PREVIEW_SAMPLES, len(self.dataset))
        tensors = dict(fixed_batch(self.dataset, count, self.run.seed))
        for direction in self.request.task.directions(self.engine.data):
            if direction.latent is not None:
                count = PREVIEW_LATENTS
            generator = torch.Generator().manual_seed(seed_of(self.run.seed, "preview", direction.name))
            tensors.update(direction.latents(count, generator))
            tensors.update(examples_of(direction, tensors, count))
        return tensors

    def _micro_batch(self) -> Mapping[str, Tensor]:
        count = self.run.batch // self.engine.world.size // self.run.accumulate
        return {name: tensor[:1].expand(count, *tensor.shape[1:]) for name, tensor in self.shown.items()}

    def _preview(self) -> None:
        if self.engine.world.leads:
            path = self.request.out / PREVIEWS / f"step-{self.engine.step:06d}.png"
            with naming_what_saves_memory(self.engine.step, self.run):
                columns = self.engine.preview(self.shown)
            preview.save_preview(path, columns)
            self.journal.picture(self.engine.step, path)

    def _save(self) -> None:
        # The ledger was read just before, so nothing that is not finite gets here.
        engine, run = self.engine, self.run
        checkpoint.save_checkpoint(self.request.out / CHECKPOINTS, engine, position=self.loader.position, keep=run.keep)
        self._publish()

    def _publish(self, name: str = FILE_NAME) -> None:
        engine, task = self.engine, self.request.task
        if engine.world.leads:
            save_published(
                self.request.out / name,
                plugin=self.request.plugin,
                task=task,
                data=engine.data,
                tensors=checkpoint.published_tensors(engine),
                weights="averaged" if engine.averages else "raw",
                step=engine.step,
                precision=engine.precision,
                source=self.request.source,
                init=[Path(text.rpartition("=")[2]).name for text in self.request.run.init],
            )

    def _signals(self) -> tuple[bool, bool]:
        """Whether some process got a signal to stop, or to save; all processes get the same answer."""
        world, step, now = self.engine.world, self.engine.step, time.monotonic()
        if world.size > 1 and step < self._exchange_at:
            return False, False
        began, first = self._exchanged
        pace = (now - began) / max(1, step - first)
        mine = [float(self.stop.received), float(self.stop.take_save()), pace]
        stops, saves, slowest = distributed.largest(mine, world, self.engine.device)
        # All know the slowest pace, so all ask again at the same step.
        self._exchange_at = step + min(EXCHANGE_WITHIN, max(1, int(EXCHANGE_EVERY / max(slowest, 1e-6))))
        self._exchanged = now, step
        return stops > 0, saves > 0
