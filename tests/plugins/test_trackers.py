"""Trackers against the real packages, without network: what they wrote is read by their own readers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from translate.console import Console, using
from translate.errors import UsageError
from translate.preview import save_preview
from translate.training.journal import Journal
from translate.training.trackers import load_trackers

pytestmark = pytest.mark.filterwarnings("default")  # these packages' own

STEPS = {1: 0.5, 2: 0.25}


def follow(folder: Path, name: str, start: int = 0) -> None:
    (folder / "config.toml").write_text('plugin = "toy"\n[run]\nbatch = 2\n', encoding="utf-8")
    with using(Console(quiet=True)), Journal(load_trackers([name])) as journal:
        journal.begin(folder, total=4, start=start)
        for step, value in STEPS.items():
            journal.metrics({"step": start + step, "g/adv": value})
        save_preview(folder / "step.png", {"a": torch.zeros(1, 3, 8, 8)})
        journal.picture(start + 2, folder / "step.png")


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_what_is_not_installed_is_named_with_the_extra_that_has_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"{name}: not installed; expected pip install 'gantk\[{name}\]'"):
        load_trackers([name])


@pytest.mark.slow
def test_tensorboard(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(tmp_path, "tensorboard")
    assert capfd.readouterr() == ("", "")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {event.step: event.value for event in events.Scalars("g/adv")} == STEPS
    assert [event.step for event in events.Images("preview")] == [2]


@pytest.mark.slow
def test_mlflow(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    follow(tmp_path, "mlflow")
    follow(tmp_path, "mlflow", start=2)
    assert capfd.readouterr() == ("", "")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("gantk")
    (run,) = client.search_runs([experiment.experiment_id])  # the resumed run goes on
    assert run.data.params == {"plugin": "toy", "run.batch": "2"}
    assert run.info.status == "FINISHED"
    history = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "g/adv")}
    assert history == {1: 0.5, 2: 0.25, 3: 0.5, 4: 0.25}
    assert [file.path for file in client.list_artifacts(run.info.run_id, "previews")] == ["previews/step.png"]


@pytest.mark.slow
def test_wandb(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    follow(tmp_path, "wandb")
    assert capfd.readouterr() == ("", "")
    from wandb.proto import wandb_internal_pb2 as messages

    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    found: dict[str, dict[int, str]] = {}
    for data in records(file.read_bytes()):
        record = messages.Record()
        record.ParseFromString(data)
        values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for name, value in values.items():
            found.setdefault(name, {})[int(values["_step"])] = value
    assert {step: float(value) for step, value in found["g/adv"].items()} == STEPS
    assert list((tmp_path / "wandb").glob("offline-run-*/files/media/images/preview_2_*.png"))


def records(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log with a header of 7 bytes: in blocks of 32 KiB, of whole or divided records."""
    place, parts = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""
