"""Check that a plugin loads without torch, as `lossreg list`, `show` and `check` load it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from lossreg.registry import LOSSES
from lossreg.registry.distributions import Environment

if TYPE_CHECKING:
    from lossreg.registry import RegistryEntry

__all__ = ["fault_without_torch"]

# A process of its own, because this one has imported torch. It notes and refuses imports of torch:
# if torch were imported once, no later plugin in the process could be seen to import it.
_PROBE = """
import json, sys, traceback
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint

request = json.load(sys.stdin)
sys.path[:] = request["path"]
from lossreg.errors import LossregError
from lossreg.registry import LOSSES, Registry

class Refusal:
    place = None

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "torch" else None

    def create_module(self, spec):
        stack = traceback.extract_stack()[:-1]
        place = [frame for frame in stack if "importlib" not in frame.filename][-1]
        self.place = f"{place.filename} imports torch in line {place.lineno}"
        raise ImportError("torch must not be imported")

    def exec_module(self, module):
        pass

faults = {}
for name, module in request["entry_points"].items():
    refusal = Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        Registry([EntryPoint(name, module, LOSSES.group)])[name].config.model_json_schema()
    except LossregError as error:
        faults[name] = str(error)
    finally:
        sys.meta_path.remove(refusal)
    if refusal.place is not None:
        faults[name] = refusal.place
json.dump(faults, sys.stdout)
"""


def fault_without_torch(loss: str, entry: RegistryEntry) -> str | None:
    """Load a loss without torch, and return what fails; None if nothing does.

    Args:
        loss: The loss's name.
        entry: Its registry entry. The other losses of its distribution are loaded with it, because
            starting Python takes longer than loading all of them.
    """
    together = {
        entry_point.name: entry_point.value
        for entry_point, owner in Environment().group(LOSSES.group).usable
        if owner is not None and owner.name == entry.distribution
    }
    together[loss] = entry.module
    return _faults(json.dumps({"path": sys.path, "entry_points": together})).get(loss)


@functools.cache
def _faults(request: str) -> dict[str, str]:
    done = subprocess.run(  # noqa: S603 - this Python runs the program above
        [sys.executable, "-c", _PROBE], input=request, capture_output=True, text=True, check=True
    )
    faults: dict[str, str] = json.loads(done.stdout)
    return faults
