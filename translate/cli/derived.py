"""Commands whose arguments and flags are the fields of dataclasses: the one way to make a flag."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from translate.config import build
from translate.errors import UsageError, did_you_mean
from translate.fields import REQUIRED, Field, bare_type, fields_of, limits_of, plain

Options = TypeVar("Options")


class Command(TyperCommand):
    """A command that refuses a flag given twice, and names the flag that was meant where one is near."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The rest of the words. Raises ``UsageError`` in our own words."""
        words = self._divided(args)
        try:
            # Dry, for the order alone: what a repeated flag overwrites is lost in the result.
            _, _, order = self.make_parser(ctx).parse_args(args=list(words))
            _refuse_repeats(ctx, words, order)
            return super().parse_args(ctx, words)
        except typer.TyperException as error:
            raise UsageError(in_our_words(error, ctx, words)) from None

    def _divided(self, args: Sequence[str]) -> list[str]:
        """The words with a flag before each value of a list, ``--a x --a y`` for ``--a x y``, as a shell's ``*`` gives.

        Where a command takes positional arguments, these would be swallowed, and a flag takes one value at a time.
        """
        if any(parameter.param_type_name == "argument" for parameter in self.params):
            return list(args)
        lists = {flag for parameter in self.params if parameter.multiple for flag in parameter.opts}
        words: list[str] = []
        for index, word in enumerate(args):
            if word == "--":
                return [*words, *args[index:]]
            if not word.startswith("-") and len(words) > 1 and words[-2] in lists:
                words.append(words[-2])
            words.append(word)
        return words


class LazyCommand(Command):
    """Stands in lists and completions for a command that is built when it is used."""

    def __init__(self, name: str, build: Callable[[], TyperCommand | TyperGroup], *, help: str) -> None:
        super().__init__(name, help=help)
        self.build = build

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """The context of the built command, which parses the arguments and runs in this one's place."""
        return self.build().make_context(*arguments, **settings)


