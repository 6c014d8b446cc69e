"""``gantk push`` and ``pull`` against a hub on loopback that speaks the part of its language that they need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gantk_dcgan import DCGAN
from translate.cli.app import run
from translate.contract import DataSpec
from translate.export.remote import FILES
from translate.modelfile.model import build_nets
from translate.modelfile.write import save_published

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_test"


class Hub(ThreadingHTTPServer):
    """Repositories as files by name; writing needs the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.repositories: dict[str, dict[str, bytes]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status: int, value: Any) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer_json(401, {"error": "no"})
            return
        if self.path == "/api/repos/create":
            name = json.loads(body)["name"]
            self.server.repositories.setdefault(f"me/{name}", {})
            self.answer_json(200, {"url": f"{self.server.address}/me/{name}", "name": f"me/{name}"})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.answer_json(200, {"files": files})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.server.repositories[found[1]][value["path"]] = base64.b64decode(value["content"])
            address = f"{self.server.address}/{found[1]}/commit/{COMMIT}"
            self.answer_json(200, {"commitUrl": address, "commitOid": COMMIT, "pullRequestUrl": None, "success": True})
        else:
            self.answer_json(200, {})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if (found := re.fullmatch(r"/api/models/(.+?)(/revision/.+|/tree/.+)?", path)) and "resolve" not in path:
            files = self.server.repositories.get(found[1])
            if files is None:
                self.answer(404, X_Error_Code="RepoNotFound")
            elif found[2] and found[2].startswith("/tree"):
                rows = [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in files.items()]
                self.answer_json(200, rows)
            else:
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                about = {"id": found[1], "modelId": found[1], "sha": COMMIT, "siblings": siblings, "tags": []}
                self.answer_json(200, {**about, "private": False, "downloads": 0, "likes": 0})
        elif found := re.fullmatch(r"/(.+)/resolve/[^/]+/(.+)", path):
            data = self.server.repositories[found[1]][found[2]]
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            self.answer(200, data, ETag=etag, X_Repo_Commit=COMMIT, Content_Length=str(len(data)))
        else:
            self.answer_json(200, {})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    task, data = DCGAN(width=2, latent=4), DataSpec(32, {"image": 3})
    tensors = build_nets(task, data, ["g"]).state_dict()
    file = tmp_path / "model.safetensors"
    save_published(file, plugin="dcgan", task=task, data=data, tensors=tensors, weights="raw", step=1)
    assert run(["export", str(file), "--to", "hub", "--license", "mit", "-o", str(tmp_path / "horses")]) == 0
    (tmp_path / "horses" / "diary.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    return tmp_path / "horses"


def test_what_was_pushed_is_pulled_byte_for_byte(
    hub: Hub, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--endpoint", hub.address, "--token", str(tmp_path / "token")]
    assert run(["push", str(folder), "me/horses", *where]) == 0
    assert COMMIT in capfd.readouterr().err
    assert hub.repositories["me/horses"].keys() == set(FILES)
    hub.repositories["me/horses"]["evil.pkl"] = b"no"
    assert run(["pull", "me/horses", "-o", str(tmp_path / "back"), *where]) == 0
    back = tmp_path / "back"
    assert {path.name for path in back.iterdir()} == set(FILES)
    for path in back.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()
    assert not list(tmp_path.glob(".gantk-*"))


def test_a_damaged_model_never_arrives(
    hub: Hub, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    hub.repositories["me/horses"] = {"model.safetensors": bytes(data)}
    assert run(["pull", "me/horses", "-o", str(tmp_path / "back"), "--endpoint", hub.address]) == 2
    assert "damaged" in capfd.readouterr().err
    assert not (tmp_path / "back").exists()


def test_a_repository_without_a_model_of_ours_is_named(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["me/other"] = {"README.md": b"hello"}
    assert run(["pull", "me/other", "-o", str(tmp_path / "back"), "--endpoint", hub.address]) == 2
    assert "me/other: holds no model.safetensors" in capfd.readouterr().err
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["pull", "me/none", "-o", "{out}", "--endpoint", "{hub}"], 1, "me/none: not found at http"),
        (["push", "{folder}", "me/horses", "--endpoint", "{hub}"], 1, "refuses access (401)"),
        (["pull", "me/horses", "-o", "{out}", "--endpoint", "http://127.0.0.1:9"], 1, "me/horses: cannot reach"),
        (["pull", "a//b", "-o", "{out}", "--endpoint", "{hub}"], 2, "a//b: no name of a repository"),
        (["push", "{out}", "me/x", "--endpoint", "{hub}"], 2, "model.safetensors is missing"),
        (["pull", "me/x", "-o", "{folder}", "--endpoint", "{hub}"], 2, "exists already"),
        (["pull", "me/x", "-o", "{out}", "--token", "nowhere"], 2, "--token nowhere: cannot be read"),
    ],
)
def test_what_fails_is_said_in_a_line(
    words: list[str],
    code: int,
    message: str,
    hub: Hub,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {"out": tmp_path / "out", "hub": hub.address, "folder": folder}
    assert run([word.format(**places) for word in words]) == code
    shown = capfd.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_hubs_own_library_reads_the_card(folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    facts = ["--metric", "FID=12.5", "--metric-data", "my test set"]
    model = str(folder / "model.safetensors")
    assert run(["export", model, "--to", "hub", *facts, "-o", str(tmp_path / "measured")]) == 0
    card = ModelCard.load(tmp_path / "measured" / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("gantk", "unconditional-image-generation")
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("fid", 12.5, "my test set")
    assert "![What the model makes](preview.png)" in card.text
    assert "model.sample(16, seed=0)" in card.text


def test_nothing_but_the_four_files_is_ever_sent() -> None:
    assert FILES == ("model.safetensors", "config.json", "README.md", "preview.png")
