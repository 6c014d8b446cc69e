"""Pictures with the label maps that say what each of their pixels shows, and with instance maps where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from translate.console import current
from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.dataset import RowSet
from translate.data.decode import ImageError
from translate.data.example import MadeUp
from translate.data.index_maps import IndexReader, open_index_map
from translate.data.listing import Folders, list_folders
from translate.data.pairing import Partners, match, of_one_size
from translate.data.pictures import Budget, PictureReader, Pictures, scan
from translate.data.ranges import described, reading_of
from translate.data.transforms import BeforeCrop, Fit, OwnSide, Reader, side_before_crop
from translate.dataspec import UNLABELLED
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class LabelMaps(Source):
    """Label maps ``x.label``, one-hot, their pictures ``x.image``, and where given identities ``x.instances``."""

    pairs: ClassVar[bool] = True

    labels: Annotated[tuple[Path, ...], "folder of maps of class indices, grey or palette PNG; 255 is unlabelled"] = ()
    images: Annotated[tuple[Path, ...], "folder of the pictures of the same names, whatever their suffix"] = ()
    instances: Annotated[
        tuple[Path, ...],
        "folder of maps of the same names with a number for each thing, of up to 16 bits",
    ] = ()
    classes: Annotated[
        int | None,
        "classes in the label maps [as --names has them, else their largest index + 1]",
        Ge(2),
        Le(256),
    ] = None
    names: Annotated[Path | None, "text file with the names of the classes, one a line, from index 0 on"] = None
    resize: BeforeCrop = "scale"
    load_size: OwnSide = None
    flip: Annotated[bool, "mirror half of the samples"] = True

    @classmethod
    def example(cls, size: int) -> Dataset:
        channels = {"label": 5, "instances": 1, "image": 3}
        return MadeUp(DataSpec(size, channels, indexed=("label", "instances")))

    def open(self, loading: Loading) -> Dataset:
        """The samples of which every file can be read; all else is reported. ``UsageError`` where there are none."""
        if not (self.labels and self.images):
            raise UsageError("expected --labels DIR and --images DIR")
        if loading.cache == "device":
            raise UsageError("--cache device: the planes of label maps are made on the host; expected --cache memory")
        side = side_before_crop(loading.size, self.load_size, enlarged=1)
        labels, images = (
            list_folders(flag, roots) for flag, roots in (("--labels", self.labels), ("--images", self.images))
        )
        groups: list[tuple[Path, ...]] = [*match(labels, images, loading)]
        folders = [labels, images]
        if self.instances:
            folders.append(list_folders("--instances", self.instances))
            groups = _with_instances(groups, labels, folders[2], loading)
        spec = self._spec(labels, loading)
        loading.expect(spec)
        groups = [group for group, _ in of_one_size(groups, loading)]
        return self._scanned(groups, folders, spec, Fit(self.resize, side, loading.size), loading)

    def _spec(self, labels: Folders, loading: Loading) -> DataSpec:
        if loading.like is not None:  # held-out data of a model of so many classes
            count, names = loading.like.channels["label"], loading.like.names.get("label", ())
        else:
            names = () if self.names is None else read_names(self.names)
            count = self.classes or len(names) or _measured(labels, loading)
        if names and len(names) != count:
            raise UsageError(f"--names {self.names}: {len(names)} names for {count} classes; expected one for each")
        channels = {"label": count, **({"instances": 1} if self.instances else {}), "image": 3}
        return DataSpec(
            loading.size,
            channels,
            names={"label": names} if names else {},
            indexed=tuple(name for name in channels if name != "image"),
        )

    def _scanned(
        self, groups: Sequence[tuple[Path, ...]], folders: Sequence[Folders], spec: DataSpec, fit: Fit, loading: Loading
    ) -> Dataset:
        reading = reading_of("image", folders[1], loading)
        readers: dict[str, PictureReader] = {
            "label": IndexReader(spec.channels["label"], fit, loading.reading),
            "image": Reader(3, fit, reading),
            "instances": IndexReader(1, fit, loading.reading),
        }
        budget = Budget(loading.cache_budget)
        pictures: dict[str, Pictures] = {}
        for place, (name, listed) in enumerate(zip(readers, folders, strict=False)):
            files = replace(listed, files=tuple(group[place] for group in groups))
            # What belongs to the label maps of a part comes along, whatever it is called.
            pictures[name] = scan(
                files, readers[name], replace(loading, part=None) if place else loading, budget=budget
            )
            known = pictures[name].numbers()
            groups = [group for group in groups if group[place] in known]
        if not groups:
            raise UsageError(f"{folders[0]}, {folders[1]}: no label map and picture of one size can be read")
        numbers = {name: found.numbers() for name, found in pictures.items()}
        rows = [{name: numbers[name][path] for name, path in zip(pictures, group, strict=True)} for group in groups]
        return RowSet(described(spec, {"image": reading}, {"image": pictures["image"]}), pictures, rows, flip=self.flip)


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a text file, one a line. Raises ``UsageError`` naming the file."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--names {path}: expected a text file with a name on each line ({error})") from None
    if len(set(names)) < len(names) or not 2 <= len(names) <= UNLABELLED + 1:
        raise UsageError(f"--names {path}: expected 2 to {UNLABELLED + 1} different names, one on each line")
    return names


def _with_instances(
    groups: Sequence[tuple[Path, ...]], labels: Folders, instances: Folders, loading: Loading
) -> list[tuple[Path, ...]]:
    partners = Partners(instances, loading.reading)
    found: list[tuple[Path, ...]] = []
    for group in groups:
        try:
            found.append((*group, partners.of(Path(labels.name(group[0])), group[0])))
        except LookupError as error:
            if loading.strict:
                raise UsageError(f"{group[0]}: {error} (--strict-data stops at the first such file)") from None
            current().line(f"left out {group[0]}: {error}")
    if not found:
        raise UsageError(f"{labels}, {instances}: no file names match; expected the same names, whatever their suffix")
    return found


def _measured(labels: Folders, loading: Loading) -> int:
    """One more than the largest index in any of the maps, those that are held out included."""

    def largest(path: Path) -> int:
        try:
            indices = open_index_map(path, UNLABELLED + 1, loading.reading)
        except ImageError:
            return -1  # the scan reports it
        return int(indices[indices != UNLABELLED].max(initial=0))

    with ThreadPoolExecutor(max(1, loading.workers), "gantk-measure") as pool:
        count = max(pool.map(largest, labels.files)) + 1
    if count < 2:
        raise UsageError(f"{labels}: expected maps of two classes or more, or --classes N")
    current().line(f"{labels}: {count} classes, by their largest index (--classes N sets another number)")
    return count
