"""MLflow: losses, previews and settings in a store of the run folder, or where MLFLOW_TRACKING_URI points."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from translate import UsageError

EXPERIMENT = "gantk"
STORE = "mlflow.db"


class MLflow:
    """Without MLFLOW_TRACKING_URI, ``mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db`` shows the run."""

    def __init__(self) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise UsageError("--tracker mlflow: not installed; expected pip install 'gantk[mlflow]'")

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        """Open the run, or the one that the folder's run had before it was resumed."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported, which takes a second
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # they report every table of a new store
            logging.getLogger(name).setLevel(logging.WARNING)
        folder = folder.absolute()
        local = f"sqlite:///{folder / STORE}"
        self._client = client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", local))
        if experiment := client.get_experiment_by_name(EXPERIMENT):
            number = experiment.experiment_id
        else:
            place = None if "MLFLOW_TRACKING_URI" in os.environ else (folder / "mlflow").as_uri()
            number = client.create_experiment(EXPERIMENT, artifact_location=place)
        mark = hashlib.sha256(os.fsencode(folder)).hexdigest()
        found = client.search_runs([number], f"tags.gantk = '{mark}'", max_results=1) if start else []
        if found:
            self._run = found[0].info.run_id
            return
        self._run = client.create_run(number, run_name=folder.name, tags={"gantk": mark}).info.run_id
        for name, value in flat(settings):
            client.log_param(self._run, name, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve per name."""
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def picture(self, step: int, file: Path) -> None:
        """The preview among the run's artifacts."""
        self._client.log_artifact(self._run, str(file), "previews")

    def close(self) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self._run)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by dotted names: ``run.batch``."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
