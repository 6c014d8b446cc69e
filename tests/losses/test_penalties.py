import pytest
import torch
from torch import nn

from translate.discriminators.dcgan import DCGANDiscriminator
from translate.discriminators.multiscale import MultiScaleDiscriminator
from translate.discriminators.patch import PatchDiscriminator
from translate.losses.penalties import gradient_penalty, r1


def critics() -> dict[str, nn.Module]:
    return {
        "patch": PatchDiscriminator(2, base=4, layers=1),
        "patch without norm": PatchDiscriminator(2, base=4, layers=1, norm="none"),
        "pixel, spectral": PatchDiscriminator(2, base=4, layers=0, norm="none", spectral=True),
        "multi-scale": MultiScaleDiscriminator(2, base=4, layers=1, scales=2),
        "global": DCGANDiscriminator(2, 32, width=4, norm="none"),
        "global, 28": DCGANDiscriminator(2, 28, width=4, norm="instance", kernel=5),
    }


def plain_gradient(critic: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """One image at a time, by the double backward that everyone writes."""
    gradients = []
    for image in images.split(1):
        image = image.clone().requires_grad_()
        logits = critic(image)
        score = logits.mean() if isinstance(logits, torch.Tensor) else sum(scale.mean() for scale in logits)
        gradients += torch.autograd.grad(score, image, create_graph=True)
    return torch.cat(gradients)


def gradients_of(loss: torch.Tensor, critic: nn.Module) -> list[torch.Tensor]:
    given = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in given]


@pytest.mark.parametrize("name", critics())
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_value_and_parameter_gradients_equal_the_plain_double_backward(name, penalty):
    torch.manual_seed(0)
    # Spectral norm moves on with every forward in training mode.
    critic = critics()[name].double().eval()
    for parameter in critic.parameters():  # away from N(0, 0.02), whose gradients vanish
        nn.init.normal_(parameter, 0, 0.3)
    side = 28 if "28" in name else 32
    real, fake = torch.randn(2, 3, 2, side, side, dtype=torch.double)
    eps = torch.rand(3, dtype=torch.double)
    if penalty == "r1":
        ours = r1(critic, real)
        norms = plain_gradient(critic, real).flatten(1).norm(dim=1)
        plain = (norms**2).mean() / 2
    else:
        ours = gradient_penalty(critic, real, fake, eps)
        share = eps.view(3, 1, 1, 1)
        norms = plain_gradient(critic, share * real + (1 - share) * fake).flatten(1).norm(dim=1)
        plain = ((norms - 1) ** 2).mean()
    assert plain.item() > 1e-6
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradients_of(ours, critic), gradients_of(plain, critic), rtol=1e-8, atol=1e-12)


def test_a_linear_critic_has_its_weights_for_gradient():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    nn.init.constant_(critic[1].weight, 1.0)  # |gradient| = 2 everywhere
    real, fake = torch.randn(2, 3, 1, 2, 2)
    assert gradient_penalty(critic, real, fake).item() == pytest.approx(1.0)
    assert r1(critic, real).item() == pytest.approx(2.0)


def test_eps_is_the_share_of_real_and_differs_between_pairs():
    critic = nn.Flatten()  # scores x^2 below, so that the gradient tells where it was taken
    real, fake = torch.full((4, 1, 1, 1), 1.0), torch.full((4, 1, 1, 1), 3.0)
    seen = []

    def spy(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach() * 1.0)
        return critic(x).square()

    gradient_penalty(spy, real, fake, torch.tensor([0.0, 0.25, 0.5, 1.0]))
    value = gradient_penalty(spy, real, fake, torch.tensor([1.0, 1.0, 1.0, 1.0]))
    assert value.item() == pytest.approx(1.0)  # slope 2 at x = 1
    value = gradient_penalty(spy, real, fake, torch.tensor([0.0, 0.0, 0.0, 0.0]))
    assert value.item() == pytest.approx(25.0)  # slope 6 at x = 3
    torch.manual_seed(0)
    assert gradient_penalty(spy, real, fake).item() not in (1.0, 25.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp32_under_autocast(dtype):
    torch.manual_seed(0)
    critic = PatchDiscriminator(2, base=4, layers=1)
    real, fake = torch.randn(2, 2, 2, 16, 16).to(dtype)
    eps = torch.rand(2)
    expected = gradient_penalty(critic, real.float(), fake.float(), eps), r1(critic, real.float())
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradient_penalty(critic, real, fake, eps), r1(critic, real)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)
    assert ours[0].dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_a_critic_with_batch_norm_is_refused(training):
    critic = DCGANDiscriminator(1, 32, width=4, norm="batch").train(training)
    with pytest.raises(ValueError, match="without batch norm"):
        gradient_penalty(critic, torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32))
    with pytest.raises(ValueError, match="without batch norm"):
        r1(critic, torch.zeros(2, 1, 32, 32))


def test_spectral_norm_in_training_mode_works_too():
    critic = PatchDiscriminator(2, base=4, layers=1, norm="none", spectral=True)
    gradient_penalty(critic, *torch.randn(2, 2, 2, 8, 8)).backward()
    assert all(p.grad is not None for name, p in critic.named_parameters() if "weight" in name)


@pytest.mark.slow
@pytest.mark.parametrize("spectral", [False, True])
def test_they_compile_in_one_graph(spectral):
    torch.manual_seed(0)
    critic = PatchDiscriminator(2, base=4, layers=1, spectral=spectral).eval()
    real, fake = torch.randn(2, 2, 2, 16, 16)
    eps = torch.rand(2)

    def loss(real: torch.Tensor, fake: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        return gradient_penalty(critic, real, fake, eps) + r1(critic, real)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(real, fake, eps)
    plain = loss(real, fake, eps)
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradients_of(compiled, critic), gradients_of(plain, critic), rtol=1e-4, atol=1e-6)
