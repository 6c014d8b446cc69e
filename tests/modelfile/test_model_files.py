"""Model files that are damaged, absurd or hostile: refused at once, with the reason, by inspect and by load."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from listening import listening
from translate.cli import app as cli
from translate.contract import DataSpec
from translate.modelfile.card import card_of
from translate.modelfile.header import LARGEST_HEADER, ModelFileError, read_header
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import save_published
from translate.plugins import load


@pytest.fixture
def model(tmp_path: Path) -> Path:
    task, data = load("cyclegan")(width=2, blocks=1), DataSpec(32, {"a": 3, "b": 3})  # type: ignore[call-arg]
    nets = build_nets(task, data, ["g_ab", "g_ba"])
    path = tmp_path / "model.safetensors"
    save_published(path, plugin="cyclegan", task=task, data=data, tensors=nets.state_dict(), weights="raw", step=3)
    return path


def change(path: Path, edit: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> None:
    """Rewrite a model file with other metadata or tensors."""
    card, tensors = json.loads(read_header(path).metadata["gantk"]), load_file(path)
    edit(card, tensors)
    save_file(tensors, path, {"gantk": json.dumps(card)})


def refusal(path: Path) -> str:
    """The message of a load."""
    with pytest.raises(ModelFileError) as caught:
        load_published(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_inspect_needs_neither_torch_nor_the_plugin(model: Path) -> None:
    code = (
        "import sys; from translate.cli import app as cli; code = cli.run(['inspect', sys.argv[1]]); "
        "assert not {'torch', 'gantk_cyclegan', 'numpy'} & set(sys.modules), 'imported'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cyclegan (gantk" in done.stdout
    assert "raw, after step 3" in done.stdout
    assert "a2b (a to b, multiple 4)" in done.stdout


def test_inspect_as_a_record(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(model), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["plugin"], record["weights"], record["step"]) == ("cyclegan", "raw", 3)
    assert record["data"]["channels"] == {"a": 3, "b": 3}
    assert record["bytes"] == sum(t.numel() * t.element_size() for t in load_file(model).values())
    assert record["tensors"]["g_ab.head.0.bias"] == {"shape": [3], "dtype": "F32"}


def rewritten(header: bytes, rest: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + rest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (b"abc", "3 bytes"),
        (rewritten(b"{}", length=1 << 60), "a header of 1,152,921,504,606,846,976 bytes"),
        (rewritten(b" " * (LARGEST_HEADER + 1)), "a header of"),
        (rewritten(b"{}" * 8), "Extra data"),
        (rewritten(b"null"), "its header is no JSON object"),
        (rewritten(b'{"__metadata__":null}'), "metadata other than text"),
        (rewritten(b'{"a":null}'), "tensor a: expected dtype, shape, data_offsets"),
        (rewritten(b"[1, 2]"), "not a readable"),
        (rewritten(b"\xff\xfe" * 20), "not a readable"),
        (rewritten(b'{"a":\xff}'), "no UTF-8 text from its byte 5 on"),
        (rewritten(b'{"t":{"dtype":"F32","shape":[null],"data_offsets":[0,8]}}', b"\0" * 8), "its shape is [null]"),
        (rewritten(b'{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,null]}}', b"\0" * 8), "at bytes [0, null] of 8"),
        (rewritten(b'{"%s":{}}' % (b"n" * 2000)), "a name of 2,000 characters"),
        (rewritten(b'{"__metadata__":{"gantk":"{}"}}'), "file format null"),
        (rewritten(b"[" * 9000), "not a readable"),
        (rewritten(b'{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'), "at bytes 0 to 8 of 0"),
        (rewritten(b'{"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', b"\0" * 8), "shape"),
        (rewritten(b'{"t":{"dtype":"F32","shape":[2]}}', b"\0" * 8), "data_offsets"),
        (rewritten(b"{}", b"\0" * 8), "the file has 18"),
        (rewritten(b'{"__metadata__":{"gantk":3}}'), "metadata other than text"),
        (rewritten(b'{"__metadata__":{"gantk":"3"}}'), "damaged gantk metadata"),
        (rewritten(b'{"__metadata__":{"gantk":"{\\"format\\":99}"}}'), "file format 99"),
        (
            rewritten(b'{"__metadata__":{"gantk":"{\\"format\\":2}"}}'),
            "metadata (plugin: Field required)",
        ),
        (rewritten(b"{}"), "no gantk metadata"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch weights; gantk import makes a model file of them"),
        (b"PK\x03\x04\0\0\x08\x08\0\0", "PyTorch weights; gantk import makes a model file of them"),
    ],
)
def test_absurd_headers(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert message in refusal(path)
    assert cli.run(["inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_files(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(len(whole) * share)])
    assert "not a readable safetensors file" in refusal(model)


def test_tensors_that_do_not_fit(model: Path) -> None:
    whole = model.read_bytes()

    def after(edit: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> str:
        model.write_bytes(whole)
        change(model, edit)
        return refusal(model)

    key = "g_ab.head.0.bias"
    assert f"{key} holds values that are not finite" in after(lambda card, t: t[key].fill_(torch.nan))
    assert f"tensor {key} is missing (1 missing, 0 unknown)" in after(lambda card, t: t.pop(key))
    assert "unknown tensor g_ab.more (1 unknown)" in after(lambda card, t: t.update({"g_ab.more": torch.zeros(1)}))
    assert "has shape (4,), expected (3,)" in after(lambda card, t: t.update({key: torch.zeros(4)}))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("plugin",), "os", "no model is named 'os'"),
        (("plugin",), "subprocess:Popen", "no model is named"),
        (("model", "blocks"), 1_000_000, "describes larger networks"),
        (("model", "width"), 2_000, "describes larger networks"),
        (("model", "width"), 10**30, "networks cannot be built"),
        (("model", "width"), -1, "hyper-parameter width"),
        (
            ("model", "hidden"),
            3,
            "unknown hyper-parameter 'hidden' for CycleGAN (written by gantk 0.1.0, read",
        ),
        (("later",), 3, "unknown key 'later' (written by gantk 0.1.0, read by gantk 0.1.0)"),
        (("version",), "0.2.0", "written by cyclegan of gantk 0.2.0, newer than the installed gantk 0.1.0"),
        (("version",), "99", "written by cyclegan of gantk 99, newer than the installed gantk 0.1.0"),
        (("data", "size"), 0, "data.size"),
        (("data", "scale"), 0, "data.scale"),
        (("data", "channels"), {"a": 1 << 40}, "data.channels.a"),
        (("data", "channels"), {"a": 3}, "cannot be built"),
        (("directions", 0, "name"), "a2z", "direction 'a2z' is none of cyclegan's: a2b, b2a"),
        (("directions", 0), {"name": "a2b"}, "directions.0"),
        (("directions",), [], "directions"),
        (("weights",), "best", "weights"),
        (("step",), -1, "step"),
    ],
)
def test_metadata_cannot_make_anything_happen(model: Path, where: tuple[Any, ...], value: Any, message: str) -> None:
    def edit(card: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        place: Any = card
        for step in where[:-1]:
            place = place[step]
        place[where[-1]] = value

    before = set(sys.modules)
    change(model, edit)
    assert message in refusal(model)
    assert not {name for name in set(sys.modules) - before if name in ("subprocess", "pty")}


def test_text_of_any_length_is_cut(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def with_(edit: Callable[[dict[str, Any]], None]) -> tuple[int, str]:
        change(model, lambda card, tensors: edit(card))
        code = cli.run(["inspect", str(model)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, text = with_(lambda card: card["model"].update({f"flag{i}": "\x1b[2J" + "v" * 900 for i in range(99)}))
    assert code == 0
    assert max(map(len, text.splitlines())) < 5000
    assert all(line.isprintable() for line in text.splitlines())
    code, text = with_(lambda card: card["model"].update({"upsample": "n" * 10_000_000}))
    assert (code, text.count("\n")) == (2, 1)
    assert "a text of 10,000,000 characters" in text
    assert cli.run(["inspect", str(model), "--json"]) == 2
    assert len(capsys.readouterr().out) < 1000


def test_a_field_that_is_new_since_the_file_was_written_has_its_default(model: Path) -> None:
    change(model, lambda card, tensors: (card["model"].pop("identity"), card.update(version="0.0.9")))  # type: ignore[func-returns-value]
    lines: list[str] = []
    with listening(lines):
        published = load_published(model)
    assert published.task.identity == 0.5  # type: ignore[attr-defined]
    assert f"{model}: --identity is new since it was written; it has its default, 0.5" in lines


def test_fields_are_as_they_were_written(model: Path) -> None:
    fields = asdict(card_of(read_header(model)))
    assert [direction["name"] for direction in fields["directions"]] == ["a2b", "b2a"]
    assert fields["model"]["width"] == 2


def test_the_best_model_of_a_run_is_verified_too(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model.parent / "run"
    run.mkdir()
    for name in ("model.safetensors", "best.safetensors"):
        (run / name).write_bytes(model.read_bytes())
    assert cli.run(["inspect", "--verify", str(run)]) == 0
    assert capsys.readouterr().out.count("whole") == 2
    content = bytearray(model.read_bytes())
    content[-5] ^= 4
    (run / "best.safetensors").write_bytes(content)
    assert cli.run(["inspect", "--verify", str(run)]) == 3
    assert "best.safetensors: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_a_tensor_of_another_type_is_refused(model: Path, dtype: torch.dtype) -> None:
    key = "g_ab.head.0.bias"
    change(model, lambda card, tensors: tensors.update({key: tensors[key].to(dtype)}))
    assert f"tensor {key} is of type {str(dtype).removeprefix('torch.')}; expected float32" in refusal(model)
