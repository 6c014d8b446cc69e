"""The DCGAN generator of PyTorch's tutorial and examples: transposed 4x4 convolutions, ``main.0`` to ``main.12``."""

from __future__ import annotations

from translate.contract import DataSpec
from translate.importing.family import Family, Layout, State, numbered, side


def read(state: State, plugin: str | None) -> Layout:
    """A convolution, a norm and a rectifier per doubling; the last convolution gives the image."""
    count = len([number for number in numbered(state, r"main\.(\d+)\.weight$") if number % 3 == 0])
    last = 3 * (count - 1)
    layers = {f"main.{3 * index}": f"layers.{3 * index + 1}" for index in range(count)}
    layers |= {f"main.{3 * index + 1}": f"layers.{3 * index + 2}" for index in range(count - 1)}
    size = 4 * 2 ** (count - 1) if count else 4
    problem = ""
    if size < 32:
        problem = f"{count} convolutions make {size} pixels; a DCGAN makes 32 or more"
    elif (kernel := side(state, f"main.{last}.weight", 2)) != 4:
        problem = f"kernels of side {kernel}; expected 4"
    return Layout(
        state=state,
        plugin=plugin or "dcgan",
        model={"latent": side(state, "main.0.weight", 0), "width": side(state, f"main.{last}.weight", 0)},
        data=DataSpec(size, {"image": side(state, f"main.{last}.weight", 1)}),
        role="g",
        direction="sample",
        layers=layers,
        problem=problem,
    )


FAMILY = Family("dcgan", "the DCGAN generator of PyTorch's tutorial", ("dcgan",), read)
