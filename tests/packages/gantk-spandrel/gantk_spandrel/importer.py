"""What spandrel recognises, laid out for ``gantk import``."""

from __future__ import annotations

from collections.abc import Mapping

from spandrel import MAIN_REGISTRY
from translate import DataSpec, UsageError
from translate.importing.family import Family, Layout, State, layer_of

from gantk_spandrel.model import describe

OWN = ("ESRGAN", "Compact", "SPAN")
"""Which gantk has itself, to train on."""


def read(state: State, plugin: str | None) -> Layout:
    """The first architecture that spandrel detects, under its own names; nothing in common where there is none."""
    found = next(
        (s.architecture for s in MAIN_REGISTRY.architectures("detection") if s.architecture.detect(dict(state))), None
    )
    if found is None or found.id in OWN:
        return _layout(state, {}, DataSpec(64, {"low": 3, "high": 3}))
    try:
        described = describe(found.id, dict(state))
    except UsageError:
        return _layout(state, {}, DataSpec(64, {"low": 3, "high": 3}))
    channels, out = described.input_channels, described.output_channels
    problem = "" if channels == out else f"{channels} channels in and {out} out; expected as many"
    if described.size_requirements.square:
        problem = f"{found.id} takes square pictures alone"
    model = {
        "architecture": found.id,
        "shapes": [f"{name}={'x'.join(map(str, tensor.shape))}" for name, tensor in state.items()],
    }
    data = DataSpec(64, {"low": channels, "high": channels}, scale=described.scale)
    return _layout(state, model, data, problem, {layer_of(key): f"net.{layer_of(key)}" for key in state})


def _layout(
    state: State,
    model: Mapping[str, object],
    data: DataSpec,
    problem: str = "",
    layers: dict[str, str] | None = None,
) -> Layout:
    return Layout(
        state=state,
        plugin="spandrel",
        model=model,
        data=data,
        role="g",
        direction="upscale",
        layers=layers or {},
        problem=problem,
    )


FAMILY = Family("spandrel", "a super-resolution network that spandrel knows", ("spandrel",), read)
