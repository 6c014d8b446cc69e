"""Batches are a function of seed and position, whoever prepares them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.contract import Dataset, DataSpec
from translate.data.decode import ImageError
from translate.data.loader import Loader, Order, fixed_batch
from translate.distributed import World
from translate.errors import GantkError, LostDataError, UsageError

CPU = torch.device("cpu")


class Numbers(Dataset):
    """Samples that say what they are and what was drawn for them."""

    spec = DataSpec(size=2, channels={"image": 1})

    def __init__(self, count: int, fail_at: int | None = None, delay: float = 0.0) -> None:
        self.count, self.fail_at, self.delay = count, fail_at, delay
        self.read = 0

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        time.sleep(self.delay)
        self.read += 1
        if index == self.fail_at:
            raise ImageError(Path(f"{index}.png"), "no such file or directory")
        return {
            "image": torch.full((1, 2, 2), index % 256, dtype=torch.uint8),
            "index": torch.tensor(index),
            "drawn": torch.from_numpy(rng.random(3)),
        }

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        return {**batch, "seed": torch.tensor(seed)}


def loader(dataset: Dataset | None = None, **settings: object) -> Loader:
    given: dict[str, object] = {"batch": 4, "seed": 1, "workers": 0, "device": CPU, **settings}
    return Loader(Numbers(11) if dataset is None else dataset, **given)  # type: ignore[arg-type]


def draw(count: int, **settings: object) -> list[dict[str, Tensor]]:
    with loader(**settings) as batches:
        return [batches.next_batch() for _ in range(count)]


def same(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    return all(
        x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)
        for x, y in zip(first, second, strict=True)
    )


def test_images_become_floats_and_the_rest_stays() -> None:
    batch = draw(1, dataset=Numbers(256), batch=256)[0]
    assert batch["image"].dtype == torch.float32
    order = batch["index"].argsort()
    assert torch.equal(batch["image"][order, 0, 0, 0], torch.arange(256) / 127.5 - 1)
    assert batch["image"].min() == -1
    assert batch["image"].max() == 1
    assert batch["index"].dtype == torch.int64
    assert batch["drawn"].dtype == torch.float64


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    assert same(draw(9), draw(9, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_beginning_anywhere_goes_on_as_if_never_stopped(workers: int) -> None:
    whole = draw(12)
    for position in (1, 2, 7):
        assert same(whole[position:], draw(12 - position, position=position, workers=workers))


@pytest.mark.parametrize("count", [11, 3])
def test_ranks_together_see_what_one_process_sees(count: int) -> None:
    whole = draw(6, dataset=Numbers(count), batch=6)
    for size in (2, 3):
        worlds = [World(rank=rank, size=size) for rank in range(size)]
        parts = [draw(6, dataset=Numbers(count), batch=6, places=world.places(6)) for world in worlds]
        for number in range(6):
            for name in ("image", "index", "drawn"):
                assert torch.equal(torch.cat([part[number][name] for part in parts]), whole[number][name])
    assert parts[0][0]["seed"] != parts[1][0]["seed"]


def test_each_micro_batch_of_all_ranks_is_one_of_one_process() -> None:
    whole = draw(3, dataset=Numbers(30), batch=12)
    parts = [
        draw(3, dataset=Numbers(30), batch=12, places=World(rank=rank, size=2).places(12, accumulate=3))
        for rank in range(2)
    ]
    for number in range(3):
        ranks = [part[number]["index"].chunk(3) for part in parts]
        for micro, expected in enumerate(whole[number]["index"].chunk(3)):
            assert torch.equal(torch.cat([rank[micro] for rank in ranks]), expected)


def test_an_epoch_shows_each_sample_at_most_once_and_differs_from_the_next() -> None:
    batches = draw(4, dataset=Numbers(9))
    first = torch.cat([batch["index"] for batch in batches[:2]]).tolist()
    second = torch.cat([batch["index"] for batch in batches[2:]]).tolist()
    assert len(set(first)) == len(set(second)) == 8
    assert first != second


def test_a_small_data_set_is_repeated_within_a_batch_with_fresh_draws() -> None:
    for batch in draw(3, dataset=Numbers(3), batch=7):
        counts = batch["index"].bincount().tolist()
        assert sorted(counts) == [2, 2, 3]
        assert len({tuple(row) for row in batch["drawn"].tolist()}) == 7


def test_no_two_samples_of_a_run_share_their_draws() -> None:
    batches = draw(20)
    assert len({tuple(row) for batch in batches for row in batch["drawn"].tolist()}) == 80
    assert len({batch["seed"].item() for batch in batches}) == 20
    assert not same(batches, draw(20, seed=2))


def test_order_of_a_position_does_not_depend_on_the_way_there() -> None:
    order = Order(10, 3, 0)
    forward = [order(position) for position in range(9)]
    assert [order(position) for position in reversed(range(9))] == forward[::-1]


def draw_until_it_fails(batches: Loader) -> None:
    for _ in range(50):
        batches.next_batch()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_surfaces_by_name_and_does_not_hang(workers: int) -> None:
    batches = loader(Numbers(11, fail_at=5), workers=workers)
    with pytest.raises(ImageError, match=r"5.png: no such file") as error:
        draw_until_it_fails(batches)
    assert error.value.exit_code == 1
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gantk-data")]


class Bytes(Numbers):
    """A source that gives its labels as bytes."""

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        return {**super().sample(index, rng), "label": torch.tensor(index, dtype=torch.uint8)}


def test_bytes_under_another_name_than_a_picture_are_refused() -> None:
    message = r"gives 'label' as uint8 \(\), which is for pictures .* \(image\); expected int64 or float32"
    with pytest.raises(GantkError, match=message):
        draw(1, dataset=Bytes(11))
    with pytest.raises(GantkError, match=message):
        fixed_batch(Bytes(11), 2, 0)


class Strange(Numbers):
    """A stranger's source, whose files are opened without gantk's help."""

    broken: frozenset[int] = frozenset()

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        if index in self.broken:
            raise OSError(f"cannot identify image file {index}.tif")
        return super().sample(index, rng)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_left_out_and_the_next_takes_its_place(workers: int) -> None:
    data, lines = Strange(11), list[str]()
    data.broken = frozenset({3})
    ours = draw(8, dataset=data, workers=workers, left_out=lines.append)
    assert lines == ["left out sample 3: cannot identify image file 3.tif"]
    theirs = draw(8)
    for x, y in zip(ours, theirs, strict=True):
        assert torch.equal(x["index"], torch.where(y["index"] == 3, 4, y["index"]))
        kept = y["index"] != 3
        assert torch.equal(x["drawn"][kept], y["drawn"][kept])
    data.broken = frozenset(range(11))
    with pytest.raises(LostDataError, match="8 samples in a row"):
        draw(1, dataset=data, workers=workers, left_out=lines.append)


def test_close_is_prompt_and_ends_the_threads() -> None:
    dataset = Numbers(1000, delay=0.02)
    batches = loader(dataset, workers=2, batch=100)
    waiter = threading.Timer(0.1, batches.close)
    waiter.start()
    with pytest.raises(CancelledError):  # the batch that was being waited for is given up
        batches.next_batch()
    waiter.join()
    assert dataset.read < 100  # not even the batch that was begun is read to its end
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gantk-data")]
    with pytest.raises(ValueError, match="closed"):
        batches.next_batch()


def test_nothing_is_read_before_the_first_batch_is_wanted() -> None:
    batches = loader(Numbers(4, fail_at=0), workers=2)
    time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gantk-data")]
    batches.close()


def test_reading_ahead_is_bounded_and_waiting_is_measured() -> None:
    dataset = Numbers(1000, delay=0.01)
    with loader(dataset, workers=2, batch=1) as batches:
        batches.next_batch()
        waited = batches.waited
        assert waited >= 0.01
        deadline = time.monotonic() + 10
        while dataset.read < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert dataset.read == 4  # the first, and one more than there are workers
        batches.next_batch()
        assert batches.waited >= waited
        assert batches.position == 2


def test_what_cannot_be_split_or_is_empty() -> None:
    with pytest.raises(UsageError, match="--batch 4 cannot be split over 3 processes; expected a multiple"):
        World(size=3).places(4)
    with pytest.raises(UsageError, match="--batch 4 cannot be split over 2 processes and --accumulate 4;"):
        World(size=2).places(4, accumulate=4)
    with pytest.raises(UsageError, match="no samples"):
        loader(Numbers(0))


def test_fixed_batch_is_fixed() -> None:
    first, second = fixed_batch(Numbers(11), 4, 0), fixed_batch(Numbers(11), 4, 0)
    assert same([first], [second])
    assert first["image"].shape == (4, 1, 2, 2)
    assert first["image"].dtype == torch.float32
    assert "seed" not in first
    assert len(fixed_batch(Numbers(2), 4, 0)["index"]) == 2


@pytest.mark.gpu
def test_a_gpu_gets_the_same_pixels() -> None:
    ours, theirs = draw(3), draw(3, device=torch.device("cuda"), workers=2)
    for x, y in zip(ours, theirs, strict=True):
        assert torch.allclose(x["image"], y["image"].cpu(), atol=1e-6)
        assert torch.equal(x["drawn"], y["drawn"].cpu())
