"""Which photo becomes which file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from translate.data import listing
from translate.errors import UsageError
from translate.infer.options import InferOptions
from translate.infer.plan import plan


def picture(path: Path, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, format=kind)
    return path


def targets(inputs: list[Path], out: Path, **options: object) -> dict[str, str]:
    jobs = plan(inputs, out, InferOptions(**options))  # type: ignore[arg-type]
    return {str(job.path.relative_to(out.parent)): str(job.target.relative_to(out)) for job in jobs}


def test_one_folder_keeps_tree_stem_suffix_and_format(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "deep" / "A.JPG")
    picture(tmp_path / "in" / "b.png")
    picture(tmp_path / "in" / "no. 12", "JPEG")
    picture(tmp_path / "in" / "really_png.jpg", "PNG")
    picture(tmp_path / "in" / "c.gif")
    assert targets([tmp_path / "in"], tmp_path / "out") == {
        "in/b.png": "b.png",
        "in/c.gif": "c.png",
        "in/deep/A.JPG": "deep/A.JPG",
        "in/no. 12": "no. 12.jpg",
        "in/really_png.jpg": "really_png.png",
    }


def test_suffix_and_format(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.jpeg")
    assert targets([tmp_path / "in"], tmp_path / "out", format="webp:80", suffix="_zebra") == {
        "in/a.jpeg": "a_zebra.webp"
    }


def test_netpbm_is_named_by_what_the_result_holds(tmp_path: Path) -> None:
    for name in ("a.pgm", "a.ppm", "B.PGM", "c.pnm", "d.ppm", "no_suffix"):
        picture(tmp_path / "in" / name, "PPM")

    def named(channels: int) -> dict[str, str]:
        jobs = plan([tmp_path / "in"], tmp_path / "out", InferOptions(), channels)
        assert {job.format for job in jobs} == {"PPM"}
        assert all(job.kept for job in jobs)
        return {job.path.name: job.target.name for job in jobs}

    colour = {"a.pgm": "a.pgm.ppm", "a.ppm": "a.ppm", "B.PGM": "B.ppm", "c.pnm": "c.pnm", "d.ppm": "d.ppm"}
    assert named(3) == colour | {"no_suffix": "no_suffix.ppm"}
    grey = {"a.pgm": "a.pgm", "a.ppm": "a.ppm.pgm", "B.PGM": "B.PGM", "c.pnm": "c.pnm", "d.ppm": "d.pgm"}
    assert named(1) == grey | {"no_suffix": "no_suffix.pgm"}


def test_no_two_inputs_share_an_output(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.tiff", "a.jpg.png", "b.bmp", "c/x.jpg"):
        picture(tmp_path / "in" / name)
    picture(tmp_path / "in" / "c.png", "PNG").rename(tmp_path / "in" / "c.jpg.png")
    found = targets([tmp_path / "in"], tmp_path / "out", format="png")
    assert len(set(found.values())) == len(found) == 7
    assert found["in/a.png"] == "a.png"
    assert found["in/a.jpg.png"] == "a.jpg.png"
    assert found["in/a.jpg"] != "a.jpg.png"
    assert found["in/a.tiff"] == "a.tiff.png"
    assert targets([tmp_path / "in"], tmp_path / "out", format="png") == found


def test_the_png_that_a_format_may_give_way_to_is_nobody_elses(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpg.png", "b.jpg", "b.jpg.png/x.jpg"):
        picture(tmp_path / "in" / name)
    out = tmp_path / "out"
    jobs = plan([tmp_path / "in"], out, InferOptions())
    names = [str(path.relative_to(out)) for job in jobs for path in (job.target, job.alternative)]
    assert len(set(names)) == 8
    assert "b.jpg.png" not in names
    # An input in the output folder is no place for it either.
    picture(out / "c.jpg")
    beside = picture(out / "c_x.jpg.png")
    job = plan([out / "c.jpg", beside], out, InferOptions(suffix="_x"))[0]
    assert job.target == out / "c_x.jpg"
    assert job.alternative == out / "c_x.jpg~2.png"


def test_a_file_does_not_take_a_folders_name(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "x", "PNG")
    picture(tmp_path / "in" / "x.png" / "y.png")
    found = targets([tmp_path / "in"], tmp_path / "out")
    assert found["in/x.png/y.png"] == "x.png/y.png"
    assert found["in/x"] not in ("x.png",)


def test_several_folders_keep_their_names(tmp_path: Path) -> None:
    picture(tmp_path / "p" / "x.jpg")
    picture(tmp_path / "q" / "x.jpg")
    picture(tmp_path / "more" / "p" / "x.jpg")
    file = picture(tmp_path / "x.jpg")
    found = targets([tmp_path / "p", tmp_path / "q", tmp_path / "more" / "p", file], tmp_path / "out")
    assert found == {"p/x.jpg": "p/x.jpg", "q/x.jpg": "q/x.jpg", "more/p/x.jpg": "p~2/x.jpg", "x.jpg": "x.jpg"}


def test_a_photo_reached_twice_is_done_once(tmp_path: Path) -> None:
    file = picture(tmp_path / "p" / "x.jpg")
    assert len(plan([tmp_path / "p", file, file], tmp_path / "out", InferOptions())) == 1


def test_out_within_the_input_is_not_read_back(tmp_path: Path) -> None:
    picture(tmp_path / "x.jpg")
    picture(tmp_path / "out" / "x.jpg")
    jobs = plan([tmp_path], tmp_path / "out", InferOptions())
    assert [job.path for job in jobs] == [tmp_path / "x.jpg"]


def test_out_around_the_input_still_finds_it(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "x.jpg")
    assert len(plan([tmp_path / "in"], tmp_path, InferOptions())) == 1


def test_out_that_is_an_input_or_a_file_is_refused(tmp_path: Path) -> None:
    file = picture(tmp_path / "x.jpg")
    with pytest.raises(UsageError, match="this is an input"):
        plan([tmp_path], tmp_path / "." / "nothing" / "..", InferOptions())
    with pytest.raises(UsageError, match="this is a file"):
        plan([tmp_path], file, InferOptions())
    with pytest.raises(UsageError, match="no such file"):
        plan([tmp_path / "gone"], tmp_path / "out", InferOptions())


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    file = picture(tmp_path / "x.jpg")
    (job,) = plan([file], tmp_path, InferOptions())
    assert job.refusal is not None
    (job,) = plan([file], tmp_path, InferOptions(suffix="_b"))
    assert job.refusal is None
    (tmp_path / "out").symlink_to(tmp_path)
    (job,) = plan([file], tmp_path / "out", InferOptions())
    assert job.refusal is not None


def test_hostile_names(tmp_path: Path) -> None:
    names = ["[red]x[/red].png", "new\nline.png", "esc\x1b[31m.png", "-dash.png", "e\u0301.png", "x" * 251 + ".png"]
    for name in names:
        picture(tmp_path / "in" / name)
    raw = os.fsencode(tmp_path / "in") + b"/\xff\xfe.png"
    (tmp_path / "in" / names[0]).rename(os.fsdecode(raw))
    found = targets([tmp_path / "in"], tmp_path / "out", format="tiff")
    assert len(set(found.values())) == len(names)
    assert all(len(os.fsencode(Path(target).name)) <= 255 for target in found.values())
    assert os.fsdecode(b"\xff\xfe.tiff") in found.values()


def test_what_is_no_file_is_left_out_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    picture(folder / "ok.jpg")
    (folder / "dir.jpg").mkdir()
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
        assert [job.path.name for job in plan([folder], tmp_path / "out", InferOptions())] == ["ok.jpg"]
    (job,) = plan([folder / "pipe.jpg"], tmp_path / "out", InferOptions())
    assert job.refusal == "not a regular file"


def test_a_folder_inside_that_cannot_be_read_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("DCIM", "secret", "System Volume Information", "$RECYCLE.BIN", "lost+found"):
        picture(tmp_path / "in" / place / "a.jpg")
    real = os.scandir

    def refuse(place: Path) -> object:
        if place.name not in ("in", "DCIM"):
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    done, failed = plan([tmp_path / "in"], tmp_path / "out", InferOptions())
    assert (done.target, done.refusal) == (tmp_path / "out" / "DCIM" / "a.jpg", None)
    assert (failed.path, failed.refusal) == (
        tmp_path / "in" / "secret",
        "cannot read this folder (permission denied)",
    )
    with pytest.raises(UsageError, match=r"secret: cannot read this folder \(permission denied\)"):
        plan([tmp_path / "in" / "secret"], tmp_path / "out", InferOptions())
    with pytest.raises(UsageError, match=r"secret: cannot read this folder"):
        listing.find_images(tmp_path / "in")


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "gif"},
        {"format": "png:9"},
        {"format": "jpg:0"},
        {"format": "jpg:"},
        {"tile": "-3"},
        {"tile": "some"},
        {"suffix": "a/b"},
        {"suffix": "\n"},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--"):
        InferOptions(**wrong)  # type: ignore[arg-type]
