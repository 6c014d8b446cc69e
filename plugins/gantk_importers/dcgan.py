"""DCGAN generators by the shapes of their layers in order, whatever their names.

Those of PyTorch's tutorial and examples (transposed 4x4 convolutions) and of all codes that build the same from one
``nn.Sequential`` or several; and those that begin with a dense layer, as Keras' tutorial does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from translate.contract import DataSpec
from translate.importing.family import Family, Layout, State, biases_folded, layer_of, numbered, side

KERAS = {"kernel": 5, "projection": "units", "extra": 1, "slope": 0.3, "bn_eps": 1e-3, "bn_momentum": 0.01}
"""What the tensors of Keras' tutorial do not tell apart from others that begin with 7x7 units."""

SMALLEST = 28


def read(state: State, plugin: str | None) -> Layout:
    """By shape where the layers make a DCGAN; else by the tutorial's names, for the difference."""
    return _dense(state, plugin) or _transposed(state, plugin) or _tutorial(state, plugin)


def _transposed(state: State, plugin: str | None) -> Layout | None:
    """A transposed convolution from one pixel, then one for each doubling, with a norm after each but the last."""
    convs, norms = _convolutions(state), _norms(state)
    shapes = [state[f"{conv}.weight"].shape for conv in convs]
    fits = len(convs) >= 3 and _chained(shapes) and all(shape[2:] == (4, 4) for shape in shapes)
    fits = fits and {layer_of(key) for key in state} == {*convs, *norms}
    if not fits or [len(state[f"{norm}.running_mean"]) for norm in norms] != [shape[1] for shape in shapes[:-1]]:
        return None
    return _layout(
        biases_folded(state, dict(zip(norms, convs, strict=False))),
        plugin,
        {"latent": shapes[0][0], "width": shapes[-1][0]},
        4 * 2 ** (len(convs) - 1),
        shapes[-1][1],
        {conv: f"layers.{3 * place + 1}" for place, conv in enumerate(convs)}
        | {norm: f"layers.{3 * place + 2}" for place, norm in enumerate(norms)},
    )


def _dense(state: State, plugin: str | None) -> Layout | None:
    """Keras' digits: 7x7 units from a dense layer, normalised one by one, then transposed 5x5 convolutions."""
    convs, norms = _convolutions(state), _norms(state)
    first = next(iter(state), "").rpartition(".")[0]
    weight, shapes = state.get(f"{first}.weight"), [state[f"{conv}.weight"].shape for conv in convs]
    if weight is None or weight.dim() != 2 or len(convs) != 3 or not _chained(shapes):
        return None
    units, pixels = weight.shape[0], weight.shape[0] // shapes[0][0]
    sizes = [units, *(shape[1] for shape in shapes[:-1])]
    fits = pixels == 49 and all(shape[2:] == (5, 5) for shape in shapes)
    fits = fits and {layer_of(key) for key in state} == {first, *convs, *norms}
    if not fits or [len(state[f"{norm}.running_mean"]) for norm in norms] != sizes:
        return None
    return _layout(
        biases_folded(state, dict(zip(norms, [first, *convs], strict=False))),
        plugin,
        KERAS | {"latent": weight.shape[1], "g_widths": [shape[0] for shape in shapes]},
        28,
        shapes[-1][1],
        {first: "layers.0", norms[0]: "layers.2"}
        | {conv: f"layers.{3 * place + 6}" for place, conv in enumerate(convs)}
        | {norm: f"layers.{3 * place + 7}" for place, norm in enumerate(norms[1:])},
        ("strides 1, 2, 2, slope 0.3 and epsilon 1e-3 are Keras' tutorial's; the tensors do not tell",),
    )


def _tutorial(state: State, plugin: str | None) -> Layout:
    """``main.0`` to ``main.12``: a convolution, a norm and a rectifier per doubling."""
    count = len([number for number in numbered(state, r"main\.(\d+)\.weight$") if number % 3 == 0])
    last = 3 * (count - 1)
    layers = {f"main.{3 * index}": f"layers.{3 * index + 1}" for index in range(count)}
    layers |= {f"main.{3 * index + 1}": f"layers.{3 * index + 2}" for index in range(count - 1)}
    model = {"latent": side(state, "main.0.weight", 0), "width": side(state, f"main.{last}.weight", 0)}
    size = 4 * 2 ** (count - 1) if count else 4
    return _layout(state, plugin, model, size, side(state, f"main.{last}.weight", 1), layers)


def _layout(
    state: State,
    plugin: str | None,
    model: Mapping[str, object],
    size: int,
    channels: int,
    layers: Mapping[str, str],
    notes: tuple[str, ...] = (),
) -> Layout:
    return Layout(
        state=state,
        plugin=plugin or "dcgan",
        model=model,
        data=DataSpec(size, {"image": channels}),
        role="g",
        direction="sample",
        layers=layers,
        problem="" if size >= SMALLEST else f"its convolutions make {size} pixels; a DCGAN makes {SMALLEST} or more",
        notes=notes,
    )


def _convolutions(state: State) -> list[str]:
    return [layer_of(key) for key, tensor in state.items() if tensor.dim() == 4 and key.endswith(".weight")]


def _norms(state: State) -> list[str]:
    return [layer_of(key) for key in state if key.endswith(".running_mean")]


def _chained(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether each transposed convolution takes what the one before gives."""
    return all(before[1] == after[0] for before, after in pairwise(shapes))


FAMILY = Family("dcgan", "the DCGAN generator of PyTorch's or Keras' tutorial", ("dcgan",), read)
