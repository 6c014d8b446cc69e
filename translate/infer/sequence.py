"""Pictures that come in order: what one hands on to the next, and which of them are one clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Size, Tensor

from translate.data.clips import in_clips
from translate.infer.plan import Job
from translate.infer.result import Result


class Handed:
    """What the picture before kept, for a direction with ``sequence``; of others nothing is asked."""

    def __init__(self) -> None:
        self._tensors: Mapping[str, Tensor] = {}
        self._size: Size | None = None
        self._latest: tuple[Mapping[str, Tensor], Size] | None = None

    def restart(self) -> None:
        """Forget it: the next picture is the first of a sequence."""
        self._tensors, self._size = {}, None

    def of(self, x: Tensor) -> Mapping[str, Tensor]:
        """What goes into the batch of ``x``, (N, C, H, W): nothing where the picture before had another size."""
        return self._tensors if self._size == x.shape[2:] else {}

    def offer(self, x: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Take what ``x`` kept; it counts once the picture is done."""
        self._latest = dict(kept), x.shape[2:]

    def follow(self, translate: Callable[[], list[Result]]) -> Result:
        """The next picture's result; where it fails, the one after is the first of a sequence."""
        before = self._size
        try:
            (result,) = translate()
        except BaseException:
            self.restart()
            raise
        assert self._latest is not None
        self._tensors, self._size = self._latest
        if before is not None and before != self._size:
            result.notes.append("it has another size than the frame before, so the sequence begins anew with it")
        return result


def clips_of(jobs: Iterable[Job]) -> list[list[Job]]:
    """The jobs by the folder that they lie in, each a clip, with its frames in natural order (2 before 10)."""
    return [[job for _, job in clip] for clip in in_clips((job.inside, job) for job in jobs)]


def shared(jobs: Sequence[Job], share: slice, sequence: bool) -> list[Job]:
    """One process's jobs: every so many of them, or with ``sequence`` of their clips."""
    return [job for clip in clips_of(jobs)[share] for job in clip] if sequence else list(jobs[share])
