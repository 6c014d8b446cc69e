"""Time to quality: minutes of training until a model's figure is reached, by gantk and by the plain loop.

    python bench/score.py cyclegan --figure frechet --reach 8 --data ../shared/data --work /tmp/score --minutes 30
    python bench/score.py dcgan --figure frechet --reach 15 --every 60 --data ../shared/data --work /tmp/score

Configs, pictures and figures are those of bench/quality.py. Each way trains until its figure on the held-out pictures
is as good as --reach, or until --minutes are over; schedules run over --minutes. It is judged after each --every
seconds of training, whose time alone counts, as in bench/quality.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

import torch
from cases import CASES, add_flags, judged, parse, request_of
from tables import add_json, alone, append, tell_machine
from trainings import Training, Way, ways_of

Curve = list[tuple[float, float]]
"""Minutes of training, and the figure then."""


def trained(name: str, way: Way, given: argparse.Namespace) -> tuple[Curve, bool]:
    """A training that is judged from time to time, and whether it reached what was wanted."""
    request = request_of(name, given)
    out = given.work / f"{name}-{way.replace(' ', '-')}"
    curve: Curve = []
    with closing(Training(request, way)) as training:
        while training.spent < training.seconds:
            training.train(min(training.spent + given.every, training.seconds))
            training.publish(out)
            figure = judged(name, request, given, out)[given.figure]
            curve.append((training.spent / 60, figure.value))
            if figure.value >= given.reach if figure.better == "higher" else figure.value <= given.reach:
                return curve, True
    return curve, False


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    parser.add_argument("--figure", required=True, help="what is to be reached, such as frechet, l1, psnr")
    parser.add_argument("--reach", type=float, required=True, help="how good it is to be")
    parser.add_argument("--every", type=float, default=60, help="seconds of training from one judgement to the next")
    parser.add_argument("--minutes", type=float, default=30, help="of training, at most")
    add_json(parser)
    given = parse(parser, words)
    given.models = given.models or list(CASES)
    if without := [name for name in given.models if given.figure not in CASES[name].metrics]:
        parser.error(f"--figure: {without[0]} is judged by {', '.join(CASES[without[0]].metrics)}")
    print(f"| model | trained by | minutes to {given.figure} {given.reach:g} | its course |\n|---|---|---|---|")
    for name in given.models:
        for way in ways_of(name):
            curve, reached = alone(trained, name, way, given)
            course = ", ".join(f"{value:.4g} at {minutes:.3g}" for minutes, value in curve)
            shown = f"{curve[-1][0]:.3g}" if reached else f"not in {given.minutes:g}"
            print(f"| {name} | {way} | {shown} | {course} |", flush=True)
            result = {"model": name, "way": way, "figure": given.figure, "reach": given.reach, "reached": reached}
            append(given.json, "score", {**result, "curve": curve})
    tell_machine(torch.device(given.device))


if __name__ == "__main__":
    main()
