"""CycleGAN against a plain loop in the public code's order, written here with torch's own layers."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from gantk_cyclegan import CycleGAN
from translate.contract import Batch, DataSpec, Nets, parameter_count
from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator
from translate.layers.history import ImagePool
from translate.settings import Run
from translate.training.engine import Engine

SIZE = 32
DATA = DataSpec(size=SIZE, channels={"a": 3, "b": 3})
SMALL = CycleGAN(width=4, blocks=1, patch_layers=2, pool=2)


def build(task: CycleGAN, data: DataSpec = DATA, dtype: torch.dtype = torch.float64) -> Nets:
    torch.manual_seed(0)
    return Nets({role: make() for role, make in task.networks(data).items()}).to(dtype)


def images(count: int = 1, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    a, b = torch.rand(2, count, 3, SIZE, SIZE, dtype=dtype) * 2 - 1
    return {"a": a, "b": b}


class PlainBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU()),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def plain_generator(w: int = 4) -> nn.Sequential:
    norm, relu = nn.InstanceNorm2d, nn.ReLU
    return nn.Sequential(
        *(nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), norm(w), relu()),
        *(nn.Conv2d(w, w * 2, 3, 2, 1), norm(w * 2), relu()),
        *(nn.Conv2d(w * 2, w * 4, 3, 2, 1), norm(w * 4), relu()),
        PlainBlock(w * 4),
        *(nn.ConvTranspose2d(w * 4, w * 2, 3, 2, 1, output_padding=1), norm(w * 2), relu()),
        *(nn.ConvTranspose2d(w * 2, w, 3, 2, 1, output_padding=1), norm(w), relu()),
        *(nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh()),
    )


def plain_discriminator(w: int = 4) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(w, w * 2, 4, 2, 1), nn.InstanceNorm2d(w * 2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(w * 2, w * 4, 4, 1, 1), nn.InstanceNorm2d(w * 4), nn.LeakyReLU(0.2)),
        nn.Conv2d(w * 4, 1, 4, 1, 1),
    )


class PlainLoop:
    """One step of the public code's kind: separate passes, generators first, then each discriminator."""

    def __init__(self, nets: Nets) -> None:
        self.g_ab, self.g_ba = plain_generator(), plain_generator()
        self.d_a, self.d_b = plain_discriminator(), plain_discriminator()
        for role in ("g_ab", "g_ba", "d_a", "d_b"):
            getattr(self, role).double()
            with torch.no_grad():
                for theirs, ours in zip(getattr(self, role).parameters(), nets[role].parameters(), strict=True):
                    theirs.copy_(ours)
        self.pool_a: list[torch.Tensor] = []
        self.pool_b: list[torch.Tensor] = []
        adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.opt_g = torch.optim.Adam([*self.g_ab.parameters(), *self.g_ba.parameters()], **adam)
        self.opt_d = torch.optim.Adam([*self.d_a.parameters(), *self.d_b.parameters()], **adam)

    def step(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
        fake_b = self.g_ab(a)
        rec_a = self.g_ba(fake_b)
        fake_a = self.g_ba(b)
        rec_b = self.g_ab(fake_a)
        for p in (*self.d_a.parameters(), *self.d_b.parameters()):
            p.requires_grad_(False)
        judged_b, judged_a = self.d_b(fake_b), self.d_a(fake_a)
        terms = {
            "identity_b": l1_loss(self.g_ab(b), b) * 10 * 0.5,
            "identity_a": l1_loss(self.g_ba(a), a) * 10 * 0.5,
            "adv_b": mse_loss(judged_b, torch.ones_like(judged_b)),
            "adv_a": mse_loss(judged_a, torch.ones_like(judged_a)),
            "cycle_a": l1_loss(rec_a, a) * 10,
            "cycle_b": l1_loss(rec_b, b) * 10,
        }
        self.opt_g.zero_grad()
        sum(terms.values()).backward()
        self.opt_g.step()

        for p in (*self.d_a.parameters(), *self.d_b.parameters()):
            p.requires_grad_(True)
        self.opt_d.zero_grad()
        for name, d, real, fake in (("d_b", self.d_b, b, fake_b), ("d_a", self.d_a, a, fake_a)):
            on_real, on_fake = d(real), d(fake.detach())
            loss = 0.5 * (mse_loss(on_real, torch.ones_like(on_real)) + mse_loss(on_fake, torch.zeros_like(on_fake)))
            loss.backward()
            terms[name] = loss
        self.opt_d.step()
        return {name: term.item() for name, term in terms.items()}


def make_engine(task: CycleGAN, data: DataSpec = DATA, dtype: torch.dtype = torch.float64, **settings) -> Engine:
    settings = {"precision": "fp32", "size": data.size, "ema": task.recipe.ema, **settings}
    engine = Engine(task, data, Run(**settings))
    engine.nets.to(dtype)
    return engine


def test_three_updates_equal_the_plain_loop():
    """In fp64, where a mistake cannot hide behind rounding; the second and third step show Adam's state, too."""
    engine = make_engine(dataclasses.replace(SMALL, pool=50))
    plain = PlainLoop(engine.nets)
    for step in range(3):
        torch.manual_seed(step)
        batch = images()
        engine.train_step(lambda x=batch: x, 0.0)
        expected = plain.step(batch["a"], batch["b"])
        values = {label.partition("/")[2]: value for label, value in engine.read().items()}
        assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        for role in ("g_ab", "g_ba", "d_a", "d_b"):
            for (name, ours), theirs in zip(
                engine.nets[role].named_parameters(), getattr(plain, role).parameters(), strict=True
            ):
                assert (ours - theirs).abs().max() < 1e-5 * 2e-4, f"{role}.{name} in step {step}"


def test_fp32_losses_equal_the_plain_loop():
    engine = make_engine(dataclasses.replace(SMALL, pool=50), dtype=torch.float32)
    plain = PlainLoop(engine.nets)
    batch = images()
    engine.train_step(lambda: {name: tensor.float() for name, tensor in batch.items()}, 0.0)
    expected = plain.step(batch["a"], batch["b"])
    values = {label.partition("/")[2]: value for label, value in engine.read().items()}
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def terms_of(task: CycleGAN, nets: Nets, x: Batch) -> dict[str, torch.Tensor]:
    generators, discriminators = task.phases(DATA)
    for name, noise in discriminators.noise.items():
        x.setdefault(name, noise.draw(len(x.a)))
    return {**generators.loss(nets, x), **discriminators.loss(nets, x)}


def test_terms_and_what_is_kept_and_logged():
    nets, x = build(SMALL), Batch(images())
    terms = terms_of(SMALL, nets, x)
    names = ["adv_a", "adv_b", "cycle_a", "cycle_b", "identity_a", "identity_b", "d_a", "d_b"]
    assert list(terms) == names
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    torch.testing.assert_close(x.kept["fake_b"], nets.g_ab(x.a).detach())
    torch.testing.assert_close(x.kept["fake_a"], nets.g_ba(x.b).detach())
    assert x.logged["d_a_real"].item() == pytest.approx(nets.d_a(x.a).mean().item())
    assert x.logged["d_b_fake"].item() == pytest.approx(nets.d_b(x.fake_b).mean().item(), rel=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_passes_run_together_equal_separate_ones(count):
    nets, x = build(SMALL), Batch(images(count))
    terms = terms_of(SMALL, nets, x)
    fake_b, fake_a = nets.g_ab(x.a), nets.g_ba(x.b)
    separate = {
        "identity_a": 5 * l1_loss(nets.g_ba(x.a), x.a),
        "identity_b": 5 * l1_loss(nets.g_ab(x.b), x.b),
        "cycle_a": 10 * l1_loss(nets.g_ba(fake_b), x.a),
        "cycle_b": 10 * l1_loss(nets.g_ab(fake_a), x.b),
        "adv_a": (nets.d_a(fake_a) - 1).square().mean(),
        "adv_b": (nets.d_b(fake_b) - 1).square().mean(),
    }
    generators = [p for role in ("g_ab", "g_ba") for p in nets[role].parameters()]
    for name, term in separate.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=0)
    ours = torch.autograd.grad(sum(terms[name] for name in separate), generators)
    plain = torch.autograd.grad(sum(separate.values()), generators)
    torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-12)


