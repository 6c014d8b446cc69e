"""A trained model as a Python object; the command line does the same through the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from translate.config import build
from translate.console import current, using
from translate.contract import DataSpec, Direction
from translate.data.values import Pixels, at_depth
from translate.device import choose_device
from translate.errors import UsageError, did_you_mean
from translate.fields import Field, fields_of
from translate.infer.direction import direction_of
from translate.infer.folder import infer
from translate.infer.given import check_array, decoded_image, shares_of
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.infer.summary import Summary
from translate.modelfile.model import Published, load_published
from translate.sample.options import STEPS
from translate.sample.sampler import Sampler, mixing

T = TypeVar("T")
Whole = TypeVar("Whole", np.uint8, np.uint16)
Place = str | PathLike[str]

_INFER = fields_of(InferOptions, "infer")
_OF_A_CALL = [f for f in _INFER if f.name in ("direction", "tile", "precision", "sample", "seed", "settings")]


class Model:
    """A trained model, to be called with pictures.

    ``path``: its file. ``plugin``: the registered name of its plugin. ``data``: what it was trained on. ``directions``:
    the maps that it offers, the default first. Threads may share a model: each call gives what it gives alone.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._device = torch.device("cpu")
        self._networks: dict[InferOptions, Network] = {}
        self.path: Path = published.path
        self.plugin: str = published.plugin
        self.data: DataSpec = published.data
        self.directions: tuple[Direction, ...] = published.directions

    @property
    def published(self) -> Published:
        """What the file holds."""
        return self._published

    def __repr__(self) -> str:
        names = ", ".join(direction.name for direction in self.directions)
        return f"<Model {self.plugin} ({names}) of {self.path} on {self.device}>"

    @property
    def device(self) -> torch.device:
        """Where the networks are; the CPU at first."""
        return self._device

    def to(self, device: str | torch.device) -> Model:
        """Move the networks to ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; returns the model.

        Raises ``UsageError`` for a device that this machine does not have.
        """
        chosen = choose_device(str(device))
        with self._published.lock:
            self._published.nets.to(chosen)
            self._device = chosen
            self._networks.clear()
        return self

    @overload
    def __call__(self, picture: Image.Image, **flags: Any) -> Image.Image: ...
    @overload
    def __call__(self, picture: NDArray[Whole], **flags: Any) -> NDArray[Whole]: ...
    @overload
    def __call__(self, picture: Tensor, **flags: Any) -> Tensor: ...
    def __call__(self, picture: Image.Image | NDArray[Any] | Tensor, **flags: Any) -> Image.Image | Pixels | Tensor:
        """Translate a picture of any size, in tiles where memory is short; the same kind comes back.

        ``picture``: a PIL image (read as ``gantk infer`` reads a file: turned upright, in the model's channels,
        transparency carried along), a uint8 or uint16 array (H, W, C), or a float tensor (N, C, H, W) in [-1, 1] on any
        device, of which each sample is translated by itself, without gradients; a direction with ``sequence`` takes the
        samples as the frames of a clip, in their order. The result has ``direction.scale`` times its size.

        ``flags``: those of ``gantk infer`` that concern pixels, by the same names: ``direction``, ``tile``,
        ``precision``, ``sample`` and ``seed``; the conditions of the direction, such as ``domain="winter"``; and the
        pictures of its further inputs, of the same kind and size, such as ``instances=picture``. Raises ``UsageError``
        for what the direction does not take, and ``GantkError`` where the network fails on this picture.
        """
        further = {name: flags.pop(name) for name in self._further if name in flags}
        options = checked(InferOptions, _OF_A_CALL, self._with_settings(flags))
        network = self._network(options)
        if isinstance(picture, Image.Image):
            return self._image(network, self._inputs(network, picture, further), options)
        if isinstance(picture, np.ndarray):
            return self._array(network, self._inputs(network, picture, further), options)
        if isinstance(picture, Tensor):
            return self._tensor(network, self._inputs(network, picture, further), options)
        raise UsageError(f"expected a PIL image, an array or a tensor, not {type(picture).__name__}")

    def translate_folder(
        self,
        inputs: Place | Sequence[Place],
        out: Place,
        *,
        quiet: bool = False,
        **flags: Any,
    ) -> Summary:
        """Translate photos and folders of photos into the folder ``out``, as ``gantk infer`` does.

        ``flags``: those of ``gantk infer``, by the same names (``format="png"``, ``overwrite=True``), and conditions of
        the direction (``domain="winter"``). ``quiet``: report nothing but warnings; ``using`` a ``Console`` of your own
        receives the lines and a record for each file. Raises ``UsageError`` before the first photo is read; what fails
        later is counted and named in the summary.
        """
        places = [inputs] if isinstance(inputs, (str, PathLike)) else list(inputs)
        options = checked(InferOptions, _INFER, {"device": str(self.device), **self._with_settings(flags)})
        with using(current().quieted(quiet)):
            return infer(self._published, [path_of(place) for place in places], path_of(out), options)

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        direction: str | None = None,
        steps: int = STEPS,
        batch: int = 64,
        **conditions: object,
    ) -> Tensor:
        """``count`` pictures from noise, a float tensor (count, C, H, W) in [-1, 1] on the CPU.

        The k-th depends on ``seed`` and k alone. ``batch``: how many are drawn at once. ``conditions``: those of the
        direction, such as ``label="ship"``; ``label="all"`` gives ``count`` pictures of each label in turn, and
        ``truncation="0..1"`` for each of ``steps`` values. Raises ``UsageError`` where the model does not sample, and
        for a condition that is missing or wrong.
        """
        return self._sampler(seed, direction, steps, batch, conditions).sample(count)

    def walk(
        self,
        count: int,
        *,
        seed: int = 0,
        direction: str | None = None,
        steps: int = STEPS,
        loop: bool = True,
        batch: int = 64,
        **conditions: object,
    ) -> Tensor:
        """The frames of a walk through the first ``count`` latents of ``seed``, ``steps`` from one to the next.

        Float (frames, C, H, W) in [-1, 1] on the CPU, as those of ``gantk sample --walk``. ``loop``: back to the first
        latent, whose frame is not repeated. A condition such as ``label="ship..horse"`` goes from one value to the
        other meanwhile. Raises ``UsageError`` as ``sample`` does.
        """
        return torch.cat(list(self._sampler(seed, direction, steps, batch, conditions).walk(count, loop=loop)))

    def mix(
        self,
        rows: int,
        columns: int,
        *,
        seed: int = 0,
        direction: str | None = None,
        batch: int = 64,
        **conditions: object,
    ) -> Tensor:
        """The grid of ``gantk sample --mix``, float (1 + rows, 1 + columns, C, H, W) in [-1, 1] on the CPU.

        The first column and the first row hold the sources; the corner is white. Raises ``UsageError`` as ``sample``
        does, and where the model mixes no latents.
        """
        direction = direction or mixing(self._published)
        pictures = self._sampler(seed, direction, STEPS, batch, conditions).mix(rows, columns)
        return pictures.reshape(1 + rows, 1 + columns, *pictures.shape[1:])

    def _sampler(
        self, seed: int, direction: str | None, steps: int, batch: int, conditions: Mapping[str, object]
    ) -> Sampler:
        return Sampler(
            model=self._published,
            seed=seed,
            direction=direction,
            settings={name: str(value) for name, value in conditions.items()},
            steps=steps,
            batch=batch,
            device=self.device,
        )

    @property
    def _further(self) -> set[str]:
        """The names of inputs beside the first."""
        return {name for each in self.directions if each.latent is None for name in each.input_names[1:]}

    def _inputs(self, network: Network, picture: T, further: Mapping[str, Any]) -> list[T]:
        """The pictures of all inputs, of one kind."""
        first, *names = network.direction.input_names
        if unknown := sorted(further.keys() - set(names)):
            raise UsageError(f"{unknown[0]}: {network.direction.name} takes no such picture")
        for name in names:
            if name not in further:
                raise UsageError(f"{network.direction.name} needs {name} beside {first}: model(picture, {name}=...)")
            if not isinstance(further[name], Image.Image if isinstance(picture, Image.Image) else type(picture)):
                raise UsageError(f"{name}: expected a {type(picture).__name__}, as the picture is")
        return [picture, *(further[name] for name in names)]

    def _image(self, network: Network, pictures: Sequence[Image.Image], options: InferOptions) -> Image.Image:
        decoded = [decoded_image(picture, into) for picture, into in zip(pictures, network.inputs, strict=True)]
        self._tell(decoded[0].notes)
        (result,) = self._translate(network, [[each.pixels] for each in decoded], options)
        if result.shape[2] not in (1, 3, 4):
            raise UsageError(f"{self.path}: gives {result.shape[2]} channels, which no PIL image has; use an array")
        if result.shape[2] > 1:
            result = at_depth(result, np.dtype(np.uint8))
        image = Image.fromarray(result if result.shape[2] > 1 else result[:, :, 0])
        if decoded[0].alpha is not None and image.mode in ("L", "RGB"):
            alpha = Image.fromarray(at_depth(decoded[0].alpha, np.dtype(np.uint8)))
            image.putalpha(alpha.resize(image.size, Image.Resampling.BICUBIC))
        return image

    def _array(self, network: Network, pictures: Sequence[NDArray[Any]], options: InferOptions) -> Pixels:
        for picture, into in zip(pictures, network.inputs, strict=True):
            check_array(picture, into)
        (result,) = self._translate(network, [[picture] for picture in pictures], options)
        return result

    def _tensor(self, network: Network, pictures: Sequence[Tensor], options: InferOptions) -> Tensor:
        if any(one.indexed for one in network.inputs) or network.levels.index_out:
            raise UsageError(f"{self.path}: its indices have no range; expected a PIL image or an array")
        shares = [shares_of(picture, into) for picture, into in zip(pictures, network.inputs, strict=True)]
        if len({len(each) for each in shares}) > 1:
            raise UsageError(f"expected as many pictures of each, not {', '.join(str(len(each)) for each in shares)}")
        results = self._translate(network, shares, options)
        values = torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2) * 2 - 1
        return values.to(pictures[0].device, pictures[0].dtype).contiguous()

    def _with_settings(self, flags: Mapping[str, Any]) -> dict[str, Any]:
        """Keywords that name conditions of the model as ``--set`` has them; all others as they are."""
        known = {field.name for field in _INFER}
        offered = {name for direction in self.directions for name in direction.conditions} - known
        given = tuple(f"{name}={value}" for name, value in flags.items() if name in offered)
        others = {name: value for name, value in flags.items() if name not in offered}
        return {**others, "settings": (*others.get("settings", ()), *given)} if given else others

    def _network(self, options: InferOptions) -> Network:
        with self._published.lock:
            if options not in self._networks:
                direction = direction_of(self._published, options)
                self._networks[options] = Network(self._published, direction, self._device, options)
            return self._networks[options]

    def _translate(self, network: Network, pictures: Sequence[Sequence[Pixels]], options: InferOptions) -> list[Pixels]:
        """The results, (H, W, C) each; ``pictures``: as many of each input."""
        sizes = [each[0].shape[:2] for each in pictures]
        for size, name in zip(sizes, network.direction.input_names, strict=True):
            if size != sizes[0]:
                raise UsageError(f"{name}: {size[1]}x{size[0]} pixels; expected {sizes[0][1]}x{sizes[0][0]}")
        with self._published.lock:
            network.handed.restart()
            results = network.translate(pictures[0], options.seed, pictures[1:])
        translated = []
        for result in results:
            self._tell(result.notes)
            translated.append(result.canvas.read(0, result.canvas.shape[0]).copy())
            result.canvas.close()
        return translated

    def _tell(self, notes: Sequence[str]) -> None:
        for note in notes:
            current().detail(f"{self.path}: {note}")


