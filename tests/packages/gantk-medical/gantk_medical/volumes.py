"""Reading and writing volumes: NIfTI files, and folders of DICOM slices."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from translate import UsageError
from translate.errors import one_line
from translate.files import write_whole

SUFFIXES = (".nii.gz", ".nii")
NIFTI: Any = nibabel.Nifti1Image  # which nibabel does not annotate
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError, RuntimeError, zlib.error),
    nibabel.filebasedimages.ImageFileError,
)
"""What the two libraries raise for damaged files, for tags that are missing and for compression that they cannot undo."""
GRID = 1e-3
"""How far two affines of one grid may differ, in millimetres."""
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's axes (left, posterior, superior) to NIfTI's (right, anterior, superior)."""


@dataclass(frozen=True)
class Volume:
    """Numbers (X, Y, Z) in float32, and the affine (4, 4) that takes their indices to millimetres, as NIfTI has it."""

    path: Path
    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    def on_grid_of(self, other: Volume) -> bool:
        """Whether both have the same voxels at the same places."""
        return self.values.shape == other.values.shape and np.allclose(self.affine, other.affine, rtol=0, atol=GRID)


def name_of(path: Path) -> str:
    """What the two volumes of a pair have in common: the name without the suffix of NIfTI."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return path.name[: len(path.name) - len(suffix)]


def find_volumes(flag: str, folder: Path) -> dict[str, Path]:
    """The NIfTI files and sub-folders of a folder, by name. Raises ``UsageError`` where there are none, or two of a
    name."""
    if not folder.is_dir():
        raise UsageError(f"{flag} {folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_dir() or path.name.lower().endswith(SUFFIXES)):
            continue
        if other := found.get(name_of(path)):
            raise UsageError(f"{flag} {folder}: {path.name} and {other.name} have one name; expected one of them")
        found[name_of(path)] = path
    if not found:
        raise UsageError(f"{flag} {folder}: no volumes; expected .nii or .nii.gz files, or folders of DICOM slices")
    return found


def read_volume(path: Path) -> Volume:
    """A NIfTI file, or the one series in a folder of DICOM slices. Raises ``UsageError`` naming what is wrong."""
    try:
        volume = _dicom(path) if path.is_dir() else _nifti(path)
    except DAMAGED as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from None
    if volume.values.size == 0 or not bool(np.isfinite(volume.values).all()):
        raise UsageError(f"{path}: some of its numbers are not finite, or it has none")
    return volume


def _nifti(path: Path) -> Volume:
    image: Any = nibabel.load(path)
    values = np.asarray(image.dataobj, dtype=np.float32)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise UsageError(f"{path}: {values.ndim} dimensions; expected a volume of three")
    return Volume(path, values, np.asarray(image.affine, dtype=np.float64))


def _dicom(folder: Path) -> Volume:
    slices = []
    for path in sorted(folder.iterdir()):
        try:
            slices.append(pydicom.dcmread(path))
        except (InvalidDicomError, IsADirectoryError):
            continue
    if not slices:
        raise UsageError(f"{folder}: no DICOM files in it")
    if len(slices) < 2 or len({str(one.get("SeriesInstanceUID")) for one in slices}) > 1:
        raise UsageError(f"{folder}: {len(slices)} DICOM files; expected the slices of one series, two or more")
    if any(one.get("SamplesPerPixel", 1) != 1 or one.get("NumberOfFrames", 1) != 1 for one in slices):
        raise UsageError(f"{folder}: colours or several frames in one file; expected one grey slice in each")
    orientation = np.array(slices[0].ImageOrientationPatient, dtype=np.float64)
    if any(not np.allclose(one.ImageOrientationPatient, orientation, atol=GRID) for one in slices):
        raise UsageError(f"{folder}: slices of different orientations; expected parallel ones")
    along_row, along_column = orientation[:3], orientation[3:]
    normal = np.cross(along_row, along_column)
    slices.sort(key=lambda one: float(np.dot(normal, one.ImagePositionPatient)))
    places = np.array([one.ImagePositionPatient for one in slices], dtype=np.float64)
    steps = np.diff(places, axis=0)
    step = steps.mean(0)
    if not np.allclose(steps, step, atol=max(GRID, 0.01 * float(np.linalg.norm(step)))) or not step.any():
        raise UsageError(f"{folder}: its slices are not equally far apart; one may be missing")
    planes = [
        one.pixel_array.T * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0)) for one in slices
    ]
    down, right = (float(spacing) for spacing in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.stack([along_row * right, along_column * down, step, places[0]], axis=1)
    return Volume(folder, np.stack(planes, axis=2).astype(np.float32), TO_RAS @ affine)


def write_volume(path: Path, values: NDArray[np.float32], like: Volume) -> None:
    """Write numbers (X, Y, Z) as NIfTI on the grid of another volume, whole or not at all."""
    image = NIFTI(values, like.affine)
    image.header.set_xyzt_units("mm")
    # nibabel goes by the name, which a temporary file does not have.
    content = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    write_whole(path, lambda temporary: temporary.write_bytes(content))
