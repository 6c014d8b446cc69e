"""MSRResNet as BasicSR and mmsr save it: SRResNet without norm, over a bilinear enlargement."""

from __future__ import annotations

from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.srresnet import MSRResNet, upsampling_stages
from translate.importing.family import BASICSR, Family, Layout, PublicForm, State, numbered, side


def read(state: State, plugin: str | None) -> Layout:
    """Scale from the channels that the sub-pixel convolutions make."""
    old = bool(numbered(state, r"recon_trunk\.(\d+)\."))
    trunk, last_but_one = ("recon_trunk", "HRconv") if old else ("body", "conv_hr")
    blocks = len(numbered(state, rf"{trunk}\.(\d+)\.conv1\."))
    width, channels = side(state, "conv_first.weight", 0), side(state, "conv_first.weight", 1)
    steps = numbered(state, r"upconv(\d+)\.")
    three = len(steps) == 1 and side(state, "upconv1.weight", 0) == 9 * width
    scale = 3 if three else 2 ** len(steps)
    layers = {"conv_first": "conv_first", last_but_one: "conv_hr", "conv_last": "conv_last"}
    layers |= {
        f"{trunk}.{block}.{conv}": f"body.{block}.{conv}" for block in range(blocks) for conv in ("conv1", "conv2")
    }
    layers |= {f"upconv{number}": f"upconv{number}" for number in range(1, len(upsampling_stages(scale)) + 1)}
    problem = ""
    if scale not in (2, 3, 4, 8):
        problem = f"{len(steps)} sub-pixel convolutions; expected 1, 2 or 3"
    elif channels != side(state, "conv_last.weight", 0, channels):
        problem = f"{channels} channels in and {side(state, 'conv_last.weight', 0)} out; expected as many"
    return Layout(
        state=state,
        plugin=plugin or "srgan",
        model={"generator_net": "msrresnet", "width": width, "blocks": blocks},
        data=DataSpec(96, {"low": channels, "high": channels}, scale=scale),
        role="g",
        direction="upscale",
        layers=layers,
        problem=problem,
    )


def public_state(net: MSRResNet) -> State:
    """A network's tensors by BasicSR's names, which are ours."""
    if net.scale not in (2, 3, 4):
        raise UsageError(f"BasicSR's MSRResNet enlarges 2, 3 or 4 times, not {net.scale} times")
    return net.state_dict()


FAMILY = Family(
    "msrresnet",
    "MSRResNet of BasicSR",
    ("srgan",),
    read,
    PublicForm(network=MSRResNet, state=public_state, keys=BASICSR),
)
