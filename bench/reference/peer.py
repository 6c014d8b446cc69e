"""A step of the public CycleGAN/pix2pix code, or of CUT's, in a checkout."""

from __future__ import annotations

import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from reference.loop import Move
from translate.contract import parameter_count
from translate.training.engine import Draw, Engine

PEERS = {"cyclegan": "cycle_gan", "pix2pix": "pix2pix"}
"""The models that the public CycleGAN/pix2pix code has too, under its own names; CUT's code has the first alone."""


def peer(path: Path, model: str, engine: Engine) -> Move:
    """A step of the public code in a checkout, through its own options and its own model class.

    Its networks are those of our defaults at that size: as many blocks, and without the blurring that CUT's code added.
    """
    size, device = engine.data.size, engine.device
    known = (path / "options" / "base_options.py").read_text(encoding="utf-8")
    if model == "cyclegan":
        net_g = "resnet_9blocks" if size >= 256 else "resnet_6blocks"
    else:
        net_g = "unet_128" if size == 128 else "unet_256"
    arguments = ["--name", "bench", "--model", PEERS[model]]
    arguments += ["--crop_size", str(size), "--load_size", str(size), "--netG", net_g, "--init_type", "normal"]
    arguments += [flag for flag in ("--no_antialias", "--no_antialias_up") if flag in known]
    if device.type == "cpu" and "--gpu_ids" in known:
        arguments += ["--gpu_ids", "-1"]
    before = sys.argv
    sys.path.insert(0, str(path))  # before this folder, which has a data.py too
    try:
        with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
            sys.argv = ["train.py", "--dataroot", folder, "--checkpoints_dir", folder, *arguments]
            from models import create_model  # type: ignore[import-not-found]
            from options.train_options import TrainOptions  # type: ignore[import-not-found]

            options = TrainOptions().parse()
            options.device = device  # the latest version takes it from here, others from gpu_ids
            options.amp = False  # CUT's CycleGAN asks for it, but has no such option
            net = create_model(options)
            net.setup(options)
    finally:
        sys.argv = before
        sys.path.remove(str(path))
    theirs = sum(parameter_count(getattr(net, f"net{name}")) for name in net.model_names)
    ours = sum(parameter_count(engine.nets[role]) for role in engine.optimizers)
    if theirs != ours:
        raise SystemExit(f"{path}: its networks have {theirs} weights, ours {ours}; these steps cannot be compared")

    def move(draw: Draw) -> None:
        x = draw()
        net.set_input({"A": x["a"], "B": x["b"], "A_paths": [""], "B_paths": [""]})
        net.optimize_parameters()

    return move
