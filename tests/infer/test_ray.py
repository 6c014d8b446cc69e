"""A fleet of two processes on Ray, of which two are killed: slow, as each process imports torch."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infer_fakes import publish
from PIL import Image
from torch import nn

from listening import listening
from translate.errors import UsageError
from translate.infer.claims import claim_path
from translate.infer.folder import infer
from translate.infer.options import InferOptions

pytest.importorskip("ray")
HERE = Path(__file__).parent
HOME = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), "OMP_NUM_THREADS": "1"}


class Negative(nn.Module):
    def forward(self, x: Any) -> Any:
        return -x


def test_an_address_without_a_cluster_is_refused_at_once(tmp_path: Path) -> None:
    options = InferOptions(engine="ray", address="127.0.0.1:1")
    with pytest.raises(UsageError, match=r"--address 127\.0\.0\.1:1: no connection"):
        infer(publish(nn.Identity()), [tmp_path], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray
def test_killed_workers_cost_nothing_but_the_photo_that_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deadly_worker import ALWAYS, ONCE, DeadlyWorker

    from translate.infer import ray_cluster

    for name, value in HOME.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_cluster, "Worker", DeadlyWorker)
    Path("in").mkdir()
    for i in range(20):
        width = {3: ALWAYS, 9: ONCE}.get(i, 24)
        noise = np.random.default_rng(i).integers(0, 256, (16, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(Path("in") / f"{i:02}.png")
    infer(publish(Negative()), [Path("in")], Path("here"))
    told: list[str] = []
    records: list[dict[str, Any]] = []
    with listening(told, records=records.append):
        summary = infer(
            publish(Negative()), [Path("in")], Path("out"), InferOptions(engine="ray", nproc=2, device="cpu")
        )
    assert Path("killed-once").exists()
    assert "fake a2b on 2 workers, cpu (fp32): 20 files" in told
    assert Counter(entry["status"] for entry in records) == {"done": 19, "failed": 1}
    assert len({entry["input"] for entry in records}) == 20
    assert (summary.done, summary.skipped, summary.failed, summary.exit_code) == (19, 0, 1, 3)
    ((path, reason),) = summary.failures
    assert path == "in/03.png"
    assert reason.startswith("2 processes died while they worked on it")
    claim = claim_path(Path("out/03.png"))
    assert {file.name for file in Path("out").iterdir()} == {
        file.name for file in Path("here").iterdir() if file.name != "03.png"
    } | {claim.name}
    for file in Path("out").glob("*.png"):
        assert file.read_bytes() == (Path("here") / file.name).read_bytes(), file.name
