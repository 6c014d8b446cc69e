"""Features of an ImageNet classifier, in which images are compared by what they show (Johnson et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from translate.errors import UsageError

Classifier = Literal["vgg19", "vgg16"]
Perceptual = Literal["vgg19", "vgg16", "none"]
"""For a model's field: on which network's features pictures are compared, if at all."""

V = TypeVar("V", bound="VGGFeatures")

DEPTHS: Mapping[Classifier, tuple[int, ...]] = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
"""Convolutions in each of the five blocks (Simonyan and Zisserman, 2015, table 1, columns E and D)."""

_CACHED: Mapping[Classifier, str] = {"vgg19": "vgg19-dcbb9e9d.pth", "vgg16": "vgg16-397923af.pth"}


class VGGFeatures(nn.Module):
    """VGG19 or VGG16 up to one layer: (N, C, H, W) in [-1, 1], C 1 or 3, H and W from 16 up -> (N, C', H', W').

    ``layer``: ``relu5_4``, the 4th convolution of block 5 after its activation, or ``conv5_4``, before it. The input is
    normalised as torchvision's weights expect it.
    """

    def __init__(self, layer: str, kind: Classifier = "vgg19") -> None:
        super().__init__()
        self.kind: Classifier = kind
        self.features = _features(layer, kind)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def normalised(self, image: Tensor) -> Tensor:
        """The picture as the first layer expects it."""
        return ((image + 1) / 2 - self.mean) / self.std

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.features(self.normalised(image)))


class VGGLayers(VGGFeatures):
    """The same for several layers at once, in their order: (N, C, H, W) in [-1, 1] -> one tensor for each."""

    def __init__(self, layers: Sequence[str], kind: Classifier = "vgg19") -> None:
        super().__init__(layers[-1], kind)
        self._ends = [len(_features(layer, kind)) for layer in layers]

    def forward(self, image: Tensor) -> list[Tensor]:  # type: ignore[override]  # one for each layer
        x, found = self.normalised(image), []
        for count, layer in enumerate(self.features, 1):
            x = layer(x)
            if count in self._ends:
                found.append(x.clone())  # the rectifier that follows works in place
        return found


def last_layer(kind: Classifier, block: int, name: Literal["conv", "relu"] = "conv") -> str:
    """The last convolution of a block, counted from 1, before or after its activation: ``conv5_4`` in VGG19."""
    return f"{name}{block}_{DEPTHS[kind][block - 1]}"


def _features(layer: str, kind: Classifier) -> nn.Sequential:
    """torchvision's layers of a network up to one, newly initialised."""
    build = torchvision.models.vgg19 if kind == "vgg19" else torchvision.models.vgg16
    with torch.device("meta"):  # the classifier behind them has a hundred million weights
        everything = build(weights=None, init_weights=False).features
    block, number, chosen = 1, 0, nn.Sequential()
    for module in everything:
        if isinstance(module, nn.MaxPool2d):
            name, block, number = f"pool{block}", block + 1, 0
        elif isinstance(module, nn.Conv2d):
            number += 1
            name = f"conv{block}_{number}"
        else:
            name = f"relu{block}_{number}"
        chosen.append(module)
        if name == layer:
            break
    else:
        raise ValueError(f"{kind} has no layer {layer!r}")
    chosen.to_empty(device="cpu")
    for module in chosen:
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return chosen


def vgg(kind: Classifier, layer: str, weights: Path | None = None) -> VGGFeatures:
    """``VGGFeatures`` with the weights of torchvision's network of that name, from a file or else from torch's cache.

    Nothing is downloaded. Raises ``UsageError`` where there are no weights, or not these.
    """
    return _loaded(VGGFeatures(layer, kind), weights)


def vgg_layers(kind: Classifier, layers: Sequence[str], weights: Path | None = None) -> VGGLayers:
    """``VGGLayers`` with such weights."""
    return _loaded(VGGLayers(layers, kind), weights)


def _loaded(network: V, weights: Path | None) -> V:
    kind = network.kind
    cached = _CACHED[kind]
    path = weights if weights is not None else Path(torch.hub.get_dir()) / "checkpoints" / cached
    if not path.is_file():
        if weights is not None:
            raise UsageError(f"--vgg-weights {path}: no such file; expected the state dict of torchvision's {kind}")
        raise UsageError(
            f"the perceptual loss needs the weights of torchvision's {kind}: put {cached} into {path.parent}, or name "
            "the file with --vgg-weights FILE, or do without: --perceptual none"
        )
    state = _load(path, kind)
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in state or state[key].shape != tensor.shape:
            found = f"{tuple(state[key].shape)}" if key in state else "nothing"
            raise UsageError(
                f"{path}: these are not the weights of torchvision's {kind} ({key}: found {found}, expected "
                f"{tuple(tensor.shape)})"
            )
    network.load_state_dict({key: state[key] for key in wanted})
    return network


def _load(path: Path, kind: Classifier) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Truncated and foreign files raise anything from EOFError to SafetensorError.
        raise UsageError(f"{path}: cannot be read as weights of {kind} ({type(error).__name__})") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{path}: expected a state dict, which is a mapping from names to tensors")
    return state
