import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_pix2pix import ImageStatistics, Pix2Pix
from translate.contract import Batch, DataSpec, Nets
from translate.errors import UsageError
from translate.layers.dropout import dropout_on
from translate.settings import Run
from translate.training.engine import Engine, seed_of

SPEC = DataSpec(size=32, channels={"a": 1, "b": 3})
SMALL = {"width": 4, "blocks": 1}


def engine(task: Pix2Pix, spec: DataSpec = SPEC) -> Engine:
    return Engine(task, spec, Run(precision="fp32", batch=2))


def batch(spec: DataSpec = SPEC, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(count, channels, spec.size, spec.size, generator=generator) * 2 - 1
        for name, channels in spec.channels.items()
    }


def nets_of(task: Pix2Pix, spec: DataSpec = SPEC) -> Nets:
    torch.manual_seed(6)
    return Nets({role: build() for role, build in task.networks(spec).items()})


@pytest.mark.parametrize("generator", ["unet", "resnet"])
def test_two_updates_equal_a_plain_loop(generator: str) -> None:
    task = Pix2Pix(generator=generator, **SMALL)  # type: ignore[arg-type]
    ours = engine(task)
    g, d = copy.deepcopy(ours.nets.g), copy.deepcopy(ours.nets.d)
    step_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    step_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    cross_entropy, mean_error = nn.BCEWithLogitsLoss(), nn.L1Loss()
    x = batch()
    for step in range(2):
        ours.train_step(lambda: x, 0.0)
        logs = ours.read()

        torch.manual_seed(seed_of(0, step, "generator", 0, 0))  # dropout draws from it
        fake = g(x["a"])
        judged = d(torch.cat((x["a"], fake), 1))
        adv, l1 = cross_entropy(judged, torch.ones_like(judged)), mean_error(fake, x["b"]) * 100
        step_g.zero_grad()
        (adv + l1).backward()
        step_g.step()

        judged_fake = d(torch.cat((x["a"], fake.detach()), 1))
        judged_real = d(torch.cat((x["a"], x["b"]), 1))
        loss_fake = cross_entropy(judged_fake, torch.zeros_like(judged_fake))
        loss_real = cross_entropy(judged_real, torch.ones_like(judged_real))
        step_d.zero_grad()
        ((loss_fake + loss_real) * 0.5).backward()
        step_d.step()

        assert logs["generator/adv"] == pytest.approx(adv.item(), abs=1e-5)
        assert logs["generator/l1"] == pytest.approx(l1.item(), abs=1e-5)
        assert logs["discriminator/fake"] == pytest.approx(loss_fake.item() / 2, abs=1e-5)
        assert logs["discriminator/real"] == pytest.approx(loss_real.item() / 2, abs=1e-5)
    for mine, plain in ((ours.nets.g, g), (ours.nets.d, d)):
        for (name, weight), expected in zip(mine.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
            assert not name.endswith("weight") or not torch.equal(weight, torch.zeros_like(weight))


def test_the_defaults_are_the_papers() -> None:
    task = Pix2Pix()
    assert (task.lr, task.betas, task.l1, task.loss, task.norm, task.dropout) == (
        *(2e-4, (0.5, 0.999), 100.0),
        *("vanilla", "batch", 0.5),
    )
    assert (task.recipe.batch, task.recipe.size, task.recipe.epochs) == (1, 256, 200)
    assert [task.lr_at(p) for p in (0.0, 0.5, 0.75)] == [1.0, 1.0, 0.5]
    assert {Pix2Pix(decay_from=1.0).lr_at(p / 10) for p in range(10)} == {1.0}
    with torch.device("meta"):
        patch = task.networks(DataSpec(size=256, channels={"a": 3, "b": 3}))["d"]()
        assert patch(torch.empty(1, 6, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (250, "--size 250: expected a multiple of 8 for the unet generator: 248 or 256"),
        (5, "--size 5: expected a multiple of 8 for the unet generator: 8"),
        (16, "--size 16: expected 24 or more with a discriminator of 3 layers"),
    ],
)
def test_sizes_that_do_not_fit_are_named(size: int, said: str) -> None:
    with pytest.raises(UsageError) as error:
        Pix2Pix().networks(DataSpec(size=size, channels={"a": 3, "b": 3}))
    assert str(error.value) == said


def test_the_resnet_takes_multiples_of_four() -> None:
    spec = DataSpec(size=28, channels={"a": 3, "b": 3})
    resnet = Pix2Pix(generator="resnet", **SMALL)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--size 30: expected a multiple of 4 for the resnet generator: 28 or 32"):
        resnet.networks(DataSpec(size=30, channels={"a": 3, "b": 3}))
    assert nets_of(resnet, spec).g(torch.zeros(1, 3, 28, 28)).shape == (1, 3, 28, 28)


def test_a_critic_without_a_bound_is_refused() -> None:
    with pytest.raises(UsageError, match="loss wasserstein: the critic needs a bound on its slope; set spectral"):
        Pix2Pix(loss="wasserstein")
    ours = engine(Pix2Pix(loss="hinge", spectral=True, **SMALL))  # type: ignore[arg-type]
    ours.train_step(batch, 0.0)
    assert all(value == value for value in ours.read().values())


@pytest.mark.parametrize("generator", ["unet", "resnet"])
def test_inference_gives_an_image_the_same_alone_and_in_a_batch(generator: str) -> None:
    task = Pix2Pix(generator=generator, **SMALL)  # type: ignore[arg-type]
    ours = engine(task)
    x = batch()
    ours.train_step(lambda: x, 0.0)
    net = ours.nets.g.eval()
    with torch.inference_mode():
        together = net(x["a"])
        alone = torch.cat([net(image[None]) for image in x["a"]])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_batch_statistics_at_inference_are_those_of_a_training_batch_of_one() -> None:
    torch.manual_seed(8)
    layer, image = ImageStatistics(3), torch.randn(1, 3, 5, 6) * 3 + 1
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    expected = F.batch_norm(image, None, None, layer.weight, layer.bias, training=True)
    torch.testing.assert_close(layer.train()(image), expected)
    torch.testing.assert_close(layer.eval()(image), expected)
    # The paper's network as a whole, with its dropout out of the way.
    task = Pix2Pix(width=4, dropout=0.0)
    net, image = nets_of(task).g, torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(net.train()(image), net.eval()(image))


def test_running_statistics_are_used_when_asked_for() -> None:
    per_image, running = (
        nets_of(Pix2Pix(width=4, test_statistics=kind)).g.eval()  # type: ignore[arg-type]
        for kind in ("batch", "running")
    )
    running.load_state_dict(per_image.state_dict())  # the same weights fit both
    image = torch.randn(1, 1, 32, 32)
    assert not torch.allclose(per_image(image), running(image))
    assert not any(isinstance(module, ImageStatistics) for module in running.modules())


@pytest.mark.parametrize("generator", ["unet", "resnet"])
def test_sampling_has_noise_and_the_plain_direction_has_none(generator: str) -> None:
    task = Pix2Pix(generator=generator, **SMALL)  # type: ignore[arg-type]
    nets = nets_of(task).eval()
    for parameter in nets.g.parameters():
        nn.init.normal_(parameter)  # fresh weights are too small to show the noise
    (direction,) = task.directions(SPEC)
    assert direction.noise
    x = Batch(batch())
    assert torch.equal(direction.run(nets, x), direction.run(nets, x))
    torch.manual_seed(9)
    with dropout_on(nets):
        first, second = direction.run(nets, x), direction.run(nets, x)
    assert not torch.equal(first, second)
    torch.manual_seed(9)
    with dropout_on(nets):
        assert torch.equal(direction.run(nets, x), first)
    assert not any(module.training for module in nets.modules())
    assert [d.noise for d in Pix2Pix(dropout=0.0).directions(SPEC)] == [False]


def test_directions_state_the_padding_that_the_network_needs() -> None:
    rgb = {"a": 3, "b": 3}
    assert Pix2Pix().directions(DataSpec(size=256, channels=rgb))[0].multiple == 256
    assert Pix2Pix().directions(DataSpec(size=96, channels=rgb))[0].multiple == 32
    assert Pix2Pix(generator="resnet").directions(DataSpec(size=256, channels=rgb))[0].multiple == 4


def test_the_preview_shows_input_translation_and_target() -> None:
    task = Pix2Pix(**SMALL)  # type: ignore[arg-type]
    ours = engine(task)
    x = batch()
    columns = ours.preview(x)
    assert list(columns) == ["a", "a2b", "b"]
    assert torch.equal(columns["b"], x["b"])
    assert columns["a2b"].shape == x["b"].shape
    assert ours.nets.g.training
