"""A history of generated images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Past fakes for the discriminator (Shrivastava et al., 2017; CycleGAN section 4): (N, C, side, side) -> the same.

    Until ``size`` images are in, each image is stored and returned. After that each is returned with probability 1/2,
    or else takes the place of a random stored one, which is returned. Images of a batch go in one after another. All
    state is in buffers and nothing waits for the device; ``size`` 0 returns what it is given. Raises ``ValueError``
    for images of another shape.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, channels, side, side))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        images = images.detach()
        if self.size == 0:
            return images
        if images.shape[1:] != self.images.shape[1:]:
            holds, got = ("x".join(map(str, shape[1:])) for shape in (self.images.shape, images.shape))
            raise ValueError(f"the image pool holds images of {holds} (C x H x W), got {got}")
        # The random numbers are drawn per image, so that a batch and its micro-batches draw the same.
        return torch.cat([self._exchange(image) for image in images.split(1)])

    def _exchange(self, image: Tensor) -> Tensor:
        full = self.count >= self.size
        swap = full & (torch.rand(1, device=image.device) < 0.5)
        slot = torch.where(full, torch.randint(self.size, (1,), device=image.device), self.count)
        # Indexing with a tensor of one element would read it on the host; index_select does not.
        slot = slot.clamp(max=self.size - 1)
        stored = self.images.index_select(0, slot)
        new = image.to(stored.dtype)
        self.images.index_copy_(0, slot, torch.where(full & ~swap, stored, new))
        self.count += ~full
        return torch.where(swap, stored, new).to(image.dtype)

    def extra_repr(self) -> str:
        return f"size={self.size}"
