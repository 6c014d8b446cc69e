"""Features of an ImageNet classifier, in which images are compared by what they show (Johnson et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
import torchvision
from torch import Tensor, nn

from translate.errors import UsageError

_CACHED = "vgg19-dcbb9e9d.pth"


class VGGFeatures(nn.Module):
    """VGG19 up to one layer: (N, C, H, W) in [-1, 1], C 1 or 3, H and W from 16 up -> (N, C', H', W').

    ``layer``: ``relu5_4``, the 4th convolution of block 5 after its activation, or ``conv5_4``, before it. The input is
    normalised as torchvision's weights expect it.
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.features = _features(layer)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.features(((image + 1) / 2 - self.mean) / self.std))


def _features(layer: str) -> nn.Sequential:
    """torchvision's layers of VGG19 (Simonyan and Zisserman, 2015, table 1, column E) up to one, newly initialised."""
    with torch.device("meta"):  # the classifier behind them has a hundred million weights
        everything = torchvision.models.vgg19(weights=None, init_weights=False).features
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
        raise ValueError(f"VGG19 has no layer {layer!r}")
    chosen.to_empty(device="cpu")
    for module in chosen:
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return chosen


def vgg19(layer: str, weights: Path | None = None) -> VGGFeatures:
    """``VGGFeatures`` with the weights of torchvision's VGG19, from a file or else from torch's cache.

    Nothing is downloaded. Raises ``UsageError`` where there are no weights, or not these.
    """
    path = weights if weights is not None else Path(torch.hub.get_dir()) / "checkpoints" / _CACHED
    if not path.is_file():
        if weights is not None:
            raise UsageError(f"--vgg-weights {path}: no such file; expected the state dict of torchvision's vgg19")
        raise UsageError(
            f"the perceptual loss needs the weights of torchvision's vgg19: put {_CACHED} into {path.parent}, or name "
            "the file with --vgg-weights FILE, or do without: --perceptual none"
        )
    network = VGGFeatures(layer)
    state = _load(path)
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in state or state[key].shape != tensor.shape:
            found = f"{tuple(state[key].shape)}" if key in state else "nothing"
            raise UsageError(
                f"{path}: these are not the weights of torchvision's vgg19 ({key}: found {found}, expected "
                f"{tuple(tensor.shape)})"
            )
    network.load_state_dict({key: state[key] for key in wanted})
    return network


def _load(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Truncated and foreign files raise anything from EOFError to SafetensorError.
        raise UsageError(f"{path}: cannot be read as VGG19 weights ({type(error).__name__})") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{path}: expected a state dict, which is a mapping from names to tensors")
    return state
