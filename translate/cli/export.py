"""``gantk export``: a trained model as a file that travels, for gantk or for other tools."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from translate.cli import derived
from translate.errors import UsageError
from translate.export.options import HALF_TOLERANCE, OPSET, TOLERANCE, Range
from translate.fields import Spelling
from translate.modelfile.card import read_card

HUB = "Model card (--to hub)"
OTHERS = ("onnx", "ncnn", "spandrel", "pth")
"""Forms that other tools read: one direction each, compared with ours before it is kept."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a model in a form that travels; the same model always gives the same safetensors bytes.

    ONNX, ncnn and spandrel files are run by these tools on several sizes, and kept only if the results agree. A .pth
    file is a torch.save of tensors by the public code's names, which gantk import reads back unchanged.
    """

    model: Annotated[Path, "run folder or model file", Spelling(positional=True, metavar="MODEL")]
    out: Annotated[Path, "file or folder to write; must not exist", Spelling(short="-o")]
    to: Annotated[
        Literal["safetensors", "onnx", "ncnn", "spandrel", "pth", "hub"],
        "our own file, ONNX, a folder for ncnn, names that other upscalers detect, weights as the public code saves "
        "them, or a folder for a model hub",
    ] = "safetensors"
    direction: Annotated[str | None, "what to export to another tool, if there are several"] = None
    weights: Annotated[
        Literal["published", "raw"] | None,
        "published: what previews and infer use; raw: without the moving average, from a run folder",
    ] = None
    tolerance: Annotated[
        float | None,
        f"largest difference of what another tool runs, on -1 to 1 [{TOLERANCE:g}; with --half {HALF_TOLERANCE:g}]",
        Gt(0),
    ] = None
    range: Annotated[Range | None, "black and white for onnx and ncnn [-1..1]; most hosts expect 0..1"] = None
    half: Annotated[bool, "fp16 inside an onnx file, but for its norms; for ncnn, fp16 weights"] = False
    opset: Annotated[int | None, f"version of an onnx file's operators [{OPSET}]", Ge(18)] = None
    license: Annotated[str, "licence, by the hub's name for it, such as mit", Spelling(panel=HUB)] = ""
    data_note: Annotated[str, "what it was trained on", Spelling(panel=HUB)] = ""
    preview: Annotated[
        Path | None,
        "picture that shows what it does; without it, samplers draw one, and no other model has one",
        Spelling(metavar="FILE", panel=HUB),
    ] = None
    metric: Annotated[tuple[str, ...], "a measured value", Spelling(metavar="NAME=NUMBER", panel=HUB)] = ()
    metric_data: Annotated[str, "what the metrics were measured on", Spelling(panel=HUB)] = ""

    def __post_init__(self) -> None:
        if self.out.exists() or self.out.is_symlink():
            raise UsageError(f"--out {self.out}: exists already; choose another name")
        concerned: tuple[tuple[tuple[str, ...], dict[str, object]], ...] = (
            (OTHERS, {"--direction": self.direction}),
            (("onnx", "ncnn", "spandrel"), {"--tolerance": self.tolerance}),
            (("onnx", "ncnn"), {"--range": self.range, "--half": self.half}),
            (("onnx",), {"--opset": self.opset}),
            (
                ("hub",),
                {
                    "--license": self.license,
                    "--data-note": self.data_note,
                    "--preview": self.preview,
                    "--metric": self.metric,
                    "--metric-data": self.metric_data,
                },
            ),
        )
        for forms, flags in concerned:
            for flag, value in flags.items():
                if value not in (None, False, "", ()) and self.to not in forms:
                    raise UsageError(f"{flag}: expected --to {' or '.join(forms)}, not {self.to}")
        if bool(self.metric) != bool(self.metric_data):
            given, other = ("--metric", "--metric-data") if self.metric else ("--metric-data", "--metric")
            raise UsageError(f"{given}: expected {other} as well; a value means little without its data")
        if self.for_a_tool and self.weights == "raw":
            raise UsageError(f"--weights raw --to {self.to}: export to safetensors first, and that file to {self.to}")
        _ = self.metrics  # refuses what is none

    @property
    def for_a_tool(self) -> bool:
        """Whether another tool reads the result."""
        return self.to in OTHERS

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """The measured values by name. Raises ``UsageError`` for what is none."""
        metrics = {}
        for text in self.metric:
            name, _, value = text.rpartition("=")
            try:
                metrics[name] = float(value)
            except ValueError:
                metrics[name] = math.nan
            if not name or not math.isfinite(metrics[name]):
                raise UsageError(f"--metric {text}: expected NAME=NUMBER")
        return metrics


def export(options: Options) -> None:
    """Write the file or folder, and show what it holds."""
    read_card(options.model)
    from translate.cli.export_model import write

    write(options)


command = derived.command("export", Options, export)
