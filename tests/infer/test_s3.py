"""Photos and results on a server that speaks S3, on this machine: needs moto and s3fs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infer_fakes import publish
from PIL import Image
from torch import nn

from listening import listening
from translate.errors import UsageError
from translate.infer import stores
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.stores import Stores
from translate.infer.summary import Summary

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the server and of the client

HERE = Path(__file__).parent
IN, OUT = Path("s3://photos/in"), Path("s3://photos/out")


@dataclass
class Server:
    """``seen``: requests by method and key; ``fail``: how many of them are answered with an error, which."""

    files: Any = None
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    fail: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        request = (environ["REQUEST_METHOD"], environ["PATH_INFO"])
        self.seen[request] += 1
        times, status = self.fail.get(request, (0, ""))
        if times:
            self.fail[request] = (times - 1, status)
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{status.split()[1]}</Code><Message>{status}</Message></Error>".encode()]
        return self._moto(environ, start)

    def __post_init__(self) -> None:
        self._moto = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)

    def objects(self, folder: str = "out") -> dict[str, bytes]:
        top = f"photos/{folder}/"
        return {name.removeprefix(top): self.files.cat_file(name) for name in self.files.find(top)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    from werkzeug.serving import make_server

    app = Server()
    served = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{served.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "TMPDIR": str(tmp_path / "tmp"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    s3fs.S3FileSystem.clear_instance_cache()
    app.files = s3fs.S3FileSystem(use_listings_cache=False)
    moto_server_reset(served.server_port)
    app.files.mkdir("photos")
    yield app
    s3fs.S3FileSystem.clear_instance_cache()
    served.shutdown()
    thread.join()
    served.server_close()


def moto_server_reset(port: int) -> None:
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")).close()


@pytest.fixture
def photos(tmp_path: Path, server: Server) -> Path:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(["a.jpg", "a.png", "deep/x.png", *(f"{number}.png" for number in range(9))]):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    for name, content in files(folder).items():
        server.files.pipe_file(f"photos/in/{name}", content)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(inputs: list[Path], out: Path, **options: Any) -> Summary:
    with listening():
        summary = infer(publish(nn.Identity()), inputs, out, InferOptions(**options))
    assert not list(Path(tempfile.gettempdir()).iterdir())
    return summary


def test_one_get_and_one_put_for_each_photo(photos: Path, server: Server, tmp_path: Path) -> None:
    run([photos], tmp_path / "out", format="png")
    server.files.pipe_file("photos/in//b.png", (photos / "a.png").read_bytes())
    server.files.pipe_file("photos/in/a.png/c.png", (photos / "a.png").read_bytes())
    server.seen.clear()
    summary = run([IN], OUT, format="png")
    assert (summary.done, summary.failures) == (
        13,
        [("s3://photos/in//b.png", "its name is none that a file could have")],
    )
    copies = Counter({request: count for request, count in server.seen.items() if request[0] in ("GET", "PUT")})
    names = [*files(photos), "a.png/c.png"]
    results = [name.replace("a.jpg", "a.jpg.png") for name in names]
    lists = copies.pop(("GET", "/photos"))
    assert copies == Counter(
        [*(("GET", f"/photos/in/{name}") for name in names), *(("PUT", f"/photos/out/{name}") for name in results)]
    )
    assert lists <= 4
    found = server.objects()
    assert found.pop("a.png/c.png") == found["a.png"]
    assert found == files(tmp_path / "out")
    server.seen.clear()
    assert run([IN], OUT, format="png").skipped == 13
    assert not [request for request in server.seen if request[0] == "PUT" or request[1].endswith(".png")]


def test_a_long_listing_comes_page_by_page(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(f"{number}/{'é' * (number % 3)}{number}.png" for number in range(20))
    for name in names:
        server.files.pipe_file(f"photos/in/{name}", b"x" * 7)
    call, pages = s3fs.S3FileSystem.call_s3, Counter[str]()

    def paged(self: Any, method: str, **asked: Any) -> Any:
        pages[method] += 1
        return call(self, method, **asked, MaxKeys=6)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", paged)
    found = Stores().names("s3://photos/in")
    assert next(found).name == names[0]
    assert pages == {"list_objects_v2": 1}
    assert [one.name for one in found] == names[1:]
    assert pages == {"list_objects_v2": 4}
    assert [one.size for one in Stores().names("s3://photos")] == [7] * 20


def test_what_the_server_refuses_is_tried_again_and_then_named(photos: Path, server: Server, tmp_path: Path) -> None:
    run([photos], tmp_path / "out")
    server.files.pipe_file("photos/in//3.png", (photos / "3.png").read_bytes())  # is refused, and has nearly its name
    server.fail = {
        ("GET", "/photos/in/1.png"): (1, "503 SlowDown"),
        ("PUT", "/photos/out/2.png"): (1, "500 InternalError"),
        ("GET", "/photos/in/3.png"): (99, "500 InternalError"),
        ("PUT", "/photos/out/4.png"): (99, "500 InternalError"),
        ("GET", "/photos/in/5.png"): (99, "403 AccessDenied"),
    }
    summary = run([IN], OUT)
    assert (summary.done, summary.failed, summary.exit_code) == (9, 4, 3)
    assert sorted(name for name, _ in summary.failures) == [
        "s3://photos/in//3.png",
        *(f"s3://photos/in/{number}.png" for number in (3, 4, 5)),
    ]
    server.fail = {}
    assert run([IN], OUT).done == 3
    assert server.objects() == files(tmp_path / "out")


KILLED = """
import sys, time
from pathlib import Path
from torch import nn
from infer_fakes import publish
from translate.infer.folder import infer
class Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.2)
        return -x
infer(publish(Slow()), [Path(sys.argv[1])], Path(sys.argv[2]))
"""


class Negative(nn.Module):
    def forward(self, x: Any) -> Any:
        return -x


def test_a_killed_run_leaves_whole_objects_and_is_continued(photos: Path, server: Server, tmp_path: Path) -> None:
    with listening():
        infer(publish(Negative()), [photos], tmp_path / "out")
    whole = files(tmp_path / "out")
    home = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), "OMP_NUM_THREADS": "1"}

    def results() -> int:
        return sum(method == "PUT" and "/out/" in name for method, name in server.seen)

    command = [sys.executable, "-c", KILLED, "s3://photos/in", "s3://photos/out"]
    with subprocess.Popen(command, env=os.environ | home, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end and results() < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    left = server.objects()
    assert 0 < len(left) < len(whole)
    assert left.items() <= whole.items()
    assert list((tmp_path / "tmp").iterdir())  # what the killed process had fetched, which the next one removes
    with listening():
        summary = infer(publish(Negative()), [IN], OUT)
    assert (summary.done, summary.skipped) == (len(whole) - len(left), len(left))
    assert server.objects() == whole
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({}, "s3://nowhere/in", "^s3://nowhere/in: FileNotFoundError: The specified bucket does not exist$"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "s3://photos/in", "^s3://photos/in: .*Could not connect"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
            "s3://photos/in",
            "^s3://photos/in: .*[Cc]redentials",
        ),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    changes: dict[str, str], place: str, reason: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    for inputs, out in (([Path(place)], OUT), ([photos], Path(place))):
        with pytest.raises(UsageError, match=reason):
            run(inputs, out)