class Group(TyperGroup):
    """A group of commands that are imported when they are chosen; its mistakes are in our own words."""

    modules: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """For each command its module in `translate.cli`, which has it as ``command``, and what the list says of it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order in which one needs them."""
        return list(self.modules)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The placeholder of the command until it is used; None where there is none of that name."""
        if cmd_name not in self.modules:
            return None
        module, text = self.modules[cmd_name]
        return LazyCommand(cmd_name, lambda: import_module(f"translate.cli.{module}").command, help=text)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The rest of the words. Raises ``UsageError`` in our own words."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            raise UsageError(in_our_words(error, ctx, words)) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names. Raises ``UsageError`` where there is none."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = did_you_mean(args[0], self.list_commands(ctx))
            raise UsageError(f"no such command: {args[0]}{near} (see {ctx.command_path} --help)")
        return super().resolve_command(ctx, args)


def in_our_words(error: typer.TyperException, ctx: Any, words: Sequence[str]) -> str:
    """What the parser found, on one line; empty where it has shown the help instead."""
    unknown = [w for w in (w.partition("=")[0] for w in words) if w and error.message.endswith(f": {w}")]
    if unknown and unknown[0].startswith("-"):
        flags = [flag for parameter in ctx.command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
        text = error.message + did_you_mean(unknown[0], (flag for flag in flags if flag.startswith("--")))
    else:
        text = error.format_message()
    text = " ".join(text.split()).rstrip(".")
    return f"{text} (see {ctx.command_path} --help)" if text else ""


def _refuse_repeats(ctx: Any, words: Sequence[str], order: Sequence[Any]) -> None:
    once = [parameter for parameter in order if parameter.param_type_name == "option" and not parameter.multiple]
    for index, parameter in enumerate(once):
        if parameter in once[:index]:
            names = [*parameter.opts, *parameter.secondary_opts]
            given = [w for w in (word.partition("=")[0] for word in words) if w in names]
            raise UsageError(f"{given[-1] if given else names[0]}: given more than once; expected once")


def make_command(
    name: str, action: Callable[..., Any], parameters: Sequence[inspect.Parameter], *, help: str
) -> TyperCommand:
    """A command that calls ``action`` with the values of ``parameters`` by name."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(name, help=help, cls=Command)(with_parameters(action, parameters))
    command = get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def make_group(
    name: str,
    cls: type[Group],
    action: Callable[[], None] | None = None,
    *,
    fields: Sequence[Field] = (),
    help: str,
    **settings: Any,
) -> TyperGroup:
    """The group of commands that ``cls`` lists; ``action`` is what it does without one, else it shows its help.

    ``fields``: flags of the group itself, for its help alone.
    """
    app = typer.Typer(
        name=name,
        cls=cls,
        help=help,
        no_args_is_help=action is None,
        invoke_without_command=action is not None,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        **{"add_completion": False, **settings},
    )

    def call(context: typer.Context, **shown: Any) -> None:
        if action is not None and context.invoked_subcommand is None:
            action()

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    app.callback()(with_parameters(call, [context, *map(typer_parameter, fields)]))
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def with_parameters(action: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> Callable[..., Any]:
    """The function with a signature that Typer can read."""

    def call(**values: Any) -> Any:
        return action(**values)

    call.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def command(name: str, options: type[Options], action: Callable[[Options], int | None]) -> TyperCommand:
    """The command that ``action`` is; its arguments and flags are the fields of ``options``, whose docstring is its
    help. The action returns the exit code, None for 0."""
    fields = sorted(fields_of(options, name), key=lambda field: field.default is not REQUIRED)  # type: ignore[arg-type]

    def act(**values: Any) -> int | None:
        return action(build(options, fields, given_flags(fields, values), f"gantk {name}"))

    return make_command(name, act, [typer_parameter(field) for field in fields], help=escape(help_of(options)))


def help_of(options: type) -> str:
    """The docstring of a command's options, whose first line describes the command."""
    return inspect.getdoc(options) or ""


def typer_parameter(field: Field, panel: str = "Options") -> inspect.Parameter:
    """The field as a parameter of a Typer command; its value is None where the flag was not given."""
    annotation: Any = str | None
    if field.switch:
        annotation = bool | None
    elif field.shape == "many":
        annotation = list[str] | None
    elif field.shape == "fixed":
        annotation = tuple[(str,) * len(field.items)] | None  # type: ignore[misc]
    if field.spelling.positional:
        bare: Any = list[str] if field.shape == "many" else str
        argument = typer.Argument(help=escape(field.help), metavar=field.metavar, show_default=False)
        required = field.default is REQUIRED
        return inspect.Parameter(
            parameter_name(field),
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if required else None,
            annotation=Annotated[bare if required else bare | None, argument],
        )
    option = typer.Option(
        None,
        *filter(None, [field.spelling.short]),
        "/".join(field.flags),
        help=escape(_help(field)),
        metavar="" if field.switch else field.metavar,
        show_default=False,
        rich_help_panel=field.spelling.panel or panel,
        autocompletion=_completion(field),
    )
    return inspect.Parameter(
        parameter_name(field), inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation
    )


def parameter_name(field: Field) -> str:
    """The name of the field's parameter; the table keeps equal names apart."""
    return f"{field.table}__{field.name}"


def given_flags(fields: Iterable[Field], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those fields whose flags were given, checked, by name."""
    values = {}
    for field in fields:
        given = arguments.get(parameter_name(field))
        if given is not None and given != []:
            values[field.name] = given if isinstance(given, bool) else field.from_words(given)
    return values


def _help(field: Field) -> str:
    shown = limits = ""
    if field.default is REQUIRED:
        shown = "required"
    elif field.default not in (None, (), "") and not (field.switch and len(field.flags) == 1):
        shown = f"default {plain(field.default)}"
    if field.shape != "many":
        limits = ", ".join(filter(None, dict.fromkeys([limits_of(field.annotation), *map(limits_of, field.items)])))
    repeatable = "may be repeated" if field.shape == "many" else ""
    notes = "; ".join(filter(None, (shown, limits, repeatable)))
    return " ".join(filter(None, (field.help, f"({notes})" if notes else "")))


def _completion(field: Field) -> Callable[[str], list[str]] | None:
    choices = get_args(bare_type(field.items[0])) if get_origin(bare_type(field.items[0])) is Literal else ()
    if not choices:
        return None

    def complete(incomplete: str) -> list[str]:
        return [str(choice) for choice in choices if str(choice).startswith(incomplete)]

    return complete
