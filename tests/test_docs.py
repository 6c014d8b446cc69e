"""What the plugin guide tells people to type works as it stands, and it names all of the contract."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import numpy as np
from PIL import Image

from environments import Environment, fresh
from translate.contract import DataSpec, Phase, TaskModel

GUIDE = Path(__file__).parents[1] / "docs" / "plugins.md"


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks: language and content."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    text = GUIDE.read_text(encoding="utf-8")
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def put_in(module: Path, code: str) -> None:
    """Add one of the tutorial's pieces where a reader would: a field, a function or a term."""
    text = module.read_text(encoding="utf-8")
    if code.startswith("def "):
        text += "\n\n" + code
    else:
        anchor = r'^ {12}"outlines":.*\n' if code.lstrip().startswith('"') else r"^    blocks:.*\n"
        text, count = re.subn(anchor, lambda found: found[0] + code, text, flags=re.MULTILINE)
        assert count == 1
    module.write_text(text, encoding="utf-8")


def run(environment: Environment, command: str, folder: Path) -> str:
    words = shlex.split(command)
    if words[0] == "pip":
        where = [str(folder / word) if word.startswith("./") else word for word in words[2:]]
        result = environment.pip(words[1], "--no-deps", "--no-build-isolation", *where)
    else:
        assert words[0] == "gantk"
        result = environment.gantk(*words[1:], cwd=folder)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_the_five_minutes_work_as_written(tmp_path: Path) -> None:
    environment = fresh(tmp_path / "env")
    work = tmp_path / "work"
    rng = np.random.default_rng(0)
    for name in ("photos", "look"):
        (work / name).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (33, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(work / name / f"{index}.png")
    said = {}
    for language, text in blocks(section("Five minutes")):
        if language == "python":
            put_in(work / "gantk-sepia" / "gantk_sepia.py", text)
        else:
            for line in text.splitlines():
                said[line] = run(environment, line, work)
    assert "gantk-sepia" in said["gantk plugins"]
    assert sorted(path.name for path in (work / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    assert "paint/colours" in (work / "runs" / "second" / "metrics.jsonl").read_text("utf-8")
    assert "failed" not in said["gantk plugins check sepia"]


def test_the_tutorial_is_about_twenty_lines() -> None:
    code = [line for language, text in blocks(section("Five minutes")) for line in text.splitlines() if line.strip()]
    assert len(code) <= 20


def test_the_guide_names_everything_that_a_plugin_may_write() -> None:
    contract = section("The contract")
    methods = {name for name, value in vars(TaskModel).items() if callable(value) and not name.startswith("_")}
    stated = {"api", "source", "recipe", "averaged"}
    of_a_phase = {field.name for field in dataclasses.fields(Phase)} - {"name", "updates", "loss"}
    for name in methods | stated | of_a_phase:
        assert re.search(rf"`{name}\b", contract), f"docs/plugins.md says nothing of {name}"
    assert DataSpec.__name__ in contract
