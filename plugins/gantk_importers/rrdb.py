"""RRDBNet as ESRGAN, Real-ESRGAN and BasicSR save it, in the three generations of its names.

Old: one ``nn.Sequential`` (``model.1.sub.0.RDB1.conv1.0``). New: ``RRDB_trunk.0.RDB1.conv1``. BasicSR's, which are ours
too: ``body.0.rdb1.conv1``. Pictures are in 0 to 1 there and here, inside ``RRDBNet``.
"""

from __future__ import annotations

from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.rrdb import RRDBNet
from translate.importing.family import BASICSR, Family, Layout, PublicForm, State, numbered, side

SHUFFLES = {4: 2, 16: 4}
"""Input over output channels, and how many times smaller the network works: Real-ESRGAN's x2 and x1 models."""


def read(state: State, plugin: str | None) -> Layout:
    """Scale from the number of upsampling convolutions, each a doubling."""
    if "conv_first.weight" in state:
        trunk = "RRDB_trunk" if numbered(state, r"RRDB_trunk\.(\d+)\.") else "body"
        names, first, last, count = _by_name(state, trunk)
    else:
        trunk = "model.1.sub"
        names, first, last, count = _sequential(state)
    width, channels_in, channels_out = (
        side(state, f"{first}.weight", 0),
        side(state, f"{first}.weight", 1),
        side(state, f"{last}.weight", 0, 3),
    )
    dense = next((name for name, ours in names.items() if ours == "body.0.rdb1.conv1"), "")
    shuffle = SHUFFLES.get(channels_in // channels_out, 1) if channels_in % channels_out == 0 else 1
    scale = 2**count // shuffle
    problem = ""
    if any(".conv1x1." in key for key in state):
        problem = "this is ESRGAN+ (conv1x1), which gantk does not support"
    elif channels_in != channels_out * shuffle**2:
        problem = f"{channels_in} channels in and {channels_out} out; expected as many, or 4 or 16 times as many in"
    elif not 1 <= scale <= 8:
        problem = f"{count} upsampling convolutions and pixel-unshuffle {shuffle}; expected scale 1 to 8"
    chosen = plugin or "esrgan"
    model = {
        "width": width,
        "blocks": len(_trunk_blocks(state, trunk)),
        "growth": side(state, f"{dense}.weight", 0),
    }
    if chosen == "esrgan":
        model["unshuffle"] = shuffle
    elif shuffle != {1: 4, 2: 2}.get(scale, 1):
        problem = (
            problem or f"pixel-unshuffle {shuffle} at scale {scale} is no model of Real-ESRGAN; expected --as esrgan"
        )
    return Layout(
        state=state,
        plugin=chosen,
        model=model,
        data=DataSpec(128, {"low": channels_out, "high": channels_out}, scale=max(1, scale)),
        role="g",
        direction="restore" if chosen == "realesrgan" and scale == 1 else "upscale",
        layers=names,
        problem=problem,
        notes=("one upsampling convolution is read as scale 2; scale 3 has the same tensors",) if count == 1 else (),
    )


def _trunk_blocks(state: State, trunk: str) -> list[int]:
    pattern = trunk.replace(".", r"\.")
    return numbered(state, rf"{pattern}\.(\d+)\.(?:RDB|rdb)1\.")


def _dense(state: State, trunk: str, rdb: str, suffix: str) -> dict[str, str]:
    return {
        f"{trunk}.{block}.{rdb}{part}.conv{conv}{suffix}": f"body.{block}.rdb{part}.conv{conv}"
        for block in range(len(_trunk_blocks(state, trunk)))
        for part in range(1, 4)
        for conv in range(1, 6)
    }


def _by_name(state: State, trunk: str) -> tuple[dict[str, str], str, str, int]:
    old = trunk == "RRDB_trunk"
    up = "upconv" if old else "conv_up"
    count = len(numbered(state, rf"{up}(\d+)\."))
    names = {
        "conv_first": "conv_first",
        "trunk_conv" if old else "conv_body": "conv_body",
        **_dense(state, trunk, "RDB" if old else "rdb", ""),
        **{f"{up}{number}": f"conv_up{number}" for number in range(1, count + 1)},
        "HRconv" if old else "conv_hr": "conv_hr",
        "conv_last": "conv_last",
    }
    return names, "conv_first", "conv_last", count


def _sequential(state: State) -> tuple[dict[str, str], str, str, int]:
    # 0 first, 1 trunk, then (upsample, convolution, rectifier) per doubling, convolution, rectifier, convolution.
    highest = max(numbered(state, r"model\.(\d+)\."), default=4)
    count = max(0, (highest - 4) // 3)
    blocks = len(_trunk_blocks(state, "model.1.sub"))
    last = f"model.{3 * count + 4}"
    names = {
        "model.0": "conv_first",
        f"model.1.sub.{blocks}": "conv_body",
        **_dense(state, "model.1.sub", "RDB", ".0"),
        **{f"model.{3 * number}": f"conv_up{number}" for number in range(1, count + 1)},
        f"model.{3 * count + 2}": "conv_hr",
        last: "conv_last",
    }
    return names, "model.0", last, count


def public_state(net: RRDBNet) -> State:
    """A network's tensors by BasicSR's names, which are ours."""
    if list(net.factors) != [2, 2]:
        raise UsageError(
            f"BasicSR's RRDBNet doubles the side twice, at scale 4, or 2 or 1 by unshuffling its input; this network "
            f"enlarges by {' and '.join(map(str, net.factors))}"
        )
    return net.state_dict()


FAMILY = Family(
    "rrdb",
    "RRDBNet of ESRGAN, Real-ESRGAN or BasicSR",
    ("esrgan", "realesrgan"),
    read,
    PublicForm(network=RRDBNet, state=public_state, keys=BASICSR),
)
