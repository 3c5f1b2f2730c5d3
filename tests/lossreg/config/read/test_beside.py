"""Files that a config names: nothing outside its folder is ever read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from lossreg.config import examine
from lossreg.config.read.beside import NotReadError, read_beside
from lossreg.config.read.documents import MAX_BYTES
from lossreg.config.read.nodes import Folder, SourceError

SECRET = "[1.0, 7.0]"
posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A config's folder; what it must not read is beside it."""
    (tmp_path / "secret.json").write_text(SECRET, encoding="utf-8")
    (tmp_path / "home-of-others").mkdir()
    (tmp_path / "home-of-others" / "w.json").write_text(SECRET, encoding="utf-8")
    folder = tmp_path / "home"
    (folder / "deep").mkdir(parents=True)
    (folder / "w.json").write_text("[1.0, 2.0]", encoding="utf-8")
    (folder / "deep" / "w.json").write_text("[1.0, 3.0]", encoding="utf-8")
    return folder


def read(folder: Path, name: str) -> list[object]:
    return [child.value for child in read_beside(Folder(str(folder)), name).root.value]


def refusal(folder: Path, name: str) -> str:
    with pytest.raises(NotReadError) as raised:
        read_beside(Folder(str(folder)), name)
    return str(raised.value)


def syntax_error(folder: Path, name: str, text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    with pytest.raises(SourceError) as raised:
        read_beside(Folder(str(folder)), name)
    error = raised.value
    assert error.document is not None
    assert error.document.name == str(folder / name)
    place = error.document.place(error.start, error.end)
    return f"{error.code} {place.line}:{place.column} {error.message}"


def test_a_file_of_the_folder_or_below_it_is_read(home: Path) -> None:
    assert read(home, "w.json") == [1.0, 2.0]
    assert read(home, "./w.json") == [1.0, 2.0]
    assert read(home, "deep/w.json") == [1.0, 3.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.json", "'..' is not allowed"),
        ("deep/../../secret.json", "'..' is not allowed"),
        ("deep/../w.json", "'..' is not allowed"),
        ("../home-of-others/w.json", "'..' is not allowed"),
        ("{}/secret.json", "absolute"),
        ("//w.json", "absolute"),
        ("C:/w.json", "absolute"),
        ("C:w.json", "absolute"),
        ("~/w.json", "'~'"),
        ("~root/w.json", "'~'"),
        ("deep\\w.json", "not a backslash"),
        ("w.json\0", "NUL"),
        ("w\0.json", "NUL"),
        ("missing.json", "there is no such file in the folder"),
        ("w.json/w.json", "cannot be read"),
        ("w" * 5000 + ".json", "cannot be read"),
        ("w.yaml", "ends in .json or .csv"),
        ("/dev/zero", "absolute"),
        (".", "ends in .json or .csv"),
    ],
)
def test_no_other_name_is_read(home: Path, name: str, message: str) -> None:
    assert message in refusal(home, name.format(home.parent))


@posix
def test_a_link_that_leads_out_is_not_followed(home: Path) -> None:
    (home / "link.json").symlink_to(home.parent / "secret.json")
    (home / "relative.json").symlink_to("../secret.json")
    (home / "twice.json").symlink_to("relative.json")
    (home / "folder").symlink_to(home.parent, target_is_directory=True)
    (home / "neighbour").symlink_to(home.parent / "home-of-others", target_is_directory=True)
    names = ("link.json", "relative.json", "twice.json", "folder/secret.json", "neighbour/w.json")
    for name in names:
        assert "a symbolic link leads out of the config's folder" in refusal(home, name)


@posix
def test_a_link_inside_the_folder_is_followed(home: Path) -> None:
    (home / "link.json").symlink_to("deep/w.json")
    (home / "folder").symlink_to("deep", target_is_directory=True)
    (home.parent / "other-way").symlink_to(home, target_is_directory=True)
    assert read(home, "link.json") == read(home, "folder/w.json") == [1.0, 3.0]
    assert read(home.parent / "other-way", "link.json") == [1.0, 3.0]


@posix
def test_links_in_a_circle_end(home: Path) -> None:
    (home / "a.json").symlink_to("b.json")
    (home / "b.json").symlink_to("a.json")
    refusal(home, "a.json")


@posix
def test_a_pipe_does_not_keep_anyone_waiting(home: Path) -> None:
    os.mkfifo(home / "pipe.json")
    assert refusal(home, "pipe.json") == "this is a named pipe, not a regular file"


