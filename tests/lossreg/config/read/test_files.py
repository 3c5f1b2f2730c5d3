from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lossreg.config.declare.parameters import plain
from lossreg.config.read.files import read_file
from lossreg.config.read.nodes import SourceError


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, words in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "this is a folder"),
        (tmp_path / ("x" * 300), "the file cannot be read"),
        (Path("a\0b"), "the file cannot be read"),
    ]:
        with pytest.raises(SourceError, match=words) as raised:
            read_file(path)
        assert raised.value.code == "LR001"
        assert raised.value.document is not None
        assert raised.value.document.name == str(path)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no such files")
def test_what_is_no_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.yaml")
    Path("zero.yaml").symlink_to("/dev/zero")
    Path("input.yaml").symlink_to("/dev/null")
    Path("folder.yaml").mkdir()
    Path("link.yaml").symlink_to("folder.yaml")
    opened: list[Path] = []
    monkeypatch.setattr(Path, "open", lambda path, *_: opened.append(path))
    for name, words in {
        "socket.yaml": "this is a socket; a config is a regular file, or standard input",
        "zero.yaml": "this is a device; a config is",
        "input.yaml": "this is a device",
        "/dev/null": "this is a device",
        "folder.yaml": "this is a folder, not a file",
        "link.yaml": "this is a folder",
    }.items():
        with pytest.raises(SourceError, match=words) as raised:
            read_file(Path(name))
        assert raised.value.code == "LR001"
    assert opened == []


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no such names")
def test_a_pipe_that_was_handed_over_is_read_to_its_end(tmp_path: Path) -> None:
    for name in ("/dev/fd/{}", "/proc/self/fd/{}"):
        if not Path(name.format(0)).parent.exists():
            continue
        reading, writing = os.pipe()
        os.write(writing, b"a: 1\n")
        os.close(writing)
        path = Path(name.format(reading))
        linked = tmp_path / f"{len(name)}.yaml"
        linked.symlink_to(path)
        try:
            with pytest.raises(SourceError, match="this is a named pipe"):
                read_file(linked)
            document, root = read_file(path)
        finally:
            os.close(reading)
        assert (document.name, plain(root)) == (str(path), {"a": 1})


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\r\n")
    document, root = read_file(path)
    assert (document.name, plain(root)) == (str(path), {"a": 1})
