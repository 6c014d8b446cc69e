"""Task models that are installed, found by entry points (group ``gantk.models``).

Names come from metadata alone; only the selected plugin is imported, and whatever is wrong with one plugin
stays with that plugin. A built-in is found as a stranger's is.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.machinery
import importlib.util
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate import API_VERSION, console, fields
from translate.errors import GantkError, UsageError, did_you_mean, named_line, one_line
from translate.settings import Run

if TYPE_CHECKING:
    from translate.contract import TaskModel

GROUP = "gantk.models"
OWN_DISTRIBUTION = "gantk"
VARIABLE = "GANTK_PLUGINS"
"""Environment variable: ``none`` (built-ins alone) or the names of the third-party plugins that may load."""


class PluginError(UsageError):
    """A plugin that cannot be used; names the distribution and the reason."""


@dataclass(frozen=True)
class Plugin:
    """What the metadata state about a plugin. ``value`` is its entry point, ``module:Class``."""

    name: str
    distribution: str
    version: str
    value: str
    summary: str = ""

    @property
    def builtin(self) -> bool:
        """Whether it comes with gantk itself."""
        return _normal(self.distribution) == OWN_DISTRIBUTION

    @property
    def qualified(self) -> str:
        """The name that is unambiguous: ``distribution:name``."""
        return f"{self.distribution}:{self.name}"

    @property
    def module(self) -> str:
        """The module to import."""
        return self.value.partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """The name of the class in it."""
        return self.value.partition(":")[2].strip()

    @property
    def origin(self) -> str:
        """Name and origin for messages: ``sepia (gantk-sepia 0.1.0)``."""
        return f"{self.name} ({self.distribution} {self.version})"


def installed(group: str = GROUP) -> list[Plugin]:
    """Every plugin of the entry-point group, by name; nothing is imported. Unreadable metadata is a warning."""
    found: dict[tuple[str, str], Plugin] = {}
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt")
            if not text or group not in text:
                continue
            about = distribution.metadata
            name, version, summary = str(about["Name"]), str(about["Version"]), str(about["Summary"] or "")
            points = [point for point in distribution.entry_points if point.group == group]
        except Exception as error:  # a stranger's metadata may be anything
            console.current().warning(f"left out a distribution with unreadable metadata: {named_line(error)}")
            continue
        for point in points:
            # As with imports, the first one on sys.path is the one that counts.
            found.setdefault((_normal(name), point.name), Plugin(point.name, name, version, point.value, summary))
    return sorted(found.values(), key=lambda plugin: (plugin.name, not plugin.builtin, plugin.distribution))


def permitted(plugin: Plugin) -> bool:
    """Whether ``GANTK_PLUGINS`` lets it load; built-ins always may."""
    limit = os.environ.get(VARIABLE, "").strip()
    if plugin.builtin or not limit:
        return True
    names = {name.strip() for name in limit.split(",")}
    return names != {"none"} and bool(names & {plugin.name, plugin.qualified})


def selectable() -> dict[str, Plugin]:
    """The plugins by the name that selects each: its own, or ``distribution:name`` where that is ambiguous."""
    choices: dict[str, Plugin] = {}
    permitted_ones = [plugin for plugin in installed() if permitted(plugin)]
    for plugin in permitted_ones:
        rivals = [other for other in permitted_ones if other.name == plugin.name]
        wins = len(rivals) == 1 or plugin.builtin
        choices[plugin.name if wins else plugin.qualified] = plugin
    return choices


def find(name: str) -> Plugin:
    """The plugin of that name, or of ``distribution:name``. A built-in wins over a stranger, with a warning.

    Raises ``UsageError`` where there is none, where two strangers share the name, or where it may not load.
    """
    known = installed()
    wanted, _, rest = name.partition(":")
    if rest:
        matches = [p for p in known if p.name == rest and _normal(p.distribution) == _normal(wanted)]
    else:
        matches = [p for p in known if p.name == name]
    if not matches:
        raise UsageError(f"no model is named {name!r}{did_you_mean(name, list(selectable()))}; see gantk plugins")
    allowed = [plugin for plugin in matches if permitted(plugin)]
    if not allowed:
        limit = os.environ.get(VARIABLE, "")
        raise PluginError(f"plugin {matches[0].origin} may not load: {VARIABLE} (or --no-plugins) is {limit!r}")
    if len(allowed) > 1 and not allowed[0].builtin:
        choices = " or ".join(plugin.qualified for plugin in allowed)
        raise UsageError(f"{len(allowed)} distributions provide a model named {name!r}: choose {choices}")
    for other in allowed[1:]:
        console.current().warning(f"the built-in {name} is used; to use {other.origin}, write {other.qualified}")
    return allowed[0]


@dataclass(frozen=True)
class Peek:
    """What a plugin's source text shows without running it."""

    title: str = ""
    api: int | None = None
    problem: str = ""


def peek(plugin: Plugin) -> Peek:
    """Read title, stated API version and plain faults from the source text; nothing is imported or run.

    The title is the first line of the class's docstring, or the distribution's summary.
    """
    if not plugin.module or not plugin.attribute:
        return Peek(plugin.summary, problem=f"entry point {plugin.value!r}, expected module:Class")
    try:
        source = source_file(plugin.module)
    except Exception as error:  # a finder or a parent package of a stranger's
        return Peek(plugin.summary, problem=named_line(error))
    if source is None:
        return Peek(plugin.summary, problem=f"module {plugin.module} is not installed")
    try:
        text = source.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except SyntaxError as error:
        return Peek(plugin.summary, problem=f"SyntaxError in {source.name}, line {error.lineno}")
    except (OSError, ValueError, RecursionError, MemoryError):  # a compiled module, for one
        return Peek(plugin.summary)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == plugin.attribute:
            title = (ast.get_docstring(node) or plugin.summary).partition("\n")[0]
            return Peek(title, _stated_api(node))
    return Peek(plugin.summary)  # the class is imported from elsewhere, or created when the module runs


