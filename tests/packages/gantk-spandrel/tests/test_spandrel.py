"""Small networks of spandrel's: imported, run and exported, the same as spandrel itself computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spandrel import ModelLoader
from spandrel.architectures.PLKSR import RealPLKSR
from spandrel.architectures.SAFMN import SAFMN
from torch import Tensor, nn
from translate import UsageError, load
from translate.export.spandrel import to_spandrel
from translate.importing.convert import import_weights
from translate.testing import check_task_model

from gantk_spandrel.model import Spandrel

NETWORKS: dict[str, Any] = {
    "SAFMN": lambda scale: SAFMN(dim=8, n_blocks=2, upscaling_factor=scale),
    "PLKSR": lambda scale: RealPLKSR(dim=8, n_blocks=2, kernel_size=5, upscaling_factor=scale),
}


def weights(kind: str, path: Path, scale: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    net: nn.Module = NETWORKS[kind](scale)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    torch.save({"params_ema": net.state_dict()}, path)
    return dict(net.state_dict())


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_it_runs_as_spandrel_runs_it_and_goes_back(tmp_path: Path, kind: str) -> None:
    state = weights(kind, tmp_path / "theirs.pth")
    imported = import_weights(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    assert (imported.layout.model["architecture"], imported.averaged) == (kind, True)
    model, theirs = load(tmp_path / "ours.safetensors"), ModelLoader("cpu").load_from_state_dict(state)
    low = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs.model(low.clone())
    found = (model(low * 2 - 1) + 1) / 2
    assert found.shape == (1, 3, 32, 48)
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=1e-4, atol=1e-4)
    published = model.published
    assert to_spandrel(published, published.directions[0], tmp_path / "again.safetensors") < 1e-3


def test_what_spandrel_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="imported, not trained"):
        Spandrel().described()
    with pytest.raises(UsageError, match="architecture Nothing: spandrel knows none of that name"):
        Spandrel(architecture="Nothing").described()


def test_contract(tmp_path: Path) -> None:
    weights("SAFMN", tmp_path / "theirs.pth", scale=4)  # that of gantk's made-up pairs
    model = import_weights(tmp_path / "theirs.pth", tmp_path / "ours.safetensors").layout.model
    check_task_model(Spandrel(architecture=model["architecture"], shapes=tuple(model["shapes"])))
