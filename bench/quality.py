"""What every built-in model's CPU config reaches in a given time, judged on pictures that were held out.

    python bench/quality.py --data ../shared/data --work /tmp/quality --minutes 10
    python bench/quality.py cyclegan dcgan --data ../shared/data --work /tmp/quality --minutes 2 --reference

With --reference the models are trained by their plain loops of bench/reference as well, on the same pictures for the
same time, and judged by the same figures. Time is that of batches and steps alone, without previews and saving, for
both: of the processor on a CPU, where one thread (``OMP_NUM_THREADS=1``) makes it comparable, and of the wall
elsewhere. Schedules run over that time. Where the public code publishes an average of the generator's weights (BigGAN,
R3GAN, StyleGAN2, PGGAN, AttnGAN, Real-ESRGAN), so does the plain loop; otherwise the last weights, also of models whose
config has an average of ours (SAGAN, StackGAN).

Each run and its figures are kept in --work: what is there is not computed again. The last lines are the rows for
RESULTS.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import torch
from cases import CASES, add_flags, judged, parse, request_of
from tables import add_json, alone, append, tell_machine
from trainings import train, ways_of

from translate.modelfile.header import FILE_NAME
from translate.modelfile.model import load_published


def rows(name: str, given: argparse.Namespace) -> Iterator[str]:
    """Table rows: gantk's, and those of the plain loop where it is wanted."""
    for way in ways_of(name) if given.reference else ("gantk",):
        out, request = given.work / f"{name}-{way.replace(' ', '-')}-{given.minutes:g}", request_of(name, given)
        if not (out / FILE_NAME).is_file():
            alone(train, request, way, out)
        result, steps = judged(name, request, given, out), load_published(out).card.step
        figures = "; ".join(f"{f.name} {f.value:.4g} ({f.low:.4g} to {f.high:.4g}){' ' * bool(f.unit)}{f.unit}"
                            for f in result.figures)  # fmt: skip
        append(
            given.json,
            "quality",
            {"config": CASES[name].config, "way": way, "minutes": given.minutes, "steps": steps, **result.to_json()},
        )
        yield f"| {name} | {CASES[name].config} | {way} | {given.minutes:g} | {steps:,} | {figures} |"


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    parser.add_argument("--minutes", type=float, default=10, help="of training, for each model and each way")
    parser.add_argument("--reference", action="store_true", help="train by the plain loops of bench/reference too")
    add_json(parser)
    given = parse(parser, words)
    print("| model | config | trained by | minutes | steps | figures with 95 % intervals |\n|---|---|---|---|---|---|")
    for name in given.models or CASES:
        for row in rows(name, given):
            print(row, flush=True)
    tell_machine(torch.device(given.device))


if __name__ == "__main__":
    main()
