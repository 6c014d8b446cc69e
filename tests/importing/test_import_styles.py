"""StyleGAN2's generator as rosinality's code saves it, against the network of the paper written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference_networks import StyleGenerator
from torch import Tensor

from translate.contract import Batch
from translate.errors import UsageError
from translate.importing.convert import import_weights
from translate.modelfile.model import Published, load_published
from translate.sample.sampler import Sampler


def theirs(channels: int = 3, counts: tuple[int, ...] = (6, 6, 3)) -> StyleGenerator:
    torch.manual_seed(4)
    return StyleGenerator(channels, 5, 3, list(counts))


def bring(tmp_path: Path, content: object) -> Published:
    torch.save(content, tmp_path / "theirs.pt")
    import_weights(tmp_path / "theirs.pt", tmp_path / "ours.safetensors")
    return load_published(tmp_path / "ours.safetensors")


@pytest.mark.parametrize(("channels", "counts"), [(3, (6, 6, 3)), (1, (4, 4)), (3, (5, 5, 4, 2))])
def test_pictures_are_theirs(tmp_path: Path, channels: int, counts: tuple[int, ...]) -> None:
    net = theirs(channels, counts)
    model = bring(tmp_path, {"g": {}, "g_ema": net.tensors, "latent_avg": torch.zeros(5)})
    assert (model.plugin, model.data.size, model.card.weights) == ("stylegan2", 4 * 2 ** (len(counts) - 1), "averaged")
    assert [direction.name for direction in model.directions] == ["sample", "mix", "edit"]
    z = torch.randn(3, 5)
    net.tensors = {key: tensor.double() for key, tensor in net.tensors.items()}
    expected = net(z.double())
    ours = model.directions[0].run(model.nets.double(), Batch({"z": z.double(), "truncation": torch.ones(3).double()}))
    assert expected.std() > 0.1
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_truncation_goes_to_the_mean_style(tmp_path: Path) -> None:
    net = theirs()
    model = bring(tmp_path, net.tensors)
    latents = torch.randn(20_000, 5)
    mean = model.nets.g.mapping(latents).mean(0)
    spread = model.nets.g.mapping(latents).std(0)
    assert ((model.nets.g.mapping.mean - mean).abs() < 0.1 * spread).all()
    still = Sampler(model=model, settings={"truncation": "0"}).sample(2)
    torch.testing.assert_close(still[0], still[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4) / 4}, "convs.0.conv.blur.kernel is another filter than 1-3-3-1"),
        ({"style.2.bias": None}, "style"),
        ({"convs.1.noise.weight": None}, "convs.1.conv.strength"),
        ({"conv1.activate.bias": torch.zeros(7)}, "conv1.conv.bias has shape"),
        ({"extra.weight": torch.zeros(2)}, "1 unknown (extra.weight)"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, change: dict[str, Tensor | None], message: str) -> None:
    tensors: dict[str, Tensor | None] = {**theirs().tensors, **change}
    with pytest.raises(UsageError) as caught:
        bring(tmp_path, {key: tensor for key, tensor in tensors.items() if tensor is not None})
    assert message in str(caught.value)
    assert not (tmp_path / "ours.safetensors").exists()
