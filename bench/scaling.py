"""What many processes should gain, on paper: bytes all-reduced per step against the time of a step.

    python bench/scaling.py --step-ms cyclegan=30 pix2pix=12 dcgan=20 srgan=90

An estimate, not a measurement. A ring all-reduce of S bytes over n processes moves 2 (n - 1) / n S bytes through each
link; the engine does it once per phase, after the backward pass and before the update, so nothing hides it. The batch
per process stays the same (weak scaling). The step times are yours: take them from bench/train.py.
"""

from __future__ import annotations

import argparse

from tables import add_json, append
from train import CASES, make_task

from translate.contract import parameter_count


def reduced_bytes(name: str) -> tuple[int, int]:
    """Bytes of gradients in fp32 that a step at the paper's size averages, and in how many calls."""
    task = make_task(name)
    networks = task.networks(CASES[name].data(task.recipe.size))
    phases = [phase for phase in task.phases() if phase.due(0)]
    sizes = {role: parameter_count(networks[role]()) for phase in phases for role in phase.updates}
    return 4 * sum(sizes[role] * phase.repeat for phase in phases for role in phase.updates), len(phases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", nargs="+", required=True, metavar="MODEL=MS", help="step of one process")
    parser.add_argument("--inside", type=float, default=300.0, help="GB/s of a link within a machine of 8")
    parser.add_argument("--between", type=float, default=40.0, help="GB/s of a process's share of the network")
    parser.add_argument("--latency-us", type=float, default=50.0, help="of one all-reduce")
    add_json(parser)
    given = parser.parse_args()
    print(f"{'model':10} {'MB/step':>8} {'step ms':>8} {'8: ms':>8} {'8: gain':>8} {'64: ms':>8} {'64: gain':>9}")
    for item in given.step_ms:
        name, _, milliseconds = item.partition("=")
        if name not in CASES:
            parser.error(f"--step-ms {item}: expected MODEL=MS, of {', '.join(CASES)}")
        step = float(milliseconds)
        size, calls = reduced_bytes(name)
        result: dict[str, object] = {"model": name, "step_ms": step, "bytes": size, "calls": calls}
        row = f"{name:10} {size / 1e6:8.1f} {step:8.1f}"
        for processes, speed in ((8, given.inside), (64, given.between)):
            ring = 2 * (processes - 1) / processes * size / (speed * 1e9) * 1e3
            spent = ring + calls * given.latency_us * 1e-3
            gain = processes * step / (step + spent)
            result |= {f"ms_{processes}": spent, f"gain_{processes}": gain}
            row += f" {spent:8.2f} {gain:8.1f}"
        print(row)
        append(given.json, "scaling", result)


if __name__ == "__main__":
    main()
