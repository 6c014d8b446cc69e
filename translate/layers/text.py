"""Captions as vectors, and the pictures that they belong to: what AttnGAN calls DAMSM (Xu et al., 2018, section 3.2).

Words are indices into a vocabulary, int64 (N, L); 0 is the empty word that fills a caption up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 8
"""Side of the map of a picture's regions. The paper has 17, of an Inception network for 299 pixels."""


class TextEncoder(nn.Module):
    """A bidirectional LSTM over the words: (N, L) -> words (N, features, L) and sentence (N, features).

    A word is the two states at its place, the sentence the last state of either way. The backward way begins at the end
    of the empty words, which tells it no more than how many there are.
    """

    def __init__(self, vocabulary: int, features: int = 256, embedding: int = 300) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.lstm = nn.LSTM(embedding, features // 2, batch_first=True, bidirectional=True)
        with torch.no_grad():
            self.embedding.weight[1:].uniform_(-0.1, 0.1)

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.lstm(self.embedding(text))
        onward, back = states.chunk(2, 2)
        last = (text.ne(0).sum(1) - 1).clamp(min=0)
        final = onward.gather(1, last[:, None, None].expand(-1, 1, onward.shape[2])).squeeze(1)
        return states.transpose(1, 2), torch.cat([final, back[:, 0]], 1)


class RegionEncoder(nn.Module):
    """Pictures (N, channels, size, size) to regions (N, features, regions) and a whole (N, features).

    Strided convolutions down to ``GRID``, trained on the captions from scratch, in the place of the paper's Inception
    network, whose weights would have to be downloaded. Group norm, so that a picture is judged by itself.
    """

    def __init__(self, channels: int, size: int, features: int = 256, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        side = size
        while side > GRID:
            after = min(4 * width, features)
            layers += [nn.Conv2d(width, after, 4, 2, 1), nn.GroupNorm(_groups(after), after), nn.LeakyReLU(0.2)]
            width, side = after, side // 2
        self.body = nn.Sequential(*layers, nn.Conv2d(width, features, 3, padding=1), nn.LeakyReLU(0.2))
        self.region = nn.Conv2d(features, features, 1)
        self.whole = nn.Linear(features, features)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body(images)
        return self.region(found).flatten(2), self.whole(found.mean((2, 3)))


def _groups(channels: int) -> int:
    return next(count for count in (8, 4, 2, 1) if channels % count == 0)


class ConditioningAugmentation(nn.Module):
    """A sentence as a normal distribution (Zhang et al., 2017, section 3.2): (N, features) -> mean, log-variance.

    Both (N, condition).
    """

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 4 * condition)

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = F.glu(self.linear(sentence), 1).chunk(2, 1)
        return mean, log_variance


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """From the standard normal distribution (Zhang et al., 2017, eq. 2), the mean over all numbers."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


class WordAttention(nn.Module):
    """For each place of a map, the words that matter to it (Xu et al., 2018, eqs. 5 and 6).

    Map (N, channels, H, W), words (N, features, L), text (N, L) -> (N, channels, H, W).
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.words = nn.Conv1d(features, channels, 1, bias=False)

    def forward(self, x: Tensor, words: Tensor, text: Tensor) -> Tensor:
        words = self.words(words)
        scores = x.flatten(2).transpose(1, 2) @ words  # (N, places, L)
        shares = scores.masked_fill(text.eq(0)[:, None], float("-inf")).softmax(2)
        found: Tensor = (words @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        return found


def word_scores(regions: Tensor, words: Tensor, text: Tensor, focus: float = 4.0, best: float = 5.0) -> Tensor:
    """How well each picture fits each caption by its words (Xu et al., 2018, eqs. 7 to 10): (pictures, captions).

    ``regions``: (N, features, R). ``words``: (M, features, L), of ``text`` (M, L). ``focus``: gamma 1, how few regions
    a word looks at; ``best``: gamma 2, how much the best words count.
    """
    empty = text.eq(0)
    scores = torch.einsum("mdl,ndr->nmlr", words, regions)
    scores = scores.masked_fill(empty[None, :, :, None], float("-inf")).softmax(2)  # over words: eq. 8
    shares = (focus * scores).softmax(3)
    context = torch.einsum("nmlr,ndr->nmdl", shares, regions)  # eq. 9
    relevance = F.cosine_similarity(context, words[None], dim=2, eps=1e-8)  # (N, M, L)
    return (best * relevance).masked_fill(empty[None], float("-inf")).logsumexp(2) / best  # eq. 10


def matching_loss(scores: Tensor, text: Tensor, sharpness: float = 10.0) -> Tensor:
    """Each picture is to find its caption among those of the batch, and each caption its picture (eqs. 11 to 13).

    ``scores``: (N, N), pictures by captions. ``text``: (N, L); a caption that is the same as the right one is not
    wrong, and is left out. ``sharpness``: gamma 3.
    """
    same = (text[:, None] == text[None]).all(2)
    others_same = same & ~torch.eye(len(text), dtype=torch.bool, device=text.device)
    logits = (sharpness * scores).masked_fill(others_same, float("-inf"))
    right = torch.arange(len(text), device=text.device)
    return F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
