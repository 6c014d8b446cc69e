"""A generator as its public code saves it: a ``.pth`` file with that code's names, the inverse of ``gantk import``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from translate.contract import Direction, Nets
from translate.errors import GantkError, UsageError, one_line
from translate.export.check import ExportError, difference, example, only_network
from translate.export.options import TOLERANCE
from translate.files import write_whole
from translate.importing.convert import build, translate
from translate.importing.family import Family, PublicForm
from translate.importing.read import read_file
from translate.importing.recognise import recognise
from translate.importing.registry import families
from translate.modelfile.model import DirectionModule, Published


def to_pth(model: Published, direction: Direction, path: Path) -> Family:
    """Write the direction's network as its public code saves it; returns the family of that code.

    ``torch.save`` of a dict of tensors by name and of nothing else, or of one under BasicSR's ``params`` or
    ``params_ema``. The file is kept if ``gantk import`` makes of it the same tensors and the same pictures. Raises
    ``UsageError`` for a network that no installed importer can write.
    """
    net = only_network(model, direction)
    family, form = _family_of(net, model)
    if path.suffix != ".pth":
        raise UsageError(f"--out {path}: expected a name ending in .pth, which public codes look for")
    try:
        state = {key: tensor.detach().contiguous() for key, tensor in form.state(net).items()}
    except UsageError as error:
        raise UsageError(f"--to pth: {model.path}: {error}") from None
    content = {form.keys[model.card.weights == "averaged"]: state} if form.keys else state

    def write(temporary: Path) -> None:
        # An open file, as torch would otherwise write its temporary name into it.
        with temporary.open("wb") as file:
            torch.save(content, file)
        _compare(temporary, model, direction)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)
    return family


def _family_of(net: nn.Module | None, model: Published) -> tuple[Family, PublicForm]:
    forms = [(family, family.form) for family in families() if family.form is not None]
    for family, form in forms:
        if isinstance(net, form.network):
            return family, form
    titles = "; ".join(family.title for family, _ in forms)
    raise UsageError(f"--to pth: gantk knows no public form of the network of {model.plugin}; expected {titles}")


def _compare(file: Path, model: Published, direction: Direction) -> None:
    """Raise ``ExportError`` unless an import of the file computes what the direction does, with the same tensors."""
    own = model.nets[direction.roles[0]].state_dict()
    try:
        theirs, tensors = _imported(file, model)
    except GantkError as error:
        raise ExportError(f"{model.path}: cannot be imported from its public form ({one_line(error)})") from error
    differing = [key for key, tensor in own.items() if key not in tensors or not torch.equal(tensors[key], tensor)]
    if differing:
        raise ExportError(f"{model.path}: {differing[0]} is another tensor in its public form; nothing was written")
    given = example(model, direction, 2, 3, 4)
    with torch.inference_mode():
        output: Tensor = theirs(*given)
    if difference(output, DirectionModule(model.nets, direction), given) > TOLERANCE:
        raise ExportError(
            f"{model.path}: the public code's network alone gives other pictures than {direction.name}; nothing was "
            "written"
        )


def _imported(file: Path, model: Published) -> tuple[nn.Module, dict[str, Tensor]]:
    """What `gantk import` makes of the file: a direction, and its network's tensors by our names."""
    content = read_file(file)
    known = {name for family in families() for name in family.plugins}
    match = recognise(content, model.plugin if model.plugin in known else None)
    layout = match.layout
    # What leaves no trace in tensors is as it was, such as the statistics that batch norm takes.
    fields = model.card.model if layout.plugin == model.plugin else None
    task, net = build(layout, file, fields)
    tensors = translate(content, match.family, layout, net.state_dict())
    net.load_state_dict(tensors)
    direction = next(each for each in task.directions(layout.data) if each.name == layout.direction)
    return DirectionModule(Nets({layout.role: net}), direction).eval(), tensors
