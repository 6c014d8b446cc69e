"""A model hub at the other end of a network: folders are pushed to it and pulled from it, when the user asks.

By the package ``huggingface_hub``, which the extra ``gantk[hub]`` installs, and any server that speaks its language.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from translate.errors import GantkError, UsageError, one_line
from translate.export.hub import CARD, CONFIG, PREVIEW
from translate.files import write_folder_whole
from translate.modelfile.card import Card, card_of
from translate.modelfile.header import FILE_NAME, ModelFileError, read_header, verify

FILES = (FILE_NAME, CONFIG, CARD, PREVIEW)
"""What is sent and fetched: nothing else that lies in a folder leaves a machine, or comes to it."""


def push(folder: Path, repository: str, *, endpoint: str | None, token: str | None, private: bool) -> str:
    """Send a folder that ``gantk export --to hub`` wrote; returns the address of the commit.

    The repository is made where it is missing. Raises ``UsageError`` for another folder and for a name that the hub
    does not take, ``GantkError`` where the hub refuses or cannot be reached.
    """
    missing = [name for name in (FILE_NAME, CONFIG, CARD) if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder}: {missing[0]} is missing; expected a folder that gantk export --to hub wrote")
    card = _checked(folder)
    hub = _library()
    with _in_words(hub, repository, endpoint):
        api = hub.HfApi(endpoint=endpoint, token=token, library_name="gantk")
        api.create_repo(repository, private=private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message=f"{card.plugin}, {card.weights} weights",
        )
    return str(commit.commit_url)


def pull(repository: str, out: Path, *, endpoint: str | None, token: str | None, revision: str | None) -> Path:
    """Fetch a model into the folder ``out``, whole or not at all, and check it; returns ``out``.

    Raises ``GantkError`` where the hub refuses or cannot be reached, ``ModelFileError`` where what it sends is no model
    of gantk's, or is damaged.
    """
    hub = _library()

    def fetch(fresh: Path) -> None:
        hub.snapshot_download(
            repository,
            revision=revision,
            local_dir=fresh,
            allow_patterns=list(FILES),
            endpoint=endpoint,
            token=token,
            library_name="gantk",
        )
        shutil.rmtree(fresh / ".cache", ignore_errors=True)  # its notes on what it has fetched
        if not (fresh / FILE_NAME).is_file():
            raise ModelFileError(f"{repository}: holds no {FILE_NAME}; expected a model that gantk push sent")
        _checked(fresh)

    with _in_words(hub, repository, endpoint):
        write_folder_whole(out, fetch)
    return out


def _checked(folder: Path) -> Card:
    """The card of the model file in a folder. Raises ``ModelFileError`` where it is damaged."""
    header = read_header(folder / FILE_NAME)
    card = card_of(header)
    verify(header)
    return card


def _library() -> ModuleType:
    # Both are read when the package is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        return import_module("huggingface_hub")
    except ImportError:
        raise UsageError("needs the package huggingface_hub; pip install 'gantk[hub]' installs it") from None


@contextmanager
def _in_words(hub: Any, repository: str, endpoint: str | None) -> Iterator[None]:
    place = endpoint or hub.constants.ENDPOINT
    try:
        yield
    except GantkError:
        raise
    except hub.errors.HFValidationError as error:
        raise UsageError(f"{repository}: no name of a repository ({one_line(error)}); expected OWNER/NAME") from None
    except hub.errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403):
            raise GantkError(
                f"{repository}: {place} refuses access ({status}); expected a --token with the right to it"
            ) from None
        if status == 404:
            raise GantkError(f"{repository}: not found at {place}") from None
        raise GantkError(f"{repository}: {place} answered {status or one_line(error)}") from None
    except (OSError, hub.errors.HTTPError, *_unreachable()) as error:
        raise GantkError(f"{repository}: cannot reach {place} ({one_line(error)})") from None


def _unreachable() -> tuple[type[Exception], ...]:
    """What the library's own client raises of the network: httpx from version 1 on."""
    try:
        return (import_module("httpx").HTTPError,)
    except ImportError:
        return ()
