"""LPIPS and MS-SSIM are their library's, picture by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lpips_with_the_backbone_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    from translate.evaluation.learned import BACKBONE, lpips

    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), tmp_path / "checkpoints" / BACKBONE)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    measure = lpips(torch.device("cpu"))
    measure.add(shown(64))
    (figure,) = measure.figures()
    expected = learned_perceptual_image_patch_similarity(*tensors(shown(64)), net_type="alex")
    assert figure.value == pytest.approx(expected.item(), abs=1e-6)
