"""``gantk infer``: a trained model applied to photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from translate.cli import derived
from translate.console import current, using
from translate.errors import UsageError
from translate.fields import Spelling
from translate.files import make_folder, write_text_whole
from translate.infer.options import InferOptions, check_inputs
from translate.infer.urls import url_of
from translate.modelfile.card import read_card


@dataclass(frozen=True, kw_only=True)
class Options(InferOptions):
    """Apply a trained model to photos: same names, same tree, same sizes (times the model's scale).

    Outputs that exist are skipped, so that a stopped run can be resumed. Exit code 3: some photos failed, the others
    are done. INPUT and --out may lie on object stores, such as s3://bucket/photos (gantk[s3], gantk[gs]).
    """

    model: Annotated[Path, "run folder or model file", Spelling(positional=True, metavar="MODEL")]
    inputs: Annotated[tuple[Path, ...], "photos, or their folders", Spelling(positional=True, metavar="INPUT")] = ()
    out: Annotated[Path, "folder for the results"]
    report: Annotated[
        Path | None,
        "HTML file for a contact sheet: each photo before and after, its time, what failed",
        Spelling(metavar="FILE"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.inputs and self.listing is None:
            raise UsageError("INPUT is missing: photos, or their folders, or --list FILE")
        for name, path in (("MODEL", self.model), ("--report", self.report), ("--list", self.listing)):
            if path is not None and (url := url_of(path)) is not None:
                raise UsageError(f"{name} {url}: expected a path of this machine; copy it from its store first")
        if self.report is not None and (self.report.suffix.lower() not in (".html", ".htm") or self.report.is_dir()):
            raise UsageError(f"--report {self.report}: expected a file name that ends in .html")


def translate(options: Options) -> int:
    """Translate every photo; the exit code reports whether some failed."""
    read_card(options.model)
    check_inputs(options.inputs)
    from translate.distributed import world_from_environment
    from translate.infer.folder import infer
    from translate.modelfile.model import load_published

    if options.report is not None and world_from_environment().size > 1:
        raise UsageError(f"--report {options.report}: expected one process; each knows its own photos alone")
    model = load_published(options.model)
    if options.report is None:
        return infer(model, options.inputs, options.out, options).exit_code
    make_folder(options.report.parent, f"--report {options.report}")
    photos = ", ".join(url_of(path) or str(path) for path in options.inputs or (options.listing or Path("-"),))
    with _on_a_sheet(options, options.report, f"{options.model} on {photos}"):
        return infer(model, options.inputs, options.out, options).exit_code


@contextmanager
def _on_a_sheet(options: Options, path: Path, title: str) -> Iterator[None]:
    """Write the contact sheet of what is recorded meanwhile, also where the work is stopped."""
    from translate.report.sheet import sheet

    console = current()
    entries: list[Mapping[str, Any]] = []

    def record(entry: Mapping[str, Any]) -> None:
        console.record(entry)
        entries.append(entry)

    try:
        with using(replace(console, records=record)):
            yield
    finally:
        photos = [entry for entry in entries if "input" in entry]
        if photos:
            write_text_whole(path, sheet(title, photos, options.reading))
            console.line(f"{path}: {path.stat().st_size / 2**20:.1f} MB")


command = derived.command("infer", Options, translate)