def load(path: Place) -> Model:
    """Load the trained model of a run folder or of a model file, on the CPU.

    Nothing is imported but the installed plugin whose name the file holds. Raises ``GantkError`` naming the file and
    what was expected.
    """
    return Model(load_published(path_of(path)))


def checked(cls: type[T], fields: Sequence[Field], flags: Mapping[str, Any]) -> T:
    """The dataclass of flags that were given as keywords, with the errors that they would give as flags."""
    return build(cls, fields, values_of({field.name: field for field in fields}, flags), cls.__name__)


def values_of(known: Mapping[str, Field], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values of keyword flags by field name. Raises ``UsageError`` for a name that is none."""
    for name in flags:
        if name not in known:
            raise UsageError(f"no such flag: {name}{did_you_mean(name, list(known))}")
    return {name: known[name].from_words(_words(known[name], value)) for name, value in flags.items()}


def _words(field: Field, value: Any) -> Any:
    """A value as it would be typed: numbers for flags that take numbers and words, such as ``tile``; one for many."""
    if field.shape == "many" and isinstance(value, (str, PathLike)):
        value = [value]
    if isinstance(value, (list, tuple)):
        return [str(item) if isinstance(item, PathLike) else item for item in value]
    return str(value) if isinstance(value, (int, float, PathLike)) and not isinstance(value, bool) else value


def path_of(place: Place) -> Path:
    """Raises ``UsageError`` for an empty path, which Python takes for the current folder."""
    if not str(place):
        raise UsageError("an empty path: expected a file or folder")
    return Path(place)
