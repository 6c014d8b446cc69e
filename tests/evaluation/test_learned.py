"""LPIPS and MS-SSIM are their library's, picture by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from translate.errors import UsageError
from translate.evaluation.pictures import Shown

pytest.importorskip("torchmetrics")


def shown(side: int) -> Shown:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    output = np.clip(target + rng.normal(0, 30, target.shape), 0, 255).astype(np.uint8)
    return Shown("0.png", output, target)


def tensors(of: Shown) -> list[torch.Tensor]:
    assert of.target is not None
    pair = (of.output, of.target)
    return [torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1 for x in pair]


def test_ms_ssim() -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    from translate.evaluation.learned import ms_ssim

    measure = ms_ssim()
    measure.add(shown(176))
    (figure,) = measure.figures()
    expected = multiscale_structural_similarity_index_measure(*tensors(shown(176)), data_range=(-1.0, 1.0))
    assert figure.value == pytest.approx(expected.item(), abs=1e-6)
    with pytest.raises(ValueError, match="176 x 176"):
        measure.value_of(shown(175))


def alexnet(path: Path) -> dict[str, torch.Tensor]:
    """Random weights in a file of torchvision's AlexNet, large enough that features differ."""
    import torchvision.models

    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = torchvision.models.alexnet(weights=None).state_dict()
    torch.save(state, path)
    return state


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lpips_equals_its_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the backbone from a path, and from torch's cache."""
    library = pytest.importorskip("lpips")

    from translate.evaluation.learned import BACKBONE, lpips

    (tmp_path / "checkpoints").mkdir()
    state = alexnet(tmp_path / "checkpoints" / BACKBONE)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    reference = library.LPIPS(net="alex", pnet_rand=True, verbose=False)
    names = {key: f"features.{key.rpartition('.')[0].rpartition('.')[2]}.{key.rpartition('.')[2]}"
             for key in reference.net.state_dict()}  # fmt: skip
    reference.net.load_state_dict({key: state[name] for key, name in names.items()})
    with torch.inference_mode():
        expected = reference(*tensors(shown(64))).item()
    assert expected > 0.001
    for given in (None, tmp_path / "checkpoints" / BACKBONE):
        measure = lpips(torch.device("cpu"), given)
        measure.add(shown(64))
        (figure,) = measure.figures()
        assert figure.value == pytest.approx(expected, abs=1e-6)
        assert not figure.published


def test_lpips_refuses_what_is_no_backbone(tmp_path: Path) -> None:
    from translate.evaluation.learned import lpips

    file = tmp_path / "weights.pth"
    torch.save({"features.0.weight": torch.zeros(3)}, file)
    with pytest.raises(UsageError, match=r"--lpips .*weights\.pth: not the weights of torchvision's alexnet .*\(3,\)"):
        lpips(torch.device("cpu"), file)
    with pytest.raises(UsageError, match=r"absent.*alexnet-owt-7be5be79\.pth .*SHA-256 7be5be79.*--lpips FILE"):
        lpips(torch.device("cpu"), tmp_path / "absent.pth")
