"""The pictures that an evaluation looks at, one after the other, so that memory never holds a set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TypeVar

import torch

from translate.conditions import ALL, conditions_of, each_choice, parse_settings
from translate.contract import Loading
from translate.data import bicubic
from translate.data.archives import status
from translate.data.clips import in_clips
from translate.data.decode import ImageError, Pixels, open_image
from translate.data.index_maps import open_index_map
from translate.data.listing import Folders, list_folders
from translate.data.pairing import SAME_NAME, Partners, Pattern, match
from translate.data.transforms import nearest, resize
from translate.errors import UsageError
from translate.evaluation.options import EvaluateOptions
from translate.infer.inputs import Input
from translate.infer.options import InferOptions
from translate.infer.partners import folders_of
from translate.infer.runner import Network
from translate.modelfile.model import Published
from translate.reading import STANDARD, Reading
from translate.sample.sampler import Sampler
from translate.sample.saving import to_bytes

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """A result, the picture that it should be and the one that it was made from, where there are such.

    Pixels (H, W, C), or class indices (H, W, 1) where the domain is indexed. ``group``: the class that was drawn.
    """

    name: str
    output: Pixels
    target: Pixels | None = None
    source: Pixels | None = None
    group: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is judged: ``count`` results, which ``results`` makes in the order of their names, and the real pictures.

    ``network``: what makes them, where pictures are translated. ``classes``: of results that are class-index maps, 0
    for pictures. ``groups``: of the real pictures, the sub-folder of each, where the results are drawn by class only
    that of the classes drawn. ``choices``: all classes of a sampler, in the model's order.
    """

    count: int
    results: Callable[[], Iterator[Shown]]
    reals: Sequence[Path]
    channels: int
    network: Network | None = None
    classes: int = 0
    files: tuple[Path, ...] = ()
    groups: Mapping[Path, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()

    @property
    def by_class(self) -> bool:
        """Whether results are drawn by class, and real pictures of these classes are known."""
        return bool(self.choices and self.groups)


def fingerprint(paths: Sequence[Path]) -> str:
    """Tells whether two evaluations looked at the same files: a digest of their names and lengths."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda each: each.name):
        digest.update(f"{path.name}\0{status(path)[0]}\n".encode("utf-8", "surrogateescape"))
    return f"{len(paths)} files, {digest.hexdigest()[:12]}"


def opened(path: Path, channels: int, size: int | None, reading: Reading = STANDARD) -> Pixels:
    """The picture of a file, resized to a square of ``size`` where it is given."""
    image = open_image(path, channels, reading)
    return image if size is None else resize(image, size, size)


def folder_of_pictures(options: EvaluateOptions) -> Subject:
    """Results that lie in a folder."""
    assert options.pictures is not None
    assert options.against is not None
    paths = _files("--pictures", options.pictures)

    def results() -> Iterator[Shown]:
        for path in paths:
            yield Shown(path.name, opened(path, 3, options.size))

    reals = _files("--against", options.against)
    return Subject(len(paths), results, reals, 3, files=paths, groups=_sub_folders(options.against, reals))


def samples(model: Published, options: EvaluateOptions, device: torch.device) -> Subject:
    """Pictures that a sampler draws, as many of each class where it has classes."""
    assert options.against is not None
    if not any(each.latent for each in model.directions):
        raise UsageError(f"--against: {model.path} does not draw pictures; expected --inputs DIR to translate as well")
    direction = model.direction(options.direction, latent=True)
    reals = _files("--against", options.against)
    settings = parse_settings(options.settings)
    needed = [name for name, each in direction.conditions.items() if each.default is None and name not in settings]
    if len(needed) == 1 and direction.conditions[needed[0]].choices:
        settings[needed[0]] = ALL
    each = each_choice(direction, settings)
    varied = next((name for name in each[0] if len(each) > 1 and each[0][name] != each[1][name]), None)
    groups = [one[varied] for one in each] if varied is not None else []
    share = options.count // len(each)
    if share < 2:
        raise UsageError(f"--count {options.count}: expected two pictures or more of each of {len(each)} classes")

    sampler = Sampler(
        model=model,
        seed=options.seed,
        direction=direction.name,
        settings=settings,
        batch=options.batch,
        device=device,
    )
    for one in each:
        conditions_of(direction, one)  # wrong settings are refused here, before anything is drawn

    def results() -> Iterator[Shown]:
        batches = sampler.batches(share)
        pictures = (picture for batch in batches for picture in to_bytes(batch))
        for number, picture in enumerate(pictures):
            yield Shown(f"{number:06d}", picture, group=groups[number // share] if groups else None)

    found = _sub_folders(options.against, reals)
    known = {path: name for path, name in found.items() if not groups or name in groups}
    channels = model.data.channels[direction.outputs]
    choices = () if varied is None else direction.conditions[varied].choices
    return Subject(share * len(each), results, reals, channels, groups=known, choices=choices)


def _sub_folders(folder: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """The sub-folder of each picture that lies in one."""
    parts = {path: path.relative_to(folder).parts for path in paths}
    return {path: names[0] for path, names in parts.items() if len(names) > 1}


def translations(model: Published, options: EvaluateOptions, device: torch.device) -> Subject:
    """Pictures of one domain, translated, beside real ones of the other."""
    assert options.inputs is not None
    assert options.against is not None
    network = _network(model, options.direction, device, options)
    folder = list_folders("--inputs", [options.inputs])
    paths = folder.files
    inputs = _inputs(network, folder, options)
    reals = _files("--against", options.against)

    def results() -> Iterator[Shown]:
        for path in _in_order(network, [(path, path) for path in paths]):
            source, *others = inputs(path)
            yield Shown(path.name, translated(network, source, path, others), source=source)

    return Subject(len(paths), results, reals, network.levels.out_channels, network, files=paths)


def pairs(model: Published, options: EvaluateOptions, device: torch.device) -> Subject:
    """Inputs, translated, beside what they should become."""
    network = _network(model, options.direction, device, options)
    classes = network.levels.out_channels if network.levels.index_out else 0
    if options.ab is not None:
        if any(one.indexed for one in network.inputs) or classes:
            raise UsageError("--ab holds pictures, but this model has maps of indices; expected --a and --b")
        if len(network.inputs) > 1:
            raise UsageError("--ab holds one input of each pair, but this model takes more; expected --a and --b")
        both = [(path, path) for path in _files("--ab", options.ab)]
    else:
        assert options.a is not None
        assert options.b is not None
        both = _matched(("--a", options.a), ("--b", options.b), options)
        inputs = _inputs(network, list_folders("--a", [options.a]), options)

    def results() -> Iterator[Shown]:
        for first, second in _in_order(network, [(pair[0], pair) for pair in both]):
            others: list[Pixels] = []
            if options.ab is None:
                (source, *others), target = inputs(first), _target(network, second, options.size)
            else:
                source, target = _halves(first, network, options)
            yield Shown(first.name, translated(network, source, first, others), target, source)

    files = tuple(dict.fromkeys(path for pair in both for path in pair))
    reals = [] if classes else [second for _, second in both]
    return Subject(len(both), results, reals, network.levels.out_channels, network, classes, files)


def super_resolution(model: Published, options: EvaluateOptions, device: torch.device) -> Subject:
    """Low-resolution pictures, enlarged, beside the high-resolution ones."""
    assert options.hr is not None
    network = _network(model, options.direction, device, options)
    scale, channels = network.direction.scale, network.inputs[0].channels
    if scale == 1:
        raise UsageError(
            f"--hr: {model.path} does not enlarge pictures; expected --inputs and --against, or --a and --b"
        )
    if options.lr_images is None:
        both: list[tuple[Path, Path | None]] = [(path, None) for path in _files("--hr", options.hr)]
    else:
        named = (SAME_NAME, Pattern(second=f"{{}}x{scale}"))
        both = [*_matched(("--hr", options.hr), ("--lr-images", options.lr_images), options, named)]

    def results() -> Iterator[Shown]:
        for path, low in both:
            target = bicubic.crop_to_multiple(opened(path, channels, options.size), scale)
            source = bicubic.resize(target, 1 / scale) if low is None else open_image(low, channels)
            yield Shown(path.name, translated(network, source, path), target)

    files = tuple(path for pair in both for path in pair if path is not None)
    return Subject(len(both), results, [high for high, _ in both], network.levels.out_channels, network, files=files)


def translated(network: Network, source: Pixels, path: Path, others: Sequence[Pixels] = ()) -> Pixels:
    """What ``gantk infer`` would write for these pixels; ``others``: of the further inputs."""
    result = network.translate([source], others=[[other] for other in others])[0]
    if result.tiles > 1:
        raise UsageError(f"{path}: too large for memory in one piece; expected a smaller --size")
    return result.canvas.read(0, result.canvas.shape[0])


def _in_order(network: Network, entries: Sequence[tuple[Path, T]]) -> Iterator[T]:
    """What belongs to each path: as it is listed, or for a direction with ``sequence`` clip by clip."""
    for clip in in_clips(entries) if network.direction.sequence else [entries]:
        network.handed.restart()
        for _, entry in clip:
            yield entry


def _files(flag: str, folder: Path) -> tuple[Path, ...]:
    return list_folders(flag, [folder]).files


def _matched(
    first: tuple[str, Path],
    second: tuple[str, Path],
    options: EvaluateOptions,
    named: tuple[Pattern, ...] = (SAME_NAME,),
) -> list[tuple[Path, Path]]:
    """Pairs of files by their names, as training matches them."""
    patterns = (Pattern.parse(options.pair),) if options.pair else named
    firsts, seconds = (list_folders(flag, [folder]) for flag, folder in (first, second))
    return match(firsts, seconds, Loading(size=4), patterns)


def _network(model: Published, name: str | None, device: torch.device, options: EvaluateOptions) -> Network:
    if all(each.latent for each in model.directions):
        raise UsageError(f"{model.path} draws pictures from noise; expected --against DIR alone")
    infer = InferOptions(tile="off", precision="fp32", seed=options.seed)
    return Network(model, model.direction(name), device, infer)


def _inputs(network: Network, folder: Folders, options: EvaluateOptions) -> Callable[[Path], list[Pixels]]:
    """Reads what the network takes for a file of ``folder``: its picture, and those that belong to it (``--also``)."""
    first, *further = network.inputs
    partners = [
        (Partners(list_folders(f"--also {name}", [place])), into)
        for into, (name, place) in zip(further, folders_of(network.direction, options.also).items(), strict=True)
    ]

    def inputs(path: Path) -> list[Pixels]:
        found = [_input(first, path, options.size)]
        for files, into in partners:
            try:
                partner = files.of(PurePath(folder.name(path)), path)
            except LookupError as error:
                raise UsageError(f"{path}: it has no {into.name}: {error}") from None
            found.append(_input(into, partner, options.size))
            if found[-1].shape[:2] != found[0].shape[:2]:
                height, width = found[0].shape[:2]
                raise ImageError(partner, f"expected {width}x{height} pixels, as {path} has")
        return found

    return inputs


def _input(into: Input, path: Path, size: int | None) -> Pixels:
    if into.indexed:
        return _map(path, into.channels, size)
    return opened(path, into.channels, size, into.reading)


def _target(network: Network, path: Path, size: int | None) -> Pixels:
    levels = network.levels
    if levels.index_out:
        return _map(path, levels.out_channels, size)
    return opened(path, levels.out_channels, size, replace(network.inputs[0].reading, range=levels.range_out))


def _map(path: Path, classes: int, size: int | None) -> Pixels:
    indices = open_index_map(path, classes)
    return indices if size is None else nearest(indices, size, size)


def _halves(path: Path, network: Network, options: EvaluateOptions) -> tuple[Pixels, Pixels]:
    """The two halves of a picture: the input and the target."""
    found = []
    for channels, right in (
        (network.inputs[0].channels, options.swap),
        (network.levels.out_channels, not options.swap),
    ):
        whole = open_image(path, channels)
        if whole.shape[1] % 2:
            raise ImageError(path, f"{whole.shape[1]} pixels wide; expected two halves of one width")
        middle = whole.shape[1] // 2
        half = whole[:, middle:] if right else whole[:, :middle]
        found.append(half if options.size is None else resize(half, options.size, options.size))
    return found[0], found[1]
