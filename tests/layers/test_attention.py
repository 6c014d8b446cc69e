"""Self-attention against its equations, pixel by pixel."""

from __future__ import annotations

import torch

from translate.layers.attention import SelfAttention


def test_each_pixel_looks_at_all_pooled_pixels() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(16).double(), torch.randn(2, 16, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x)  # at the start nothing is added
    layer.gamma.data.fill_(0.7)
    query, key, value, out = (m.weight[:, :, 0, 0] for m in (layer.query, layer.key, layer.value, layer.out))
    found = layer(x)

    def pooled(maps: torch.Tensor) -> list[torch.Tensor]:
        return [maps[:, r : r + 2, c : c + 2].amax((1, 2)) for r in range(0, 4, 2) for c in range(0, 6, 2)]

    for image, result in zip(x, found, strict=True):
        keys = pooled(torch.einsum("oc,chw->ohw", key, image))
        values = pooled(torch.einsum("oc,chw->ohw", value, image))
        for row in range(4):
            for column in range(6):
                asks = query @ image[:, row, column]
                shares = torch.stack([asks @ k for k in keys]).softmax(0)
                answer = out @ sum(s * v for s, v in zip(shares, values, strict=True))
                torch.testing.assert_close(result[:, row, column], image[:, row, column] + 0.7 * answer)
