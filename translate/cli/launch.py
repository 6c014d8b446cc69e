"""One training on several processes: started here, restarted where one is killed, or started wrongly elsewhere."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from translate.console import current
from translate.training.layout import CONFIG


def launch(processes: int, out: Path, max_restarts: int) -> int:
    """Run this command line on several processes of this machine, as torchrun would; returns the exit code.

    Where the system killed one of them (out of memory, most often), all go back to the run's last checkpoint, at most
    ``max_restarts`` times. What a process ended with by itself would happen again, so that it ends the run.
    """
    words = _words_of_each(sys.argv[1:], out)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the first process reports it
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # On SIGTERM a process ends its step and saves; torch's 30 seconds may be too few for both.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="gantk",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    for restart in range(max_restarts + 1):
        try:
            elastic_launch(config, sys.executable)("-m", "translate", *words)
            return 0
        except ChildFailedError as error:
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            killed = [rank for rank, code in codes.items() if code < 0]
            if not killed:
                return error.get_first_failure()[1].exitcode
            name = signal.Signals(-codes[killed[0]]).name
            if restart == max_restarts:
                current().error(f"process {killed[0]} of {processes} was killed ({name})", 128 - codes[killed[0]])
                return 128 - codes[killed[0]]
            current().warning(
                f"process {killed[0]} of {processes} was killed ({name}); all are restarted from the last checkpoint "
                f"(restart {restart + 1} of {max_restarts})"
            )
            if (out / CONFIG).is_file() and "--resume" not in words:
                words.append("--resume")
        except SignalException as error:  # sent to us, and by us to the processes, of which the first reports it
            return 128 + int(error.sigval)
    raise AssertionError("the last restart returns")


def _words_of_each(words: list[str], out: Path) -> list[str]:
    """The command line of each process: without those flags that concern their number, all with one run folder."""
    rest, words = [], list(words)
    while words:
        word = words.pop(0)
        flag, _, value = word.partition("=")
        if flag in ("--nproc", "--max-restarts"):
            if not value:
                words.pop(0)
        else:
            rest.append(word)
    return rest if any(word.partition("=")[0] == "--out" for word in rest) else [*rest, "--out", str(out)]


def warn_of_separate_tasks() -> None:
    """Warn where ``srun`` started several tasks that do not share a run, as torchrun's processes do."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if not tasks.isdigit() or int(tasks) < 2 or "WORLD_SIZE" in os.environ or os.environ.get("SLURM_PROCID") != "0":
        return
    nodes = os.environ.get("SLURM_STEP_NUM_NODES", "1")
    line = shlex.join(sys.argv[1:])
    if nodes == "1":
        command = f"srun --ntasks=1 gantk {line} --nproc {tasks}"
    else:
        each = int(tasks) // int(nodes) if nodes.isdigit() and int(nodes) else tasks
        command = (
            f"srun --ntasks-per-node=1 torchrun --nnodes={nodes} --nproc-per-node={each} --rdzv-backend=c10d "
            f'--rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):29500" '
            f"-m translate {line}"
        )
    current().warning(f"srun started {tasks} tasks, each of which trains a run of its own; to share one: {command}")
