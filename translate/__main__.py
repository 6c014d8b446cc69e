"""``gantk`` and ``python -m translate`` (which torchrun starts)."""

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Waiting threads sleep instead of spinning: on cores that others use too, spinning made a CycleGAN step six times
    # as slow (bench/RESULTS.md). OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from translate.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
