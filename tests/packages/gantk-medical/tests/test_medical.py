"""Made-up volumes: read, trained on, translated and written back on their grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from translate import Loading, UsageError, load, train
from translate.reading import Percentiles
from translate.testing import check_task_model

from gantk_medical.command import main
from gantk_medical.model import SlicePix2Pix
from gantk_medical.source import Volumes, from_unit, slab, to_unit
from gantk_medical.volumes import NIFTI, name_of, read_volume

AFFINE = np.array([[0.0, -0.8, 0.1, 10], [0.9, 0.0, 0, -20], [0, 0.2, 2.5, 30], [0, 0, 0, 1]])
SHAPE = (20, 18, 5)


def volume(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1000, 2000, shape).astype(np.int16)


def write_nifti(path: Path, values: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(NIFTI(values, affine), path)


def write_dicom(folder: Path, values: NDArray[np.int16], *, without: int | None = None) -> None:
    """An oblique series whose files are named against their order; numbers are stored with slope 2, intercept -1000."""
    folder.mkdir(parents=True)
    series = generate_uid()
    for place in range(values.shape[2]):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SeriesInstanceUID, one.SOPInstanceUID = series, generate_uid()
        one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        one.Columns, one.Rows = values.shape[0], values.shape[1]
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 15, 1, 1
        one.PhotometricInterpretation = "MONOCHROME2"
        one.RescaleSlope, one.RescaleIntercept = 2, -1000
        one.PixelSpacing = [0.5, 0.25]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [5.0, 6.0, 7.0 + 3.0 * place]
        one.PixelData = np.ascontiguousarray(values[:, :, place].T).tobytes()
        if place != without:
            one.save_as(folder / f"{9 - place}.dcm", enforce_file_format=True)


def loading(size: int = 16, **settings: Any) -> Loading:
    return Loading(size, **{"ranges": {"a": (-1000.0, 2000.0), "b": (0.0, 100.0)}, **settings})


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for seed, name in enumerate(("p1.nii.gz", "p2.nii")):
        write_nifti(tmp_path / "a" / name, volume(seed))
        write_nifti(tmp_path / "b" / name, (volume(seed) + 1000) / 30)
    return tmp_path


def source(root: Path, **settings: Any) -> Volumes:
    return Volumes(a=root / "a", b=root / "b", **settings)


def test_a_dicom_series_is_sorted_scaled_and_placed(tmp_path: Path) -> None:
    stored = volume()
    write_dicom(tmp_path / "series", stored)
    (tmp_path / "series/README.txt").write_text("no slice")
    read = read_volume(tmp_path / "series")
    np.testing.assert_allclose(read.values, stored.astype(np.float32) * 2 - 1000)
    # Index (column, row, slice) to millimetres, left and posterior turned to right and anterior.
    np.testing.assert_allclose(read.affine @ [2, 3, 4, 1], [-(5 + 2 * 0.25), -(6 + 3 * 0.5), 7 + 4 * 3.0, 1])


def test_a_series_with_a_gap_is_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path / "series", volume(), without=2)
    with pytest.raises(UsageError, match="series: its slices are not equally far apart; one may be missing"):
        read_volume(tmp_path / "series")


def test_slices_are_paired_with_their_neighbours(pairs: Path) -> None:
    opened = source(pairs, neighbours=1).open(loading(size=24))
    assert len(opened) == 2 * SHAPE[2]
    assert dict(opened.spec.channels) == {"a": 3, "b": 1}
    assert dict(opened.spec.ranges) == {"a": (-1000.0, 2000.0), "b": (0.0, 100.0)}
    sample = opened.sample(1, np.random.default_rng(0))
    assert (sample["a"].shape, sample["a"].dtype) == ((3, 24, 24), torch.float32)
    inner = sample["a"][:, 2:22, 3:21].numpy()  # black around, as the slices are smaller
    np.testing.assert_allclose(
        inner, to_unit(volume().astype(np.float32), (-1000, 2000)).transpose(2, 0, 1)[:3], atol=1e-6
    )
    np.testing.assert_allclose(sample["b"][0].numpy(), sample["a"][1].numpy(), atol=1e-5)
    assert sample["a"][:, :2].max() == -1
    first = opened.sample(0, np.random.default_rng(0))["a"]
    assert torch.equal(first[0], first[1])


def test_other_axes_and_percentiles(pairs: Path) -> None:
    opened = source(pairs, axis=0).open(loading(size=4, ranges={"": Percentiles(1, 99)}))
    assert len(opened) == 2 * SHAPE[0]
    low, high = opened.spec.ranges["a"]
    assert (low, high) == pytest.approx((-970, 1970), abs=30)
    held_out = source(pairs).open(loading(size=4, ranges={}, like=opened.spec))
    assert held_out.spec.ranges == opened.spec.ranges


def test_what_cannot_be_used_is_named(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--range a=LOW..HIGH: expected the window"):
        source(pairs).open(loading(ranges={}))
    write_nifti(pairs / "a/p3.nii", volume())
    write_nifti(pairs / "b/p3.nii", volume(), np.eye(4))
    (pairs / "a/p4.nii").write_bytes(b"junk")
    write_nifti(pairs / "b/p4.nii", volume())
    assert len(source(pairs).open(loading())) == 2 * SHAPE[2]
    said = capsys.readouterr().err
    assert "p3.nii: not on the grid of" in said
    assert "p4.nii: cannot be read" in said
    with pytest.raises(UsageError, match=r"p3\.nii: not on the grid"):
        source(pairs).open(loading(strict=True))
    write_nifti(pairs / "a/p1.nii", volume())
    with pytest.raises(UsageError, match=r"have one name; expected one of them"):
        source(pairs).open(loading())


def test_names_and_numbers() -> None:
    assert [name_of(Path(name)) for name in ("x.nii.gz", "y.nii", "z")] == ["x", "y", "z"]
    values = np.linspace(-500, 500, 11, dtype=np.float32)
    np.testing.assert_allclose(from_unit(to_unit(values, (-500, 500)), (-500, 500)), values, atol=1e-3)
    assert slab(np.arange(3, dtype=np.float32)[:, None, None], 2, 1)[:, 0, 0].tolist() == [1, 2, 2]


def test_a_volume_comes_back_on_its_grid(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags: dict[str, Any] = {"a": pairs / "a", "b": pairs / "b", "range": ["a=-1000..2000", "b=0..100"]}
    small: dict[str, Any] = {"width": 2, "patch_layers": 1, "size": 16, "batch": 2, "steps": 2, "neighbours": 1}
    train("slice-pix2pix", out=pairs / "run", quiet=True, **flags, **small)
    write_dicom(pairs / "new/p5", volume(5))
    write_nifti(pairs / "new/p6.nii.gz", volume(6))
    (pairs / "new/p7.nii").write_bytes(b"junk")
    assert main(["translate", str(pairs / "run"), str(pairs / "new"), str(pairs / "out")]) == 3
    assert "p7.nii: cannot be read" in capsys.readouterr().err
    assert sorted(path.name for path in (pairs / "out").iterdir()) == ["p5.nii.gz", "p6.nii.gz"]
    result, given = read_volume(pairs / "out/p6.nii.gz"), read_volume(pairs / "new/p6.nii.gz")
    assert result.on_grid_of(given)
    assert result.values.min() >= 0
    assert result.values.max() <= 100
    # Slice 2 by hand.
    picture = torch.from_numpy(to_unit(given.values, (-1000, 2000)).transpose(2, 0, 1)[1:4])[None]
    expected = load(pairs / "run")(picture)[0, 0].numpy() * 50 + 50
    np.testing.assert_allclose(result.values[:, :, 2], expected, atol=1e-3)
    np.testing.assert_allclose(read_volume(pairs / "out/p5.nii.gz").affine, read_volume(pairs / "new/p5").affine)
    assert main(["translate", str(pairs / "run"), str(pairs / "none"), str(pairs / "out")]) == 2


def test_contract() -> None:
    check_task_model(SlicePix2Pix(width=2, patch_layers=1))
