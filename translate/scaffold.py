"""``gantk plugins new``: a complete package around a small working task model, to be changed into one's own."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
from importlib import metadata, resources
from pathlib import Path

from translate import API_VERSION, plugins
from translate.errors import UsageError, did_you_mean
from translate.files import remove_leftovers, write_folder_whole, write_text_whole

LICENCE = "Apache-2.0"
LICENCES = (
    *("0BSD", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
    *("CC0-1.0", "EUPL-1.2", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC"),
    *("LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "Unlicense", "Zlib"),
)
"""SPDX identifiers that are taken, besides ``LicenseRef-...``; build tools refuse a misspelt one."""

LONGEST_NAME = 30
RESERVED = ("none", "translate")
"""``GANTK_PLUGINS=none`` means no plugin; a package ``translate`` would hide our own."""

FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "{{module}}.py": "model.py.txt",
    "tests/test_{{module}}.py": "test_model.py.txt",
    "{{name}}.toml": "config.toml.txt",
    "README.md": "readme.md.txt",
    ".gitignore": "gitignore.txt",
}
"""Each file of the package, and the template it is made from."""


def new_package(name: str, folder: Path, licence: str = LICENCE) -> Path:
    """Write the package ``gantk-NAME`` into ``folder``, whole or not at all; returns where it is.

    Raises ``UsageError`` for a name that is no lower-case identifier or is taken, for an unknown licence, and where
    the package exists already or ``folder`` does not.
    """
    _check_name(name)
    if licence not in LICENCES and not re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", licence):
        near = did_you_mean(licence, list(LICENCES))
        raise UsageError(f"--licence {licence}: expected an SPDX identifier such as MIT, or LicenseRef-NAME{near}")
    if not folder.is_dir():
        raise UsageError(f"--dir {folder}: no such folder")
    words = _words(name, licence)
    target = folder / words["distribution"]
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target}: exists already; choose another name or --dir")

    def write(unfinished: Path) -> None:
        for path, template in FILES.items():
            file = unfinished / _fill(path, words)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text_whole(file, _fill(_template(template), words))

    remove_leftovers(folder)
    write_folder_whole(target, write)
    return target


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        rule = f"expected lower-case letters, digits and single underscores, a letter first, at most {LONGEST_NAME}"
        raise UsageError(f"name {name!r}: {rule}, such as my_model")
    if keyword.iskeyword(name) or name in RESERVED:
        raise UsageError(f"name {name!r}: means something else already; choose another")
    if taken := [plugin for plugin in plugins.installed() if plugin.name == name]:
        raise UsageError(f"name {name!r}: taken by the installed plugin {taken[0].origin}; choose another")
    if importlib.util.find_spec(f"gantk_{name}") is not None:
        raise UsageError(f"name {name!r}: a module gantk_{name} is installed already; choose another")


def _words(name: str, licence: str) -> dict[str, str]:
    major, minor, *_ = metadata.version("gantk").split(".")
    return {
        "name": name,
        "module": f"gantk_{name}",
        "distribution": f"gantk-{name.replace('_', '-')}",
        "class": _class_name(name),
        "licence": licence,
        "api": str(API_VERSION),
        "gantk": f"{major}.{minor}",
    }


def _class_name(name: str) -> str:
    """``my_model`` -> ``MyModel``; never a name that the module needs for something else."""
    text = "".join(part.capitalize() for part in name.split("_"))
    module = ast.parse(_fill(_template(FILES["{{module}}.py"]), {"class": "_", "api": "1"}))
    imported = {a.asname or a.name for node in module.body if isinstance(node, ast.ImportFrom) for a in node.names}
    return f"{text}Model" if text in imported else text


def _template(name: str) -> str:
    return (resources.files("translate") / "templates" / "plugin" / name).read_text(encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    for key, value in words.items():
        text = text.replace("{{" + key + "}}", value)
    return text