@posix
def test_a_pipe_that_takes_the_place_of_a_file_does_not_either(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a file and its opening, another process may replace it."""
    from lossreg.config.read import beside

    looks: list[int] = []
    refuse = beside._refuse_kind

    def looked(mode: int) -> None:
        refuse(mode)
        looks.append(mode)
        (home / "w.json").unlink()
        os.mkfifo(home / "w.json")

    monkeypatch.setattr(beside, "_refuse_kind", looked)
    assert "named pipe" in refusal(home, "w.json")
    assert len(looks) == 1


def test_a_folder_is_not_a_file(home: Path) -> None:
    (home / "folder.json").mkdir()
    assert refusal(home, "folder.json") == "this is a folder, not a regular file"


def test_a_large_file_is_not_read_to_its_end(home: Path) -> None:
    with (home / "large.json").open("wb") as file:
        file.truncate(2**40)  # sparse: it has no content
    assert refusal(home, "large.json") == f"the file is larger than {MAX_BYTES:,} bytes"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="who may read everything")
def test_a_file_that_may_not_be_read_says_so(home: Path) -> None:
    (home / "w.json").chmod(0)
    assert "Permission denied" in refusal(home, "w.json")


def test_a_file_is_read_once(home: Path) -> None:
    folder = Folder(str(home))
    first = read_beside(folder, "w.json")
    (home / "w.json").write_text(SECRET, encoding="utf-8")
    assert read_beside(folder, "w.json") is first
    with pytest.raises(NotReadError):
        read_beside(folder, "later.json")
    (home / "later.json").write_text(SECRET, encoding="utf-8")
    with pytest.raises(NotReadError):
        read_beside(folder, "later.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "LR219 1:1 this is not valid JSON: Expecting value"),
        ("[1.0,\n 2.0", "LR219 2:5 this is not valid JSON: Expecting ',' delimiter"),
        ("[1.0, 2.0,]", "LR219 1:"),
        ("[1.0] # YAML", "LR219 1:7 this is not valid JSON: Extra data"),
        ("{a: 1.0}", "LR219 1:2 this is not valid JSON: Expecting property name"),
        ("- 1.0\n- 2.0\n", "LR219 1:1 this is not valid JSON"),
        (b"[1.0, \xff]", "LR002 1:7 the document is not UTF-8: byte 0xff"),
        ("[" * 65 + "]" * 65, "LR004 1:65 the document is nested deeper than 64 levels"),
    ],
    ids=repr,
)
def test_a_fault_of_json_has_its_place(home: Path, text: str | bytes, expected: str) -> None:
    assert syntax_error(home, "wrong.json", text).startswith(expected)


def test_json_as_programs_write_it_is_read(home: Path) -> None:
    classes = {"cat": 1.5, 'a "quoted" one': 1e-3, "Größe": 2, "猫": -1, "": 0, "<<": 4, "a: b": 5}
    for written in (
        json.dumps(classes),
        json.dumps(classes, indent="\t"),
        json.dumps(classes, indent=2, ensure_ascii=False),
        json.dumps(classes, separators=(",", ":")),
        "\ufeff" + json.dumps(classes).replace(",", ",\r\n"),
    ):
        (home / "w.json").write_text(written, encoding="utf-8")
        root = read_beside(Folder(str(home)), "w.json").root
        assert {name: child.value for name, child in root.value.items()} == classes


def test_lists_beyond_any_stack_end(home: Path) -> None:
    (home / "deep.json").write_text("[" * 500_000, encoding="utf-8")
    with pytest.raises((NotReadError, SourceError)):
        read_beside(Folder(str(home)), "deep.json")


def test_csv_as_programs_write_it_is_read(home: Path) -> None:
    for written in (
        "class,count\ncat,900\ndog,100\n",
        "class,count\r\ncat,900\r\ndog,100",
        '\ufeffClass, Count\n"cat","900"\n\n dog , 100 \n\n',
    ):
        (home / "c.csv").write_text(written, encoding="utf-8", newline="")
        beside = read_beside(Folder(str(home)), "c.csv")
        assert beside.column == "count"
        assert {name: child.value for name, child in beside.root.value.items()} == {
            "cat": 900,
            "dog": 100,
        }
    (home / "c.csv").write_text('class,weight\n"a ""b"", c",1e-1\n"two\nlines",2\n', "utf-8")
    root = read_beside(Folder(str(home)), "c.csv").root
    assert {name: child.value for name, child in root.value.items()} == {
        'a "b", c': 0.1,
        "two\nlines": 2,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "LR219 1:1 expected the header 'class,weight' or 'class,count', found ''"),
        ("cat,1\n", "LR219 1:1 expected the header"),
        ("class;weight\ncat;1\n", "LR219 1:1 expected the header"),
        ("weight,class\n1,cat\n", "LR219 1:1 expected the header"),
        (",class,weight\n0,cat,1\n", "LR219 1:1 expected the header"),
        ("class,weight\ncat,1,2\n", "LR219 2:1 expected two cells, a class and a weight, found 3"),
        ("class,weight\ncat,1\n\ndog\n", "LR219 4:1 expected two cells"),
        ('class,weight\ncat,1\n"dog,2\n', "LR219 3:1 a quote that is not closed"),
        ('class,weight\ncat,1\ndo"g,2\n', "LR219 3:1 a quote that is not closed"),
        (b"class,weight\ncat,\xe9\n", "LR002 2:5 the document is not UTF-8"),
    ],
    ids=repr,
)
def test_a_fault_of_csv_has_its_place(home: Path, text: str | bytes, expected: str) -> None:
    assert syntax_error(home, "wrong.csv", text).startswith(expected)


def test_a_long_line_of_blanks_is_read_in_one_go(home: Path) -> None:
    assert syntax_error(home, "wrong.csv", " " * 1_000_000 + '"').startswith("LR219")


def test_an_inherited_pipe_has_no_folder() -> None:
    if not Path("/dev/fd").exists():
        pytest.skip("this system does not name inherited files")
    reader, writer = os.pipe()
    with open(writer, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(b"terms: {a: {type: nll, params: {weight: {file: passwd.json}}}}")
    try:
        (fault,) = examine(f"/dev/fd/{reader}").diagnostics
    finally:
        os.close(reader)
    assert fault.code == "LR219"
    assert "this config is not in a file" in fault.message
