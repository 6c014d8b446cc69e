"""A history of generated images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate import distributed
from translate.contract import Noise


class ImagePool(nn.Module):
    """Past fakes for the discriminator (Shrivastava et al., 2017; CycleGAN section 4).

    (N, C, side, side), and N draws of ``DRAWS`` -> (N, C, side, side). Until ``size`` images are in, each image is
    stored and returned. After that each is returned with probability 1/2, or else takes the place of a random stored
    one, which is returned. Images of a batch go in one after another; those of all processes go in by rank, so that
    every process holds the same past. All state is in buffers and nothing waits for the device; ``size`` 0 returns what
    it is given. Raises ``ValueError`` for images of another shape.
    """

    DRAWS = Noise((2,), "uniform")
    """What a phase that asks a pool declares as noise, one name for each pool: whether to swap, and for which."""

    images: Tensor
    count: Tensor

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, channels, side, side))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

    def forward(self, images: Tensor, draws: Tensor) -> Tensor:
        images = images.detach()
        if self.size == 0:
            return images
        if images.shape[1:] != self.images.shape[1:]:
            holds, got = ("x".join(map(str, shape[1:])) for shape in (self.images.shape, images.shape))
            raise ValueError(f"the image pool holds images of {holds} (C x H x W), got {got}")
        everyones, tosses = distributed.of_all_processes(images), distributed.of_all_processes(draws)
        shown = torch.cat([self._exchange(image, toss) for image, toss in zip(everyones.split(1), tosses, strict=True)])
        return distributed.of_this_process(shown)

    def _exchange(self, image: Tensor, toss: Tensor) -> Tensor:
        full = self.count >= self.size
        swap = full & (toss[:1] < 0)
        chosen = ((toss[1:] + 1) / 2 * self.size).long()
        # Indexing with a tensor of one element would read it on the host; index_select does not.
        slot = torch.where(full, chosen, self.count).clamp(max=self.size - 1)
        stored = self.images.index_select(0, slot)
        new = image.to(stored.dtype)
        self.images.index_copy_(0, slot, torch.where(full & ~swap, stored, new))
        self.count += ~full
        return torch.where(swap, stored, new).to(image.dtype)

    def extra_repr(self) -> str:
        return f"size={self.size}"