def state(plugin: Plugin) -> str:
    """``ready``, or why it cannot be used or how it is reached, as far as that is known without importing it."""
    source = peek(plugin)
    if source.problem:
        return f"broken: {source.problem}"
    if source.api is not None and source.api != API_VERSION:
        return f"for plugin API {source.api}, this is {API_VERSION}"
    if not permitted(plugin):
        return f"off ({VARIABLE})"
    chosen = {choice: key for key, choice in selectable().items()}[plugin]
    return "ready" if chosen == plugin.name else f"ready as {chosen}"


def load(name: str) -> type[TaskModel]:
    """Import the plugin of that name and check it. Raises ``UsageError`` naming distribution and reason."""
    return load_plugin(find(name))


def load_plugin(plugin: Plugin) -> type[TaskModel]:
    """Import one plugin and check that it is what `translate.contract.TaskModel` asks for."""
    if not plugin.module or not plugin.attribute:
        raise PluginError(f"plugin {plugin.origin}: entry point {plugin.value!r}; expected module:Class")
    stated = peek(plugin).api
    if stated is not None and stated != API_VERSION:
        raise PluginError(_for_another_version(plugin, stated, API_VERSION))
    cls = import_plugin(plugin)
    if reason := _shortcoming(cls, plugin):
        raise PluginError(f"plugin {plugin.origin}: {reason}")
    assert isinstance(cls, type)
    if cls.api != API_VERSION:  # type: ignore[attr-defined]
        raise PluginError(_for_another_version(plugin, cls.api, API_VERSION))  # type: ignore[attr-defined]
    try:
        fields.check_model(cls)
    except Exception as error:
        raise PluginError(f"plugin {plugin.origin}: {named_line(error)}") from error
    return cls


def origin(name: str) -> tuple[str, str]:
    """Distribution and version of the plugin of that name."""
    plugin = find(name)
    return plugin.distribution, plugin.version


@contextmanager
def blamed(plugin: Plugin, when: str = "") -> Iterator[None]:
    """Turn what the plugin's own code raises into a ``GantkError`` that names plugin and distribution.

    That another process of the run is gone is no plugin's fault, wherever it shows.
    """
    try:
        yield
    except GantkError:
        raise
    except (Exception, SystemExit) as error:
        from translate.distributed import is_lost_process  # torch, which a list of plugins does without

        if is_lost_process(error):
            raise GantkError(f"another process of this run has ended ({one_line(error, 100)})") from error
        frames = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
        if plugin.module.partition(".")[0] not in {str(name).partition(".")[0] for name in frames}:
            raise
        raise GantkError(
            f"plugin {plugin.origin} failed{when and f' {when}'}: {named_line(error)} (--debug shows where)"
        ) from error


def source_file(module: str) -> Path | None:
    """The file a module would be imported from; parent packages are looked into, not imported."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # By its own name alone: that of a namespace package would have its parent imported.
        spec = importlib.machinery.PathFinder.find_spec(part, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _stated_api(node: ast.ClassDef) -> int | None:
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="api")], value=ast.Constant(value=int(stated)))
                | ast.AnnAssign(target=ast.Name(id="api"), value=ast.Constant(value=int(stated)))
            ):
                return stated
    return None


def import_plugin(plugin: Plugin) -> Any:
    """What the entry point names, imported. Raises ``PluginError``; what it prints meanwhile is a detail."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):  # stdout is for results alone
            module = importlib.import_module(plugin.module)
            return getattr(module, plugin.attribute)
    except KeyboardInterrupt:
        raise
    except AttributeError as error:
        if plugin.module in sys.modules:
            raise PluginError(f"plugin {plugin.origin}: {plugin.module} has no {plugin.attribute}") from error
        raise PluginError(f"plugin {plugin.origin} cannot be imported: {named_line(error)}") from error
    except BaseException as error:  # a plugin may even call sys.exit() at import
        raise PluginError(f"plugin {plugin.origin} cannot be imported: {named_line(error)}") from error
    finally:
        if printed.getvalue():
            console.current().detail(f"plugin {plugin.origin} printed at import: {printed.getvalue()}")


def _shortcoming(cls: object, plugin: Plugin) -> str | None:
    from translate.contract import Source, TaskModel

    name = plugin.attribute
    if not (isinstance(cls, type) and issubclass(cls, TaskModel)):
        return f"{name} is not a subclass of translate.TaskModel"
    if "__dataclass_fields__" not in vars(cls):
        return f"{name} is not a dataclass; decorate it with @dataclass(frozen=True, kw_only=True)"
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"{name} lacks {', '.join(missing)}"
    if not any("api" in vars(base) for base in cls.__mro__):
        return f"{name} does not state the plugin API that it is written for; expected api = {API_VERSION}"
    source = getattr(cls, "source", None)
    if not (isinstance(source, type) and issubclass(source, Source) and dataclasses.is_dataclass(source)):
        return f"{name}.source is {source!r}; expected a dataclass derived from translate.Source"
    if not isinstance(cls.recipe, Run):
        return f"{name}.recipe is {cls.recipe!r}; expected a translate.Run"
    return None


def _for_another_version(plugin: Plugin, stated: object, ours: int) -> str:
    return f"plugin {plugin.origin} is written for plugin API {stated}; this gantk has plugin API {ours}"


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
