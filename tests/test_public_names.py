"""The public surface: short, documented, and free to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import translate

PUBLIC = [
    *("API_VERSION", "Batch", "Condition", "Console", "DataSpec", "Dataset", "Direction", "GantkError", "Loading"),
    *("Model", "Nets", "Networks", "Noise", "Phase", "Run", "Source", "TaskModel", "Terms", "UsageError"),
    *("evaluate", "linear_decay", "load", "train", "using"),
]


def documented_assignments(module: str) -> set[str]:
    """The names that a module assigns at its top level with a docstring behind."""
    tree = ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text(encoding="utf-8"))
    names = set()
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(node, ast.Assign)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_the_public_names_are_these() -> None:
    assert sorted(translate.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(translate))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring(name: str) -> None:
    value = getattr(translate, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__.startswith("translate.")
        assert (value.__doc__ or "").strip()
        assert not value.__doc__.startswith(f"{name}("), "the docstring that dataclass makes up does not count"
    else:
        assert name in documented_assignments("translate.contract") | documented_assignments("translate")


@pytest.mark.parametrize("name", ["Model", "TaskModel", "Source", "Dataset", "Direction", "Phase", "Nets", "Batch"])
def test_public_methods_have_docstrings(name: str) -> None:
    cls = getattr(translate, name)
    methods = {k: v for k, v in vars(cls).items() if inspect.isfunction(v) and not k.startswith("_")}
    # `directions` and the like are documented in the class that declares them.
    assert [k for k, method in methods.items() if not (method.__doc__ or "").strip()] == []


def test_the_version_is_the_distributions() -> None:
    assert translate.__version__ == version("gantk")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'TaskModle'"):
        translate.TaskModle  # type: ignore[attr-defined]  # noqa: B018


def test_importing_translate_imports_nothing_heavy() -> None:
    code = "import sys, translate; print([m for m in ('torch', 'numpy', 'pydantic', 'typer') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