def test_without_identity_the_domains_may_differ_in_channels():
    data = DataSpec(size=SIZE, channels={"a": 3, "b": 1})
    with pytest.raises(UsageError, match=r"identity 0\.5: the domains have 3 and 1 channels"):
        SMALL.networks(data)
    task = dataclasses.replace(SMALL, identity=0.0)
    nets = build(task, data)
    x = Batch({"a": torch.rand(1, 3, SIZE, SIZE).double(), "b": torch.rand(1, 1, SIZE, SIZE).double()})
    terms = terms_of(task, nets, x)
    assert not any(name.startswith("identity") for name in terms)
    assert x.fake_b.shape[1] == 1
    assert x.fake_a.shape[1] == 3
    assert nets.pool_b.images.shape == (2, 1, SIZE, SIZE)


def test_without_identity_the_rest_is_unchanged():
    nets = build(SMALL)
    with_identity = terms_of(SMALL, nets, Batch(images_seeded()))
    nets = build(SMALL)
    without = terms_of(dataclasses.replace(SMALL, identity=0.0), nets, Batch(images_seeded()))
    for name, term in without.items():
        torch.testing.assert_close(term, with_identity[name], rtol=1e-10, atol=0)


def images_seeded() -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    return images()


def test_discriminators_are_shown_past_fakes():
    task = dataclasses.replace(SMALL, pool=1)
    nets = build(task)
    first = Batch(images())
    terms_of(task, nets, first)
    torch.testing.assert_close(nets.pool_a.images, first.fake_a)
    seen = []
    nets.d_a.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    for seed in range(20):
        torch.manual_seed(seed)
        past, x = nets.pool_a.images.clone(), Batch(images())
        seen.clear()
        terms_of(task, nets, x)
        shown = seen[-1][1:]  # of real and fake in one batch
        if not torch.equal(shown, x.fake_a):
            assert torch.equal(shown, past)
            return
    pytest.fail("twenty steps and never a past fake")


