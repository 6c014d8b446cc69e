import random

import pytest
import torch

from translate.layers.history import ImagePool


def numbered(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.stack([torch.full((1, 2, 2), v, dtype=dtype) for v in values])


def values(images: torch.Tensor) -> list[float]:
    return images[:, 0, 0, 0].tolist()


def ask(pool: ImagePool, images: torch.Tensor) -> torch.Tensor:
    return pool(images, ImagePool.DRAWS.draw(len(images)))


def test_until_it_is_full_it_stores_and_returns_what_comes():
    pool = ImagePool(3, 1, 2)
    assert values(ask(pool, numbered(1, 2))) == [1, 2]
    assert values(ask(pool, numbered(3))) == [3]
    assert values(pool.images) == [1, 2, 3]
    assert pool.count.item() == 3


def test_a_full_pool_swaps_one_for_one_half_of_the_time():
    torch.manual_seed(0)
    pool = ImagePool(4, 1, 2)
    ask(pool, numbered(0, 1, 2, 3))
    swaps, slots = 0, set()
    for number in range(4, 804):
        before = values(pool.images)
        (out,) = values(ask(pool, numbered(number)))
        after = values(pool.images)
        if out == number:
            assert after == before
        else:
            slot = before.index(out)
            assert after == [*before[:slot], number, *before[slot + 1 :]]
            swaps, slots = swaps + 1, slots | {slot}
    assert 330 < swaps < 470  # 800 tosses, five standard deviations
    assert slots == {0, 1, 2, 3}
    assert pool.count.item() == 4


def test_images_of_a_batch_go_in_one_after_another():
    """Against the plain list that CycleGAN keeps, with the same tosses; the batch runs over the pool's end."""
    rng = random.Random(3)
    tosses = [(rng.random(), rng.randrange(3)) for _ in range(20)]
    draws = torch.tensor([(toss * 2 - 1, (slot + rng.random()) / 3 * 2 - 1) for toss, slot in tosses])
    pool = ImagePool(3, 1, 2)
    fives = [slice(start, start + 5) for start in range(0, 20, 5)]
    ours = [v for five in fives for v in values(pool(numbered(*range(20)[five]), draws[five]))]

    stored: list[float] = []
    plain = []
    for number, (toss, slot) in enumerate(tosses):
        if len(stored) < 3:
            stored.append(number)
            plain.append(number)
        elif toss < 0.5:
            plain.append(stored[slot])
            stored[slot] = number
        else:
            plain.append(number)
    assert ours == plain
    assert values(pool.images) == stored


def test_size_zero_passes_everything_through():
    images = torch.randn(2, 3, 5, 9)
    assert torch.equal(ask(ImagePool(0, 3, 8), images), images)


def test_it_stores_fp32_and_answers_in_the_callers_format():
    pool = ImagePool(1, 1, 2)
    assert ask(pool, numbered(1.5, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert pool.images.dtype == torch.float32
    torch.manual_seed(0)
    outs = torch.cat([ask(pool, numbered(v, dtype=torch.bfloat16)) for v in (2.5, 3.5, 4.5, 5.5)])
    assert outs.dtype == torch.bfloat16
    assert set(values(outs)) <= {1.5, 2.5, 3.5, 4.5, 5.5}


def test_no_gradient_passes():
    images = torch.randn(1, 1, 2, 2, requires_grad=True)
    for size in (0, 2):
        assert not ask(ImagePool(size, 1, 2), images).requires_grad


def test_a_returned_image_does_not_change_later():
    torch.manual_seed(0)
    pool = ImagePool(1, 1, 2)
    out = ask(pool, numbered(7))
    for number in range(10):
        ask(pool, numbered(number))
    assert values(out) == [7]


def test_the_state_is_all_in_the_state_dict():
    pool, twin = ImagePool(2, 1, 2), ImagePool(2, 1, 2)
    ask(pool, numbered(1, 2, 3))
    twin.load_state_dict(pool.state_dict())
    draws = ImagePool.DRAWS.draw(3)
    assert torch.equal(twin(numbered(4, 5, 6), draws), pool(numbered(4, 5, 6), draws))
    assert torch.equal(twin.images, pool.images)


@pytest.mark.parametrize("shape", [(1, 1, 2, 4), (1, 3, 2, 2), (1, 1, 4, 4)])
def test_another_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"holds images of 1x2x2 .*, got \d"):
        ask(ImagePool(5, 1, 2), torch.zeros(shape))


def test_nothing_waits_for_the_device():
    """Meta tensors have no values, so anything that read one on the host would fail."""
    with torch.device("meta"):
        pool = ImagePool(3, 1, 2)
        assert ask(pool, torch.zeros(2, 1, 2, 2)).shape == (2, 1, 2, 2)
