"""Networks whose features pictures are compared by: a random one, any of torchvision's, torch-fidelity's Inception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import UsageError
from translate.evaluation.result import checksum
from translate.importing.read import read_file

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""The file of torch-fidelity's Inception in torch's cache; the last part of its name is the start of its SHA-256."""

INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0"

RANDOM_SIDE = 64
_WIDTHS = (16, 32, 64)


class FeatureNetwork(nn.Module):
    """Features of pictures: uint8 (N, 3, H, W) -> float (N, D). ``label`` names the network and its weights."""

    label: str


class RandomFeatures(FeatureNetwork):
    """A small convolutional network that was never trained, for distances that need no download.

    Means and deviations of its channels at three resolutions, D = 224. Random embeddings reveal collapse and wrong
    colours or textures from the real (Naeem et al., 2020, sec. 4.2), though not what a picture shows. The weights come
    from NumPy's legacy generator, whose stream never changes.
    """

    label = f"random network of 224 features at {RANDOM_SIDE} px"

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.RandomState(0)
        self.layers = nn.ModuleList()
        last = 3
        for width in _WIDTHS:
            layer = nn.Conv2d(last, width, 3, stride=2, padding=1, bias=False)
            values = generator.standard_normal(layer.weight.shape) * np.sqrt(2 / (9 * last))
            layer.weight = nn.Parameter(torch.from_numpy(values).float())
            self.layers.append(layer)
            last = width

    def forward(self, pictures: Tensor) -> Tensor:
        x = _resized(pictures.float(), RANDOM_SIDE) / 127.5 - 1
        found = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found += [x.mean((2, 3)), x.std((2, 3))]
        return torch.cat(found, 1)


class TorchvisionFeatures(FeatureNetwork):
    """A classifier of torchvision's up to its last pooling, with weights from a file of its state."""

    def __init__(self, network: str, path: Path) -> None:
        super().__init__()
        import torchvision.models

        build = getattr(torchvision.models, network)
        settings = {"transform_input": False, "aux_logits": False, "init_weights": False} if "incep" in network else {}
        whole = build(weights=None, **settings)
        self.side = 299 if "inception" in network else 224
        trunk = hasattr(whole, "features")
        if trunk:
            self.net: nn.Module = nn.ModuleDict({"features": whole.features})
        else:
            whole.fc = nn.Identity()
            self.net = whole
        self.trunk = trunk
        state = dict(read_file(path).state)
        wanted = self.net.state_dict()
        for key, tensor in wanted.items():
            if key.endswith("num_batches_tracked"):
                state.setdefault(key, tensor)
            if key not in state or state[key].shape != tensor.shape:
                found = str(tuple(state[key].shape)) if key in state else "nothing"
                raise UsageError(
                    f"--features {path}: not the weights of torchvision's {network} ({key}: found {found}, expected "
                    f"{tuple(tensor.shape)}); --network names another architecture"
                )
        self.net.load_state_dict({key: state[key] for key in wanted})
        self.label = f"{network} {checksum(path)[:16]}"
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        x = (_resized(pictures.float(), self.side) / 255 - self.mean) / self.std
        if not self.trunk:
            result: Tensor = self.net(x)
            return result
        result = self.net["features"](x)  # type: ignore[index]
        return result.mean((2, 3))


class Inception(FeatureNetwork):
    """torch-fidelity's own InceptionV3: 2,048 pooled features, then 1,008 logits without their bias, in one row."""

    POOLED = 2048

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        state = read_file(path).state  # refuses a pickle that would call anything; torch-fidelity's reader does not
        if "Mixed_7c.branch_pool.conv.weight" not in state or "fc.weight" not in state:
            raise UsageError(f"--inception {path}: not the weights of torch-fidelity's Inception")
        digest = checksum(path)
        self.published = digest.startswith(INCEPTION.removesuffix(".pth").rpartition("-")[2])
        self.label = f"inception-v3-compat {digest[:16]}"
        self.net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.cat(self.net(pictures), 1)


def find_inception(given: Path | None) -> Path | None:
    """The weights file of torch-fidelity's Inception: the given one, or the one in torch's cache; None without."""
    if given is not None:
        if not given.is_file():
            raise UsageError(f"--inception {given}: no such file")
        return given
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    return cached if cached.is_file() else None


def without_inception() -> str:
    """What to do where the weights are missing."""
    return (
        f"the weights of torch-fidelity's Inception are missing: put {INCEPTION} (from {INCEPTION_URL}, SHA-256 "
        f"6726825d...) into {Path(torch.hub.get_dir()) / 'checkpoints'}, or name the file with --inception FILE; swd, "
        "frechet and kernel work without"
    )


def rows_of(network: FeatureNetwork, device: torch.device) -> Callable[[Tensor], np.ndarray]:
    """The network on a device as a function: uint8 (N, 3, H, W) -> (N, D) in float32."""
    network.to(device).eval().requires_grad_(False)

    def rows(pictures: Tensor) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = network(pictures.to(device)).float().cpu().numpy()
        return found

    return rows


def _resized(pictures: Tensor, side: int) -> Tensor:
    if pictures.shape[2:] == (side, side):
        return pictures
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
