"""U-Nets of junyanz/pytorch-CycleGAN-and-pix2pix: blocks nested in one another, from the outermost to the innermost."""

from __future__ import annotations

from translate.contract import DataSpec
from translate.generators.unet import DEEPEST
from translate.importing.family import Family, Layout, State, side, without_instance_statistics


def read(state: State, plugin: str | None) -> Layout:
    """Each block is encoder, inner block, decoder; the numbers say how many layers without weights lie between."""
    state = without_instance_statistics(state)
    norm = "batch" if any(key.endswith(".running_mean") for key in state) else "instance"
    prefix = "model.model"
    layers = {f"{prefix}.0": "down.0.0", f"{prefix}.3": "up.0.1"}
    head = side(state, f"{prefix}.3.weight", 1)
    width, channels = side(state, f"{prefix}.0.weight", 0), side(state, f"{prefix}.0.weight", 1)
    prefix, depth = f"{prefix}.1.model", 1
    while f"{prefix}.3.model.1.weight" in state:
        layers |= {f"{prefix}.1": f"down.{depth}.1", f"{prefix}.5": f"up.{depth}.1"}
        if norm == "batch":
            layers |= {f"{prefix}.2": f"down.{depth}.2", f"{prefix}.6": f"up.{depth}.2"}
        prefix, depth = f"{prefix}.3.model", depth + 1
    layers |= {f"{prefix}.1": f"down.{depth}.1", f"{prefix}.3": f"up.{depth}.1"}
    if norm == "batch":
        layers[f"{prefix}.4"] = f"up.{depth}.2"
    depth += 1
    return Layout(
        state=state,
        plugin=plugin or "pix2pix",
        # Their dropout leaves no trace and sits one block further out than ours: a2b, without it, is the same.
        model={"generator": "unet", "width": width, "norm": norm, "dropout": 0.0},
        data=DataSpec(2 ** min(depth, DEEPEST), {"a": channels, "b": head}),
        role="g",
        direction="a2b",
        layers=layers,
        problem="" if depth <= DEEPEST else f"{depth} halvings, more than the {DEEPEST} of a U-Net for 256 pixels",
    )


FAMILY = Family("unet", "the pix2pix U-Net", ("pix2pix",), read)
