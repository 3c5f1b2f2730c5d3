from __future__ import annotations

import pytest

import lossreg.config.read.documents
from yaml_faults import PARSERS


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers, in turn, whichever PyYAML was built with."""
    loader = PARSERS[request.param]
    if loader is None:
        pytest.skip("PyYAML was built without the C parser")
    monkeypatch.setattr(lossreg.config.read.documents, "_LOADER", loader)
