"""ResNet generators of junyanz/pytorch-CycleGAN-and-pix2pix and taesungp/contrastive-unpaired-translation (CUT).

One ``nn.Sequential``, so that every option shifts the numbers behind it: dropout within a block, CUT's low-pass layers
between the convolutions.
"""

from __future__ import annotations

from translate.contract import DataSpec
from translate.importing.family import Family, Layout, State, numbered, side, without_instance_statistics

UNKNOWN_SIZE = 256
"""The training size leaves no trace in a convolutional network; nearly all were trained at this one."""


def read(state: State, plugin: str | None) -> Layout:
    """Padding 0, stem 1-3, two halvings, the blocks, two doublings, padding, head."""
    state = without_instance_statistics(state)
    blocks = len(numbered(state, r"model\.(\d+)\.conv_block\."))
    blurred_down = "model.7.filt" in state
    step = 4 if blurred_down else 3
    first = 4 + 2 * step
    up = first + blocks
    blurred_up = f"model.{up}.filt" in state
    # The second convolution of a block is one further with dropout; without it, a norm may have that number.
    shifted = state.get(f"model.{first}.conv_block.6.weight")
    dropout = shifted is not None and shifted.dim() == 4
    norm = "batch" if "model.2.weight" in state else "instance"

    layers = {"model.1": "stem.0"}
    norms = {"model.2": "stem.1"}
    for index in range(2):
        layers[f"model.{4 + index * step}"] = f"down.{index}.0"
        norms[f"model.{5 + index * step}"] = f"down.{index}.1"
    second = 6 if dropout else 5
    for block in range(blocks):
        theirs = f"model.{first + block}.conv_block"
        layers |= {f"{theirs}.1": f"blocks.{block}.conv1", f"{theirs}.{second}": f"blocks.{block}.conv2"}
        norms |= {f"{theirs}.2": f"blocks.{block}.norm1", f"{theirs}.{second + 1}": f"blocks.{block}.norm2"}
    for index in range(2):
        conv = up + index * (4 if blurred_up else 3) + (1 if blurred_up else 0)
        layers[f"model.{conv}"] = f"up.{index}.0.1" if blurred_up else f"up.{index}.0"
        norms[f"model.{conv + 1}"] = f"up.{index}.1"
    head = up + 2 * (4 if blurred_up else 3) + 1
    layers[f"model.{head}"] = "head.0"
    if norm == "batch":
        layers |= norms

    chosen = plugin or ("pix2pix" if norm == "batch" else "cyclegan")
    width, channels = side(state, "model.1.weight", 0), side(state, "model.1.weight", 1)
    data = DataSpec(UNKNOWN_SIZE, {"a": channels, "b": side(state, f"model.{head}.weight", 0)})
    model: dict[str, object] = {"width": width, "blocks": blocks, "dropout": 0.5 if dropout else 0.0}
    problem, role = "", "g_ab"
    if chosen == "cyclegan":
        model |= {"upsample": "blur" if blurred_up else "deconv", "downsample": "blur" if blurred_down else "stride"}
        if data.channels["a"] != data.channels["b"]:
            model["identity"] = 0.0
        if norm == "batch":
            problem = "batch norm, which cyclegan's generator does not support; expected --as pix2pix"
    else:
        model |= {"generator": "resnet", "norm": norm}
        role = "g"
        if blurred_up or blurred_down:
            problem = "low-pass layers, which pix2pix's generator does not support; expected --as cyclegan"
    notes = ("dropout is part of the layout and off in a2b",) if dropout else ()
    return Layout(
        state={key: tensor for key, tensor in state.items() if not key.endswith(".filt")},
        plugin=chosen,
        model=model,
        data=data,
        role=role,
        direction="a2b",
        layers=layers,
        problem=problem,
        notes=notes,
    )


FAMILY = Family("resnet", "the CycleGAN, pix2pix or CUT ResNet generator", ("cyclegan", "pix2pix"), read)
