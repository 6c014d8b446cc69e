"""``gantk report``: runs as one page to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.errors import UsageError
from translate.fields import Spelling
from translate.files import make_folder, write_text_whole
from translate.training.layout import check_run


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a page of one run, or of several side by side: pictures over time, curves, data, settings.

    It is one file that any browser opens from the disk, without a network. A run writes report.html into its folder by
    itself; this is for several runs, and for another place.
    """

    runs: Annotated[tuple[Path, ...], "run folders", Spelling(positional=True, metavar="RUN")]
    out: Annotated[Path, "the page, replaced where it exists", Spelling(metavar="FILE")] = Path("report.html")

    def __post_init__(self) -> None:
        if not self.runs:
            raise UsageError("expected one or more run folders")
        if self.out.suffix.lower() not in (".html", ".htm") or self.out.is_dir():
            raise UsageError(f"--out {self.out}: expected a file name that ends in .html")


def write(options: Options) -> None:
    """Read the runs and write the page."""
    for path in options.runs:
        check_run(path)
    from translate.report.folder import open_runs
    from translate.report.page import report

    runs = open_runs(options.runs)
    make_folder(options.out.parent, f"--out {options.out}")
    write_text_whole(options.out, report(runs))
    current().line(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MB")
    current().record({"report": str(options.out)})


command = derived.command("report", Options, write)
