"""The house plan holds: no import cycle, no upward import, no large file or function, no model known by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for path in (ROOT / "translate").rglob("*.py") if "templates" not in path.parts)

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "console", "files", "owner", "versions"}),
    frozenset({"settings", "optimizers", "provenance", "manifest", "reading", "holdout", "watermark", "places"}),
    frozenset({"dataspec"}),
    frozenset({"contract"}),
    frozenset({"conditions", "fields", "plugins", "device", "distributed", "scaffold"}),
    frozenset({"config", "layers", "losses", "metrics", "preview"}),
    frozenset({"generators", "discriminators"}),
    frozenset({"data", "modelfile"}),
    frozenset({"sample", "importing", "export", "infer", "evaluation", "model"}),
    frozenset({"training"}),
    frozenset({"testing", "report", "api"}),
    frozenset({"cli"}),
)
"""Rooms from the ground up; a room may use what is below it and on its own floor."""

MOST_LINES, MOST_OF_A_FUNCTION = 400, 60
FREE_OF_NAMES = ("templates", "generators", "discriminators", "losses", "layers")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, *, lazy: bool) -> Iterator[str]:
    """The modules of ours that a file imports when it runs; with ``lazy`` also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }
    inner = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only or (not lazy and id(node) in inner):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "translate":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def floor_of(module: str) -> int:
    room = [*module.split("."), ""][1]
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), len(FLOORS))


def test_every_room_has_a_floor() -> None:
    rooms = {module.split(".")[1] for module in MODULES if "." in module} - {"__main__"}
    assert rooms <= frozenset().union(*FLOORS)


def test_no_import_goes_up() -> None:
    upward = {
        f"{module} -> {target}"
        for module, path in MODULES.items()
        if module not in ("translate", "translate.__main__")
        for target in imports(path, lazy=True)
        if target != "translate" and floor_of(target) > floor_of(module)
    }
    assert upward == set()


def test_no_import_goes_round() -> None:
    arrows = {module: set(imports(path, lazy=True)) - {module} for module, path in MODULES.items()}
    arrows["translate"] = set()  # hands its names out lazily
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        state[module] = 1
        for target in sorted(arrows[module]):
            assert state.get(target) != 1, f"circle: {' -> '.join((*trail, module, target))}"
            if target not in state:
                visit(target, (*trail, module))
        state[module] = 2

    for module in MODULES:
        if module not in state:
            visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_OF_A_FUNCTION
    ]
    assert long == []


START = ("translate", "translate.__main__", "translate.cli.app")
"""What every command imports, ``gantk --help`` too: whatever these do not import at once is imported lazily."""

EXTRA = "of an optional extra"
TORCH = "imports torch, which help pages and wrong uses do without"
IMPORTED_LATE = {
    "mlflow": EXTRA,
    "wandb": EXTRA,
    "torch.utils.tensorboard": EXTRA,
    "torch_fidelity": EXTRA,
    "translate.evaluation.learned": EXTRA,  # which imports torchmetrics
    "translate.infer.ray_cluster": EXTRA,  # which imports ray
    "translate.infer.staging": "imports sqlite3 and fsspec, which serve photos on stores alone",
    "translate.infer.stores": "imports fsspec, which serves photos on stores alone",
    "onnxruntime": EXTRA,
    "onnx_ir": EXTRA,
    "pnnx": EXTRA,
    "ncnn": EXTRA,
    "spandrel": EXTRA,
    "av": EXTRA,
    "datasets": EXTRA,
    "cryptography": EXTRA,
    "albumentations": "takes seconds, uses the network unless forbidden first, and serves --augment alone",
    "cv2": "its threads are set once albumentations has imported it",
    "kornia": "takes seconds and serves --augment-device alone",
    "imagecodecs": "each codec is a library of its own, which an installation may lack",
    "tifffile": "serves TIFFs that Pillow does not open",
    "scipy": "takes a second and serves hidden colours and watermarks alone",
    "torchvision": "takes a second, which help pages and commands without grids or its networks do without",
    "translate.cli.inspect_picture": "imports Pillow and NumPy, which the header of a model file does without",
    "torch": TORCH,
    "translate.cli.export_model": TORCH,
    "translate.cli.plugins_prove": TORCH,
    "translate.cli.sample_pictures": TORCH,
    "translate.cli.train_start": TORCH,
    "translate.evaluation.evaluate": TORCH,
    "translate.export.remote": TORCH,
    "translate.importing.convert": TORCH,
    "translate.infer.folder": TORCH,
    "translate.model": TORCH,
    "translate.modelfile.model": TORCH,
    "translate.report": TORCH,
    "translate.testing": TORCH,
    "translate.training.health": TORCH,
    "translate.watermark": "imports NumPy and Pillow, which help pages do without",
    "translate.distributed": "imports torch, which the list of plugins does without",
    "translate.contract": "imports torch, which the list of plugins does without",
}
"""What a module that is itself imported lazily may import within a function, and why."""


def imported_at_once() -> set[str]:
    found: set[str] = set()
    waiting = list(START)
    while waiting:
        if (module := waiting.pop()) not in found:
            found.add(module)
            waiting += [*imports(MODULES[module], lazy=False), *([module.rpartition(".")[0]] if "." in module else [])]
    return found


def imported_in_functions(path: Path) -> Iterator[str]:
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                    yield from (name if name in MODULES else str(node.module) for name in names)


def test_what_is_imported_lazily_imports_nothing_lazily_without_a_reason() -> None:
    at_once = imported_at_once()
    assert "translate.cli.app" in at_once
    assert "translate.training.run" not in at_once
    late = [path for module, path in MODULES.items() if module not in at_once]
    unexplained, used = set(), set()
    for path in (*late, *sorted((ROOT / "plugins").glob("*.py"))):
        for name in imported_in_functions(path):
            parents = {name[:end] for end in range(len(name) + 1) if name[end : end + 1] in (".", "")}
            used |= parents & IMPORTED_LATE.keys()
            if not parents & IMPORTED_LATE.keys():
                unexplained.add(f"{path.relative_to(ROOT)}: {name}")
    assert unexplained == set()
    assert used == IMPORTED_LATE.keys(), "a reason for what is no longer imported late"


def test_the_core_names_no_built_in_model() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition('[project.entry-points."gantk.models"]')[2].partition("[")[0]
    names = re.findall(r"^([a-z0-9_]+) =", table, re.M)
    assert len(names) >= 6
    # Ordinary words may be names of models too; what is looked for is what can be nothing else.
    telling = [name for name in names if name != "gan" and re.search(r"gan|\d", name)]
    pattern = re.compile(rf"\b(?:gantk_)?({'|'.join(telling)})\b", re.I)
    found = {
        f"{path.relative_to(ROOT)}:{number}: {match.group(0)}"
        for path in FILES
        if not set(FREE_OF_NAMES) & set(path.parts)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in pattern.finditer(line)
    }
    assert found == set()
