import math

import pytest
import torch

from translate.errors import UsageError
from translate.losses.adversarial import RelativisticAverageLoss, adversarial

REAL = torch.tensor([[0.3, -1.2], [2.0, 0.7]])
FAKE = torch.tensor([[-0.4, 0.9], [-2.5, 0.1]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(function, logits: torch.Tensor) -> float:
    return sum(function(x) for x in logits.flatten().tolist()) / logits.numel()


EXPECTED = {  # generator, real, fake: each as its paper writes it, to be minimised
    "vanilla": (lambda x: -math.log(sigmoid(x)), lambda x: -math.log(sigmoid(x)), lambda x: -math.log(1 - sigmoid(x))),
    "lsgan": (lambda x: (x - 1) ** 2, lambda x: (x - 1) ** 2, lambda x: x**2),
    "hinge": (lambda x: -x, lambda x: -min(0, -1 + x), lambda x: -min(0, -1 - x)),
    "wasserstein": (lambda x: -x, lambda x: -x, lambda x: x),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_loss_is_its_papers(kind):
    loss = adversarial(kind)
    on_generator, on_real, on_fake = EXPECTED[kind]
    assert loss.generator(FAKE).item() == pytest.approx(mean(on_generator, FAKE))
    assert loss.real(REAL).item() == pytest.approx(mean(on_real, REAL))
    assert loss.fake(FAKE).item() == pytest.approx(mean(on_fake, FAKE))
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(mean(on_real, REAL) + mean(on_fake, FAKE))


def test_the_saturating_loss_is_the_minimax_game_itself():
    loss = adversarial("vanilla", saturating=True)
    assert loss.generator(FAKE).item() == pytest.approx(mean(lambda x: math.log(1 - sigmoid(x)), FAKE))
    sure = torch.tensor([-20.0], requires_grad=True)  # the discriminator is sure: this is where it saturates
    loss.generator(sure).backward()
    assert abs(sure.grad.item()) < 1e-6
    sure.grad = None
    adversarial("vanilla").generator(sure).backward()
    assert sure.grad.item() == pytest.approx(-1.0)


def test_label_smoothing_is_one_sided():
    for kind in ("vanilla", "lsgan"):
        plain, smooth = adversarial(kind), adversarial(kind, real_label=0.9)
        assert smooth.generator(FAKE) == plain.generator(FAKE)
        assert smooth.fake(FAKE) == plain.fake(FAKE)
    on_real = mean(lambda x: -0.9 * math.log(sigmoid(x)) - 0.1 * math.log(1 - sigmoid(x)), REAL)
    assert adversarial("vanilla", real_label=0.9).real(REAL).item() == pytest.approx(on_real)
    assert adversarial("lsgan", real_label=0.9).real(REAL).item() == pytest.approx(mean(lambda x: (x - 0.9) ** 2, REAL))


@pytest.mark.parametrize("kind", ["hinge", "wasserstein"])
def test_losses_without_labels_refuse_smoothing(kind):
    with pytest.raises(UsageError, match=f"real_label 0.9: the {kind} loss has no labels"):
        adversarial(kind, real_label=0.9)


@pytest.mark.parametrize("kind", ["lsgan", "hinge", "wasserstein"])
def test_only_the_vanilla_loss_saturates(kind):
    with pytest.raises(UsageError, match="saturating"):
        adversarial(kind, saturating=True)


@pytest.mark.parametrize("kind", EXPECTED)
def test_scales_are_summed(kind):
    loss = adversarial(kind)
    reals, fakes = [REAL, REAL[:1] * 2], [FAKE, FAKE[:1] * 2]
    assert loss.generator(fakes).item() == pytest.approx(sum(loss.generator(f).item() for f in fakes))
    both = sum(loss.discriminator(r, f).item() for r, f in zip(reals, fakes, strict=True))
    assert loss.discriminator(reals, fakes).item() == pytest.approx(both)


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_half_precision_logits_give_fp32_losses_and_fp64_stays(kind, dtype):
    loss = adversarial(kind)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss.discriminator(REAL.to(dtype), FAKE.to(dtype))
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = loss.discriminator(REAL.to(dtype).double(), FAKE.to(dtype).double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_vanilla_stays_finite_far_out(logit):
    x = torch.tensor([logit], requires_grad=True)
    loss = adversarial("vanilla", real_label=0.9)
    (loss.generator(x) + loss.discriminator(x, x)).backward()
    assert math.isfinite(x.grad.item())


def test_relativistic_average_is_esrgans():
    loss = RelativisticAverageLoss()
    real_mean, fake_mean = REAL.mean().item(), FAKE.mean().item()
    real_wins = mean(lambda x: -math.log(sigmoid(x - fake_mean)), REAL)
    fake_loses = mean(lambda x: -math.log(1 - sigmoid(x - real_mean)), FAKE)
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(real_wins + fake_loses)
    real_loses = mean(lambda x: -math.log(1 - sigmoid(x - fake_mean)), REAL)
    fake_wins = mean(lambda x: -math.log(sigmoid(x - real_mean)), FAKE)
    assert loss.generator(REAL, FAKE).item() == pytest.approx(real_loses + fake_wins)
    assert loss.generator(REAL.bfloat16(), FAKE.bfloat16()).dtype == torch.float32
