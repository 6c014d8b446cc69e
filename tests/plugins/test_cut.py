"""CUT and FastCUT against a plain loop, their networks against the authors', and the loss by itself."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_cut import CUT, FastCUT
from plain_loop import adam, assert_same, engine_of, fp64, given
from translate.contract import DataSpec
from translate.discriminators.patch import PatchDiscriminator
from translate.errors import UsageError
from translate.layers.projection import places_in
from translate.losses.contrastive import patch_nce

SPEC = DataSpec(16, {"a": 3, "b": 3})
SMALL: dict[str, Any] = {"width": 3, "blocks": 6, "patches": 7, "projection": 5, "patch_layers": 1}


@pytest.mark.parametrize("cls", [CUT, FastCUT])
def test_a_step_equals_a_plain_loop(cls: type[CUT], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the paper's pseudo-code, with hooks on copies of the networks."""
    fast = cls is FastCUT
    with fp64():
        engine = engine_of(cls(**SMALL), SPEC, batch=2)
        generator = torch.Generator().manual_seed(0)
        a, b = torch.rand(2, 2, 3, 16, 16, generator=generator) * 2 - 1
        seen = given(engine, monkeypatch)
        g, f, d = (copy.deepcopy(engine.nets[role]) for role in ("g", "f", "d"))
        for net in (g, f, d):
            net.requires_grad_(True)
        engine.train_step(lambda: {"a": a, "b": b}, 0.0)
        places, mirrored = seen[0]["places"], (seen[0]["side"] < 0).flatten() if fast else torch.zeros(2).bool()
        moves = [adam(net) for net in (g, f, d)]
        fake = g(flip(a, mirrored))
        total = (d(fake) - 1).square().mean()
        contrast = contrastive(g, f, a, fake, places[:, 0], mirrored)
        if fast:
            total = total + 10 * contrast
        else:
            total = total + (contrast + contrastive(g, f, b, g(b), places[:, 1], mirrored)) / 2
        total.backward()
        moves[0].step()
        moves[1].step()
        moves[2].zero_grad()
        (((d(b) - 1).square().mean() + d(fake.detach()).square().mean()) / 2).backward()
        moves[2].step()
        for role, net in (("g", g), ("f", f), ("d", d)):
            flat = {name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-10}
            for name, p in net.named_parameters():  # a bias before an instance norm has no gradient but rounding
                if name in flat:
                    p.data.copy_(engine.nets[role].get_parameter(name))
            assert not [name for name in flat if name.endswith("weight")]
            assert_same(engine.nets[role], net)


def flip(images: Tensor, which: Tensor) -> Tensor:
    return torch.stack([image.flip(-1) if turn else image for image, turn in zip(images, which, strict=True)])


def contrastive(g: Any, f: nn.Module, source: Tensor, target: Tensor, places: Tensor, mirrored: Tensor) -> Tensor:
    """The paper's appendix: positives by place, negatives from the same image, cross-entropy against the first."""
    seen: list[Tensor] = []
    layers = [g.down[0][0], g.down[1][0], g.blocks[0], g.blocks[4]]
    hooks = [layer.register_forward_hook(lambda module, given, found: seen.append(found)) for layer in layers]
    g(source)
    keys = [source, *seen]
    seen.clear()
    g(target)
    queries = [flip(layer, mirrored) for layer in (target, *seen)]
    for hook in hooks:
        hook.remove()
    total = torch.zeros((), dtype=torch.float64)
    for index, (query, key) in enumerate(zip(queries, keys, strict=True)):
        for sample in range(len(query)):
            pixels = query.shape[2] * query.shape[3]
            at = [int((u + 1) / 2 * pixels) for u in places[sample, index].tolist()]
            head = f.heads[index]  # type: ignore[index]
            q, k = (F.normalize(head(x[sample].flatten(1).t()[at]), dim=1) for x in (query, key))
            k = k.detach()
            for p, place in enumerate(at):
                others = [n for n, other in enumerate(at) if other != place]
                logits = torch.stack([q[p] @ k[p], *(q[p] @ k[n] for n in others)]) / 0.07
                total = total - torch.log_softmax(logits, 0)[0] / len(at) / len(query) / len(queries)
    return total


def test_the_defaults_are_the_papers() -> None:
    cut, fast = CUT(), FastCUT()
    assert (cut.nce, cut.identity, cut.mirror, cut.temperature, cut.patches) == (1.0, True, False, 0.07, 256)
    assert (fast.nce, fast.identity, fast.mirror) == (10.0, False, True)
    assert (cut.recipe.epochs, fast.recipe.epochs, cut.recipe.batch) == (400, 200, 1)
    assert [cut.lr_at(p) for p in (0.5, 0.75)] == [1.0, 0.5]
    assert [fast.lr_at(p) for p in (0.5, 0.75, 0.875)] == [1.0, 1.0, 0.5]


def test_the_discriminator_is_the_anti_aliased_one() -> None:
    """Convolutions of stride 1, and behind all that halve a filter (1 2 1) of which every second pixel is kept."""
    torch.manual_seed(0)
    net = PatchDiscriminator(3, 2, 2, downsample="blur")
    image = torch.rand(1, 3, 32, 32)
    convolutions = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.stride for layer in convolutions] == [(1, 1)] * 4
    line = torch.tensor([1.0, 2.0, 1.0]) / 4

    def halved(x: Tensor) -> Tensor:
        kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])[:, :, ::2, ::2]

    first, second, third, last = convolutions
    x = halved(F.leaky_relu(first(image), 0.2))
    x = halved(F.leaky_relu(F.instance_norm(second(x)), 0.2))
    x = last(F.leaky_relu(F.instance_norm(third(x)), 0.2))
    torch.testing.assert_close(net(image), x, rtol=1e-4, atol=1e-5)
    with torch.device("meta"):
        assert PatchDiscriminator(3, downsample="blur")(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_networks_have_the_authors_number_of_weights_and_scale() -> None:
    torch.manual_seed(0)
    nets = {role: make() for role, make in CUT().networks(DataSpec(256, {"a": 3, "b": 3})).items()}
    assert sum(p.numel() for p in nets["g"].parameters()) == 11_378_179
    assert sum(p.numel() for p in nets["d"].parameters()) == 2_764_737
    first = nets["d"].layers[0].weight  # type: ignore[index,union-attr]
    assert first.std().item() == pytest.approx(0.02 * math.sqrt(2 / (16 * (3 + 64))), rel=0.05)  # type: ignore[union-attr,operator]


def test_patches_alike_give_the_loss_of_a_guess() -> None:
    places = torch.arange(5).expand(2, -1)
    assert patch_nce(torch.ones(2, 5, 3), torch.ones(2, 5, 3), places, 0.07).item() == pytest.approx(
        math.log(5), abs=1e-5
    )


def test_a_place_that_was_drawn_twice_is_no_negative_of_itself() -> None:
    same = torch.ones(1, 5, 3)
    assert patch_nce(same, same, torch.tensor([[0, 1, 2, 3, 3]]), 1.0).item() == pytest.approx(
        (3 * math.log(5) + 2 * math.log(4)) / 5, abs=1e-5
    )


def test_places_cover_the_layer_and_stay_in_it() -> None:
    layer = torch.zeros(1, 1, 2, 3)
    draw = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]])
    assert places_in(layer, draw).tolist() == [[0, 1, 3, 4, 5]]


def test_domains_of_unequal_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="the domains have 1 and 3 channels"):
        CUT().networks(DataSpec(256, {"a": 1, "b": 3}))
