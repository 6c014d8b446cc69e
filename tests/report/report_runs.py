"""Run folders as a training leaves them, without a training."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from translate.preview import save_preview

CONFIG = """plugin = "cyclegan"

[data]
a = ["/pictures/a"]
b = ["/pictures/b"]

[model]
cycle = {cycle}

[run]
steps = 400
batch = 2
size = 32
seed = {seed}
"""


def make_run(folder: Path, *, seed: int = 0, cycle: float = 10.0, size: int = 32, previews: int = 5) -> Path:
    """A run of 400 steps with a finding, held-out figures and previews of three columns and two rows."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000400.safetensors").touch()
    (folder / "best.safetensors").touch()
    (folder / "config.toml").write_text(CONFIG.format(seed=seed, cycle=cycle), encoding="utf-8")
    generator = torch.Generator().manual_seed(seed)
    records = []
    for step in range(20, 401, 20):
        noise = float(torch.rand((), generator=generator))
        record = {
            "step": step,
            "images_per_s": 8.0,
            "memory_gib": 1.25,
            "generators/adv": 1 / step + noise / 10,
            "generators/grad_norm": 3.0 + noise,
            "critic/d_real": 0.5 + noise,
            "critic/d_fake": -0.5 - noise,
            "critic/d_sign": 0.7,
        }
        if step % 100 == 0:
            record |= {"eval/frechet": abs(step - 300) / 100 + 1.0, "eval/frechet_error": 0.25}
        records.append(record)
    note = {
        "step": 200,
        "health": "copy",
        "where": "a2b",
        "since": 160,
        "certain": False,
        "text": "a2b copies <b>it</b>",
    }
    lines = [json.dumps(record) for record in [*records[:10], note, *records[10:]]]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {f"{side}/{k}.png": "0" for side in "ab" for k in range(7)}
    data = {"samples": 12, "held_out": 2, "size": size, "channels": {"a": 3, "b": 3}, "bits": {}, "names": {}}
    remarks = ["1 file is left out: broken.png: not an image"]
    (folder / "data.json").write_text(json.dumps({**data, "remarks": remarks, "files": files}), encoding="utf-8")
    (folder / "environment.json").write_text('{"gantk": "0.1.0", "device": "cpu"}', encoding="utf-8")
    for k in range(previews):
        shade = torch.linspace(-1, 1, size).expand(2, 3, size, size) * (k + 1) / previews
        save_preview(
            folder / "previews" / f"step-{400 * k // max(1, previews - 1):06d}.png",
            {"a": shade, "fake_b": -shade, "rec_a": shade.roll(3, 2)},
        )
    return folder
