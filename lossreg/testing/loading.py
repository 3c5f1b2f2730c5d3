"""Whether a plugin is loaded without torch, as `lossreg list`, `show` and `check` do it."""

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

# Here torch is in the process already. There, an import of it is noted and refused, so that one
# process serves many plugins: once imported, torch could be laid at nobody's door.
_PROBE = """
import json, sys, traceback
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint

given = json.load(sys.stdin)
sys.path[:] = given["path"]
from lossreg.errors import LossregError
from lossreg.registry import LOSSES, Registry

class Refusal:
    place = None

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "torch" else None

    def create_module(self, spec):
        stack = traceback.extract_stack()[:-1]
        place = [each for each in stack if "importlib" not in each.filename][-1]
        self.place = f"{place.filename} imports torch in line {place.lineno}"
        raise ImportError("torch was to stay away")

    def exec_module(self, module):
        pass

faults = {}
for name, module in given["entry_points"].items():
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
    """What goes wrong where a loss is loaded and torch may not be imported; None if nothing does.

    Args:
        loss: The loss's name.
        entry: Where it is from. The other losses of its distribution are loaded with it, for
            starting Python takes longer than all of them.
    """
    together = {
        entry_point.name: entry_point.value
        for entry_point, owner in Environment().group(LOSSES.group).usable
        if owner is not None and owner.name == entry.distribution
    }
    together[loss] = entry.module
    return _faults(json.dumps({"path": sys.path, "entry_points": together})).get(loss)


@functools.cache
def _faults(given: str) -> dict[str, str]:
    done = subprocess.run(  # noqa: S603 - this Python, and a program that stands above
        [sys.executable, "-c", _PROBE], input=given, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found
