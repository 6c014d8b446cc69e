"""VGG features: layers, normalisation, and where the weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from translate.errors import UsageError
from translate.losses.perceptual import Classifier, VGGFeatures, VGGLayers, last_layer, vgg, vgg_layers


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights under torchvision's names."""
    torch.manual_seed(0)
    return {**VGGFeatures("relu5_4").state_dict(), "classifier.0.weight": torch.zeros(1)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_layers_are_torchvision_s() -> None:
    from torchvision.models import vgg

    with torch.device("meta"):
        theirs = vgg.make_layers(vgg.cfgs["E"])
        ours = VGGFeatures("relu5_4")
    kinds = [type(layer) for layer in ours.features]
    assert kinds == [type(layer) for layer in theirs][:36]
    assert {key.removeprefix("features."): tensor.shape for key, tensor in ours.state_dict().items()} == {
        key: tensor.shape for key, tensor in theirs.state_dict().items()
    }


def test_before_and_after_activation(state: dict[str, Tensor], cache: Path) -> None:
    torch.save(state, cache / "vgg19-dcbb9e9d.pth")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    before, after = vgg("vgg19", "conv5_4")(image), vgg("vgg19", "relu5_4")(image)
    assert before.shape == (1, 512, 2, 2)
    assert (before < 0).any()
    torch.testing.assert_close(before.relu(), after)
    assert vgg("vgg19", "relu2_2")(image).shape == (1, 128, 16, 16)


def test_imagenet_normalisation() -> None:
    net = VGGFeatures("conv1_1")
    first = net.features[0]
    assert isinstance(first, nn.Conv2d)
    image = torch.rand(2, 3, 16, 16)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = ((image.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(net(image * 2 - 1), first(normal))
    assert net(torch.zeros(1, 1, 16, 16)).shape == (1, 64, 16, 16)  # grey
    assert not any("mean" in key for key in net.state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(state: dict[str, Tensor], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"vgg{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    net = vgg("vgg19", "relu2_2", path)
    torch.testing.assert_close(net.state_dict()["features.0.weight"], state["features.0.weight"])


def test_no_weights_names_the_ways_out(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"vgg19-dcbb9e9d\.pth into .*--vgg-weights FILE.*--perceptual none") as caught:
        vgg("vgg19", "relu5_4")
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"--vgg-weights .*nowhere\.pth: no such file"):
        vgg("vgg19", "relu5_4", tmp_path / "nowhere.pth")


def test_files_that_are_something_else(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    path.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match=r"vgg\.pth: cannot be read"):
        vgg("vgg19", "relu2_2", path)
    torch.save({"model": state}, path)
    with pytest.raises(UsageError, match=r"vgg\.pth: expected a state dict"):
        vgg("vgg19", "relu2_2", path)
    torch.save({**state, "features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match=r"features\.0\.weight: found \(3,\), expected \(64, 3, 3, 3\)"):
        vgg("vgg19", "relu2_2", path)
    torch.save({}, path)
    with pytest.raises(UsageError, match="found nothing"):
        vgg("vgg19", "relu2_2", path)


@pytest.mark.parametrize(("kind", "third"), [("vgg19", "conv3_4"), ("vgg16", "conv3_3")])
def test_several_layers_are_those_of_networks_that_end_there(kind: Classifier, third: str, tmp_path: Path) -> None:
    layers = [last_layer(kind, block) for block in (1, 2, 3)]
    assert layers == ["conv1_2", "conv2_2", third]
    torch.manual_seed(0)
    save_file(
        VGGFeatures("conv3_3", kind).state_dict() | VGGFeatures(third, kind).state_dict(), tmp_path / "vgg.safetensors"
    )
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    found = vgg_layers(kind, layers, tmp_path / "vgg.safetensors")(image)
    assert len(found) == 3
    for layer, features in zip(layers, found, strict=True):
        torch.testing.assert_close(features, vgg(kind, layer, tmp_path / "vgg.safetensors")(image))
        assert (features < 0).any()


def test_vgg16_has_torchvision_s_layers_and_is_not_taken_for_the_other(
    state: dict[str, Tensor], tmp_path: Path, cache: Path
) -> None:
    from torchvision.models import vgg as theirs

    with torch.device("meta"):
        whole = theirs.make_layers(theirs.cfgs["D"])
        ours = VGGLayers([last_layer("vgg16", block) for block in range(1, 6)], "vgg16")
    assert {key.removeprefix("features."): tensor.shape for key, tensor in ours.state_dict().items()} == {
        key: tensor.shape for key, tensor in whole.state_dict().items()
    }
    torch.save(state, tmp_path / "vgg19.pth")
    with pytest.raises(UsageError, match="these are not the weights of torchvision's vgg16"):
        vgg("vgg16", "relu5_3", tmp_path / "vgg19.pth")
    with pytest.raises(UsageError, match=r"torchvision's vgg16: put vgg16-397923af\.pth into"):
        vgg("vgg16", "relu5_3")
