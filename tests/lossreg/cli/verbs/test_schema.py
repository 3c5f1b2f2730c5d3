"""`lossreg schema`, and a YAML language server that uses what it prints."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lossreg.cli import main

SERVER = shutil.which("yaml-language-server")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["schema", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_prints_the_schema_of_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    checked = jsonschema.Draft202012Validator(printed(capsys))
    assert checked.is_valid({"terms": {"a": {"type": "lossreg:mse"}}})
    assert not checked.is_valid({"terms": {"a": {"type": "dice"}}})
    assert not checked.is_valid({"task": "digit", "loss": {"terms": {"a": {"type": "mse"}}}})


def test_it_prints_the_schema_of_one_loss(capsys: pytest.CaptureFixture[str]) -> None:
    checked = jsonschema.Draft202012Validator(printed(capsys, "--loss", "mse"))
    assert checked.is_valid({"type": "mse", "weight": 0.5})
    assert main(["schema", "--loss", "mes"]) == 1
    assert "did you mean 'mse'?" in capsys.readouterr().err


def test_a_plugin_that_is_not_installed_is_in_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_losses.py").write_text(
        "from lossreg.plugin import *\n"
        "class OwnConfig(LossConfig):\n"
        "    gain: float = Field(1.0, gt=0, description='How steep.')\n"
        "@hookimpl\n"
        "def lossreg_losses():\n"
        "    return [LossDefinition(name='own', config=OwnConfig, build=print,\n"
        "        inputs=(LossInput(name='input', meaning='x'),), summary='Own')]\n"
    )
    monkeypatch.chdir(tmp_path)
    checked = jsonschema.Draft202012Validator(printed(capsys, "--plugin", "own_losses"))
    own = {"type": "own", "inputs": ["x"]}
    assert checked.is_valid({"terms": {"a": {**own, "params": {"gain": 2}}}})
    assert not checked.is_valid({"terms": {"a": {**own, "params": {"gain": 0}}}})


class Client:
    """Speaks the language server protocol over the standard streams of a process."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._numbers = count(1)
        self.noted: list[dict[str, Any]] = []

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, method: str, params: Any, **more: Any) -> None:
        text = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
        self._process.stdin.flush()

    def ask(self, method: str, params: Any) -> Any:
        number = next(self._numbers)
        self.tell(method, params, id=number)
        while True:
            message = self._next()
            if message.get("id") == number and "method" not in message:
                return message["result"]

    def wait_for(self, method: str) -> Any:
        while True:
            message = self._next()
            if message.get("method") == method:
                return message["params"]

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        size = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        message: dict[str, Any] = json.loads(self._process.stdout.read(size))
        if "method" in message and "id" in message:  # the server asks for its settings
            answer = [{}] * len((message["params"] or {}).get("items", ()))
            text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer}).encode()
            assert self._process.stdin is not None
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
            self._process.stdin.flush()
        return message


@pytest.fixture
def client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Client]:
    assert SERVER is not None
    (tmp_path / "lossreg.schema.json").write_text(json.dumps(printed(capsys)))
    found = Client([SERVER, "--stdio"])
    found.ask("initialize", {"processId": None, "rootUri": tmp_path.as_uri(), "capabilities": {}})
    found.tell("initialized", {})
    yield found
    found.close()


DOCUMENT = """\
# yaml-language-server: $schema=lossreg.schema.json
terms:
  seg:
    type: cross_entropy
    wieght: 0.5
    params: {label_smothing: 0.1}
  other:
    type: CrossEntropyLoss
  more:
    type: smooth_l1
    params:
      b
    we
"""


@pytest.mark.skipif(SERVER is None, reason="yaml-language-server is not installed")
def test_an_editor_validates_and_completes(client: Client, tmp_path: Path) -> None:
    uri = (tmp_path / "loss.yaml").as_uri()
    item = {"uri": uri, "languageId": "yaml", "version": 1, "text": DOCUMENT}
    client.tell("textDocument/didOpen", {"textDocument": item})
    while not (found := client.wait_for("textDocument/publishDiagnostics"))["diagnostics"]:
        pass
    lines = {fault["range"]["start"]["line"] for fault in found["diagnostics"]}
    assert {4, 5, 7} <= lines  # the misspelt key, parameter and loss

    def completed(line: int, character: int) -> set[str]:
        place = {"line": line, "character": character}
        params = {"textDocument": {"uri": uri}, "position": place}
        answer = client.ask("textDocument/completion", params)
        return {entry["label"] for entry in answer["items"]}

    assert {"cross_entropy", "mse", "ctc"} <= completed(7, 10)
    assert {"beta", "reduction"} <= completed(11, 7)
    assert {"weight", "inputs", "mask"} <= completed(12, 6)
