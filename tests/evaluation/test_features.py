"""Feature networks: the random one, torchvision's, torch-fidelity's."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import translate
from translate.errors import UsageError
from translate.evaluation.features import RandomFeatures, TorchvisionFeatures

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 40, 48), dtype=np.uint8))


def test_the_random_network_never_changes() -> None:
    with torch.inference_mode():
        features = RandomFeatures()(PICTURES)
    assert features.shape == (2, 224)
    assert torch.equal(features, RandomFeatures()(PICTURES))
    first = RandomFeatures().layers[0].weight.flatten()[:3]
    expected = np.random.RandomState(0).standard_normal(3) * np.sqrt(2 / 27)
    np.testing.assert_allclose(first.detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2"])
def test_features_of_torchvision(tmp_path: Path, network: str) -> None:
    import torchvision.models

    torch.manual_seed(0)
    whole = getattr(torchvision.models, network)(weights=None).eval()
    path = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), path)
    ours = TorchvisionFeatures(network, path).eval()
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x = torch.nn.functional.interpolate(PICTURES.float(), (224, 224), mode="bilinear", antialias=True)
    seen: list[torch.Tensor] = []
    last = [module for module in whole.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    with torch.inference_mode():
        whole((x / 255 - mean) / std)
        torch.testing.assert_close(ours(PICTURES), seen[0])
    with pytest.raises(UsageError, match=r"not the weights of torchvision's vgg16 .*--network"):
        TorchvisionFeatures("vgg16", path)


@pytest.fixture
def weights(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch-fidelity's Inception with the weights of a public network of the same architecture."""
    pytest.importorskip("torch_fidelity")
    script = shared_data.parent / "tools" / "torch-fidelity-weights.py"
    path = tmp_path / "inception.pth"
    given = shared_data / "weights" / "features" / "inception_nsfw.safetensors"
    monkeypatch.setattr(sys, "argv", [str(script), str(given), str(path)])
    runpy.run_path(str(script))
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_figures_equal_those_of_torch_fidelity(shared_data: Path, weights: Path, tmp_path: Path) -> None:
    import torch_fidelity

    folders = []
    for name in ("trainA", "trainB"):
        folder = tmp_path / name
        folder.mkdir()
        for path in sorted((shared_data / "horse2zebra" / name).iterdir())[:40]:
            Image.open(path).convert("RGB").save(folder / f"{path.stem}.png")
        folders.append(folder)
    theirs = torch_fidelity.calculate_metrics(
        input1=str(folders[0]),
        input2=str(folders[1]),
        **dict.fromkeys(("fid", "kid", "isc", "prc"), True),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        kid_subset_size=40,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    names = ("fid", "kid", "is", "precision", "recall")
    ours = translate.evaluate(pictures=folders[0], against=folders[1], metric=names, inception=weights, device="cpu")
    keys = ("frechet_inception_distance", "kernel_inception_distance_mean", "inception_score_mean")
    for name, key in zip(names, (*keys, "precision", "recall"), strict=True):
        assert ours[name].value == pytest.approx(theirs[key], abs=1e-6), name
        assert not ours[name].published
    assert any("biased upwards" in note for note in ours.notes)
