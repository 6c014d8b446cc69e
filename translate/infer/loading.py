"""Reads a photo for a network, with the pictures of its further inputs."""

from __future__ import annotations

from translate.data.decode import Opened
from translate.infer.options import InferOptions
from translate.infer.photos import Photo, photo_of, read_partner, weight_of
from translate.infer.plan import Job
from translate.infer.runner import Network


class PhotoReader:
    """Reads the photos of a network, as the options have it."""

    def __init__(self, network: Network, options: InferOptions) -> None:
        self.network, self.options = network, options

    def weight(self, opened: Opened) -> int:
        """The pixels that a photo takes up on its way. Raises ``ImageError`` where padding makes it too large."""
        return weight_of(opened, self.network.direction, self.options.max_pixels)

    def photo(self, job: Job, opened: Opened) -> Photo:
        """The whole of a photo. Raises ``GantkError``."""
        first, *further = self.network.inputs
        photo = photo_of(
            opened,
            first.channels,
            indexed=first.indexed,
            alpha=self.options.alpha == "keep",
            strip=self.options.strip,
            location=not self.options.strip_location,
            scale=self.network.direction.scale,
        )
        height, width = photo.pixels.shape[:2]
        files = zip(job.others, further, strict=True)
        photo.others = tuple(read_partner(path, into, (width, height)) for path, into in files)
        return photo
