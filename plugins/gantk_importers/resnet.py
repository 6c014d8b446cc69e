"""ResNet generators of junyanz/pytorch-CycleGAN-and-pix2pix and taesungp/contrastive-unpaired-translation (CUT).

One ``nn.Sequential``, so that every option shifts the numbers behind it: dropout within a block, CUT's low-pass layers
between the convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.resnet import HALVINGS, ResnetBlock, ResnetGenerator
from translate.importing.family import (
    Family,
    Layout,
    PublicForm,
    State,
    numbered,
    renamed,
    side,
    without_instance_statistics,
)
from translate.layers.resample import BlurDownsample, BlurUpsample

UNKNOWN_SIZE = 256
"""The training size leaves no trace in a convolutional network; nearly all were trained at this one."""


@dataclass(frozen=True)
class Numbers:
    """Where their layers stand: padding 0, stem 1-3, two halvings, the blocks, two doublings, padding, head."""

    blocks: int
    dropout: bool
    normed: bool
    """Whether norms have weights."""
    blurred_down: bool
    blurred_up: bool

    @property
    def first(self) -> int:
        """That of the first block."""
        return self.down(HALVINGS)

    @property
    def head(self) -> int:
        """That of the last convolution."""
        return self.up(HALVINGS) + 1 - self.blurred_up

    def down(self, index: int) -> int:
        """That of a halving's convolution; norm and rectifier follow."""
        return 4 + index * (4 if self.blurred_down else 3)

    def filter_down(self, index: int) -> int:
        """That of the low-pass layer behind it."""
        return self.down(index) + 3

    def up(self, index: int) -> int:
        """That of a doubling's convolution; a low-pass layer comes before it."""
        return self.first + self.blocks + index * (4 if self.blurred_up else 3) + self.blurred_up

    def layers(self) -> dict[str, str]:
        """As ``Layout.layers``."""
        convs, norms = {"model.1": "stem.0"}, {"model.2": "stem.1"}
        for index in range(HALVINGS):
            convs[f"model.{self.down(index)}"] = f"down.{index}.0"
            norms[f"model.{self.down(index) + 1}"] = f"down.{index}.1"
        second = 6 if self.dropout else 5
        for block in range(self.blocks):
            theirs = f"model.{self.first + block}.conv_block"
            convs |= {f"{theirs}.1": f"blocks.{block}.conv1", f"{theirs}.{second}": f"blocks.{block}.conv2"}
            norms |= {f"{theirs}.2": f"blocks.{block}.norm1", f"{theirs}.{second + 1}": f"blocks.{block}.norm2"}
        for index in range(HALVINGS):
            convs[f"model.{self.up(index)}"] = f"up.{index}.0.1" if self.blurred_up else f"up.{index}.0"
            norms[f"model.{self.up(index) + 1}"] = f"up.{index}.1"
        convs[f"model.{self.head}"] = "head.0"
        return convs | norms if self.normed else convs


def read(state: State, plugin: str | None) -> Layout:
    """Sizes and options from which numbers have tensors, and of which shape."""
    state = without_instance_statistics(state)
    numbers = _numbers(state)
    norm = "batch" if numbers.normed else "instance"
    chosen = plugin or ("pix2pix" if numbers.normed else "cyclegan")
    width, channels = side(state, "model.1.weight", 0), side(state, "model.1.weight", 1)
    data = DataSpec(UNKNOWN_SIZE, {"a": channels, "b": side(state, f"model.{numbers.head}.weight", 0)})
    model: dict[str, object] = {"width": width, "blocks": numbers.blocks, "dropout": 0.5 if numbers.dropout else 0.0}
    problem, role = "", "g_ab"
    if chosen == "cyclegan":
        model["upsample"] = "blur" if numbers.blurred_up else "deconv"
        model["downsample"] = "blur" if numbers.blurred_down else "stride"
        if data.channels["a"] != data.channels["b"]:
            model["identity"] = 0.0
        if norm == "batch":
            problem = "batch norm, which cyclegan's generator does not support; expected --as pix2pix"
    else:
        model |= {"generator": "resnet", "norm": norm}
        role = "g"
        if numbers.blurred_up or numbers.blurred_down:
            problem = "low-pass layers, which pix2pix's generator does not support; expected --as cyclegan"
    notes = ("dropout is part of the layout and off in a2b",) if numbers.dropout else ()
    return Layout(
        state={key: tensor for key, tensor in state.items() if not key.endswith(".filt")},
        plugin=chosen,
        model=model,
        data=data,
        role=role,
        direction="a2b",
        layers=numbers.layers(),
        problem=problem,
        notes=notes,
    )


def _numbers(state: State) -> Numbers:
    blocks = len(numbered(state, r"model\.(\d+)\.conv_block\."))
    blurred_down = "model.7.filt" in state
    first = Numbers(blocks, False, False, blurred_down, False).first
    # The second convolution of a block is one further with dropout; without it, a norm may have that number.
    shifted = state.get(f"model.{first}.conv_block.6.weight")
    return Numbers(
        blocks,
        dropout=shifted is not None and shifted.dim() == 4,
        normed="model.2.weight" in state,
        blurred_down=blurred_down,
        blurred_up=f"model.{first + blocks}.filt" in state,
    )


def public_state(net: ResnetGenerator) -> State:
    """A generator's tensors by their names, and the fixed filters that theirs save as well."""
    if len(net.down) != HALVINGS:
        raise UsageError(f"the public code's ResNet generator halves the side {HALVINGS} times, not {len(net.down)}")
    if isinstance(net.stem[1], nn.Identity):
        raise UsageError("the public code's ResNet generator without norm has other biases; expected norm")
    down, up = (cast(nn.Sequential, stages[0]) for stages in (net.down, net.up))
    resized = up[0] if isinstance(up[0], nn.Sequential) else None
    if resized is not None and not isinstance(resized[0], BlurUpsample):
        raise UsageError("the public code's ResNet generator does not upsample by resizing; expected deconv or blur")
    numbers = Numbers(
        len(net.blocks),
        dropout=isinstance(cast(ResnetBlock, net.blocks[0]).dropout, nn.Dropout),
        normed=isinstance(net.stem[1], nn.BatchNorm2d),
        blurred_down=isinstance(down[-1], BlurDownsample),
        blurred_up=resized is not None,
    )
    state = renamed(net.state_dict(), numbers.layers())
    for index in range(HALVINGS):
        if numbers.blurred_down:
            state[f"model.{numbers.filter_down(index)}.filt"] = net.get_buffer(f"down.{index}.3.kernel")
        if numbers.blurred_up:
            state[f"model.{numbers.up(index) - 1}.filt"] = net.get_buffer(f"up.{index}.0.0.kernel")
    return state


FAMILY = Family(
    "resnet",
    "the CycleGAN, pix2pix or CUT ResNet generator",
    ("cyclegan", "pix2pix"),
    read,
    PublicForm(network=ResnetGenerator, state=public_state),
)
