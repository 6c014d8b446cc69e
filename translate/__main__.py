"""``gantk`` and ``python -m translate`` (which torchrun starts)."""

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _fill_closed_streams()
    # Waiting threads sleep instead of spinning: on cores that others use too, spinning made a training step six times
    # as slow (bench/RESULTS.md). OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from translate.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _fill_closed_streams() -> None:
    """Give standard streams that the caller closed (``2>&-``) a place that takes everything.

    The next file that is opened would get a closed stream's number otherwise, and whatever a library writes to that
    stream would go into the file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one


if __name__ == "__main__":
    main()
