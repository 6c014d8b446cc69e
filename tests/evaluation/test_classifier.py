"""Class accuracy by a classifier in an ONNX file."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluate import SIDE, published, write
from torch import Tensor, nn

import translate
from translate.conditions import choice
from translate.contract import Batch, Direction, Nets, Noise
from translate.errors import UsageError
from translate.evaluation.classifier import Classifier
from translate.modelfile.model import Published

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSES = ("dark", "light")


def by_brightness(path: Path, *, bias: tuple[float, ...] = (110 / 255, -110 / 255), inputs: int = 3) -> Path:
    """A classifier whose first class is for pictures darker than a shade: (mean - shade) for the second, negated for
    the first."""
    slopes = np.stack([np.full(inputs, sign / inputs) for sign in (-1, 1, 0)[: len(bias)]], 1)
    helper, numbers = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "slopes", "bias"], ["scores"]),
    ]
    weights = [
        numbers.from_array(slopes.astype(np.float32), "slopes"),
        numbers.from_array(np.array(bias, np.float32), "bias"),
    ]
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", inputs, "h", "w"])
    found = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", len(bias)])
    graph = helper.make_graph(nodes, "brightness", [given], [found], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def reals(tmp_path: Path) -> Path:
    (tmp_path / "reals").mkdir()
    for number, name in enumerate(CLASSES):
        write(tmp_path / "reals" / name, 10, first=50 * number, brightness=120 * number - 60)
    return tmp_path / "reals"


def sampler(wrong: float) -> Published:
    """Draws pictures of a class; a share of them of the other one."""

    def run(nets: Nets, x: Batch) -> Tensor:
        label = torch.where(x.z[:, 0] < wrong, 1 - x.label, x.label)
        return (label * 0.8 - 0.5).float().reshape(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE)

    conditions = {"label": choice(CLASSES, "class")}
    noise = Noise((1,), "uniform")
    return published(Direction("sample", "z", "image", ("g",), run, latent=noise, conditions=conditions))


@pytest.mark.parametrize("inputs", [1, 3])
def test_the_share_of_samples_that_show_their_class(reals: Path, tmp_path: Path, inputs: int) -> None:
    file = by_brightness(tmp_path / "classes.onnx", inputs=inputs)
    figures = [
        translate.evaluate(sampler(wrong), against=reals, count=100, classifier=file)["class-accuracy"]
        for wrong in (-1.0, -0.5)
    ]
    assert figures[0].value == 1
    assert 0.6 < figures[1].value < 0.9
    assert figures[1].low < figures[1].value < figures[1].high <= 1
    assert figures[1].detail.startswith("of real pictures 1; dark: ")
    assert "classes.onnx" in figures[1].how
    assert not figures[1].published


def without_class(share: float) -> Published:
    """Draws dark pictures, and light ones at a rate."""

    def run(nets: Nets, x: Batch) -> Tensor:
        light = (x.z[:, 0] < 2 * share - 1).float()
        return (light * 0.8 - 0.5).reshape(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE)

    return published(Direction("sample", "z", "image", ("g",), run, latent=Noise((1,), "uniform")))


def test_how_many_classes_samples_show_that_are_drawn_without_one(reals: Path, tmp_path: Path) -> None:
    file = by_brightness(tmp_path / "classes.onnx")
    how = {"against": reals, "classifier": file, "metric": ("modes", "modes-kl")}
    collapsed, rare, whole = (translate.evaluate(without_class(share), count=400, **how) for share in (0, 0.02, 0.5))
    assert [result["modes"].value for result in (collapsed, rare, whole)] == [1, 1, 2]
    assert collapsed["modes-kl"].value == pytest.approx(np.log(2))
    assert 0 <= whole["modes-kl"].value < 0.01 < rare["modes-kl"].low < rare["modes-kl"].value < np.log(2)
    assert whole["modes"].unit == "of 2"
    assert "dark: 1, light: 0" in collapsed["modes"].detail
    mine = translate.evaluate(pictures=reals, against=reals, classifier=file)  # --classifier alone adds both
    assert (mine["modes"].value, mine["modes-kl"].value) == (2, 0)


def test_modes_are_of_samplers_without_classes(reals: Path, tmp_path: Path) -> None:
    file = by_brightness(tmp_path / "classes.onnx")
    with pytest.raises(UsageError, match="--metric modes: the model draws the class that it is asked for"):
        translate.evaluate(sampler(-1), against=reals, count=10, classifier=file, metric=("modes",))
    with pytest.raises(UsageError, match="--metric modes: expected --against with a sub-folder"):
        translate.evaluate(without_class(0), against=reals / "dark", count=10, classifier=file)


def test_a_classifier_that_does_not_know_the_real_pictures_is_refused(reals: Path, tmp_path: Path) -> None:
    other = by_brightness(tmp_path / "three.onnx", bias=(0.0, 0.0, 9.0))
    with pytest.raises(UsageError, match="expected 2 numbers for each picture, one for each of dark, light"):
        translate.evaluate(sampler(-1), against=reals, count=10, classifier=other)
    (reals / "dark").rename(reals / "between")
    (reals / "light").rename(reals / "dark")
    (reals / "between").rename(reals / "light")
    right = by_brightness(tmp_path / "right.onnx")
    with pytest.raises(UsageError, match="right on 0% of the real pictures, so that it says nothing of samples"):
        translate.evaluate(sampler(-1), against=reals, count=10, classifier=right)


def test_what_is_no_classifier(reals: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    torch.save({}, tmp_path / "weights.pth")
    for file, message in (
        (tmp_path / "absent.onnx", "no such file"),
        (tmp_path / "text.onnx", "expected an ONNX file"),
        (tmp_path / "weights.pth", "expected an ONNX file"),
    ):
        with pytest.raises(UsageError, match=message):
            translate.evaluate(sampler(-1), against=reals, count=10, classifier=file)
    with pytest.raises(UsageError, match=r"--metric class-accuracy: expected --classifier FILE too"):
        translate.evaluate(sampler(-1), against=reals, count=10, metric=("class-accuracy",))
    with pytest.raises(UsageError, match="--classifier is for samples, and for --pictures"):
        translate.evaluate(sampler(-1), a=reals, b=reals, classifier=tmp_path / "text.onnx")
    flat = by_brightness(tmp_path / "classes.onnx")
    with pytest.raises(UsageError, match="sub-folder of pictures for each"):
        translate.evaluate(sampler(-1), against=reals / "dark", count=10, classifier=flat)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_public_classifier_of_digits(shared_data: Path, tmp_path: Path) -> None:
    """LeNet as trained elsewhere, brought to ONNX by torch, is right on 98 % of real digits or more."""
    pytest.importorskip("onnxscript")
    state = torch.load(shared_data / "weights/features/lenet_epoch=12_test_acc=0.991.pth", weights_only=True)
    layers = OrderedDict[str, nn.Module](
        c1=nn.Conv2d(1, 6, 5), r1=nn.ReLU(), s2=nn.MaxPool2d(2), c3=nn.Conv2d(6, 16, 5), r3=nn.ReLU(),
        s4=nn.MaxPool2d(2), c5=nn.Conv2d(16, 120, 5), r5=nn.ReLU(), flat=nn.Flatten(),
        f6=nn.Linear(120, 84), r6=nn.ReLU(), f7=nn.Linear(84, 10),
    )  # fmt: skip
    network = nn.Sequential(layers).eval()
    network.load_state_dict({key.partition(".")[2]: value for key, value in state.items()})
    file = tmp_path / "lenet.onnx"
    torch.onnx.export(network, (torch.zeros(1, 1, 32, 32),), str(file), dynamo=True, verbose=False)
    pixels = np.frombuffer(
        gzip.decompress((shared_data / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8
    ).reshape(-1, 28, 28, 1)[:200]
    labels = gzip.decompress((shared_data / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())[8:208]
    classifier = Classifier(file, tuple("0123456789"))
    right = [classifier(picture) == str(label) for picture, label in zip(pixels, labels, strict=True)]
    assert np.mean(right) >= 0.98