@pytest.mark.parametrize(
    "task",
    [
        dataclasses.replace(SMALL, loss="vanilla", dropout=0.5),
        dataclasses.replace(SMALL, loss="hinge", spectral=True, upsample="resize", patch_layers=0),
        dataclasses.replace(SMALL, loss="wasserstein", penalty=10.0, pool=0),
        SMALL,
    ],
    ids=["vanilla, dropout", "hinge, spectral, resize, pixel", "wasserstein, penalty", "default"],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_choice_trains_and_moves_all_four(task, precision):
    torch.manual_seed(0)
    engine = make_engine(task, dtype=torch.float32, precision=precision, batch=2)
    before = {name: p.clone() for name, p in engine.nets.named_parameters()}
    for _ in range(3):
        engine.train_step(lambda: images(2, torch.float32), 0.0)
    values = engine.read()
    assert ("discriminators/penalty_a" in values) == (task.loss == "wasserstein")
    weights = {name: p for name, p in engine.nets.named_parameters() if not name.endswith("bias")}
    assert all(not torch.equal(p, before[name]) for name, p in weights.items())


def test_wasserstein_needs_a_bound_on_the_slope():
    with pytest.raises(UsageError, match="loss wasserstein"):
        CycleGAN(loss="wasserstein")


@pytest.mark.parametrize(("size", "layers", "smallest"), [(30, 3, 24), (20, 3, 24), (4, 0, 8), (44, 4, 48)])
def test_sizes_that_do_not_fit_are_refused(size, layers, smallest):
    with pytest.raises(UsageError, match=f"--size {size}: expected a multiple of 4, {smallest} or more"):
        CycleGAN(patch_layers=layers).networks(dataclasses.replace(DATA, size=size))


@pytest.mark.parametrize(("size", "blocks", "expected"), [(128, None, 6), (256, None, 9), (512, None, 9), (256, 2, 2)])
def test_nine_blocks_from_256_pixels(size, blocks, expected):
    task = CycleGAN(blocks=blocks)
    data = dataclasses.replace(DATA, size=size)
    net = task.networks(data)["g_ab"]()
    assert isinstance(net, ResnetGenerator)
    assert len(net.blocks) == expected
    margins = {direction.margin for direction in task.directions(data)}
    assert margins == {12 + 8 * expected}


def test_the_papers_sizes_and_settings():
    task = CycleGAN()
    nets = task.networks(DataSpec(size=256, channels={"a": 3, "b": 3}))
    assert parameter_count(nets["g_ba"]()) == 11_378_179
    assert parameter_count(nets["d_a"]()) == 2_764_737
    pool = nets["pool_b"]()
    assert isinstance(pool, ImagePool)
    assert pool.images.shape == (50, 3, 256, 256)
    assert (task.lr, task.betas, task.cycle, task.identity) == (2e-4, (0.5, 0.999), 10.0, 0.5)
    assert (task.recipe.batch, task.recipe.size, task.recipe.epochs) == (1, 256, 200)
    assert [task.lr_at(p) for p in (0.0, 0.49, 0.5, 0.75, 1.0)] == [1.0, 1.0, 1.0, 0.5, 0.0]


def test_directions_and_preview():
    nets, x = build(SMALL), Batch(images(2))
    there, back = SMALL.directions(DATA)
    assert (there.name, there.roles, there.multiple, there.scale) == ("a2b", ("g_ab",), 4, 1)
    assert (back.name, back.roles, back.inputs, back.outputs) == ("b2a", ("g_ba",), "b", "a")
    alone = Nets({"g_ab": nets.g_ab})  # a published model holds no other role
    torch.testing.assert_close(there.run(alone, Batch({"a": x.a})), nets.g_ab(x.a))
    torch.testing.assert_close(back.run(nets, x), nets.g_ba(x.b))
    columns = SMALL.preview(nets, x, DATA)
    assert list(columns) == ["a", "fake_b", "rec_a", "b", "fake_a", "rec_b"]
    torch.testing.assert_close(columns["rec_b"], nets.g_ab(nets.g_ba(x.b)))


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_each_phase_compiles_in_one_graph(index):
    nets, tensors = build(SMALL, dtype=torch.float32), images(1, torch.float32)
    tensors["fake_a"], tensors["fake_b"] = tensors["a"].flip(3), tensors["b"].flip(3)
    phase = SMALL.phases(DATA)[index]
    tensors.update({name: noise.draw(1) for name, noise in phase.noise.items()})

    def run(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        x = Batch(tensors)
        return dict(phase.loss(nets, x)), x.kept

    expected, _ = run(dict(tensors))
    nets = build(SMALL, dtype=torch.float32)
    compiled, _ = torch.compile(run, fullgraph=True, dynamic=False, backend="aot_eager")(dict(tensors))
    for name, term in expected.items():
        torch.testing.assert_close(compiled[name], term, rtol=1e-4, atol=1e-5)
    sum(compiled.values()).backward()
