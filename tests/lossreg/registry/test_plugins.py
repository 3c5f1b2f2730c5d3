from __future__ import annotations

import copy
import pickle
from importlib.metadata import distribution

from lossreg.registry.distributions import InstalledDistribution
from lossreg.registry.kinds import LOSSES
from lossreg.registry.plugins import Origin, Plugin


def origin_in_pydantic() -> Origin:
    return Origin.of("pydantic.main", InstalledDistribution(distribution("pydantic")))


def test_an_origin_says_where_a_definition_is_from() -> None:
    version = distribution("pydantic").version
    origin = origin_in_pydantic()
    assert (origin.distribution, origin.version) == ("pydantic", version)
    assert (origin.claimant, origin.release) == ("pydantic", f"pydantic {version}")
    assert str(origin) == f"pydantic {version}, pydantic.main"


def test_an_origin_without_a_distribution_is_its_module() -> None:
    origin = Origin("acme.losses")
    assert (origin.distribution, origin.version, origin.release) == (None, None, "")
    assert origin.claimant == str(origin) == "acme.losses"


def test_an_origin_crosses_processes() -> None:
    origin = origin_in_pydantic()
    for twin in (pickle.loads(pickle.dumps(origin)), copy.deepcopy(origin)):
        assert (twin, str(twin)) == (origin, str(origin))


def test_metadata_is_read_once_and_not_before_it_is_asked_for() -> None:
    class Counting:
        reads = 0
        name = "acme"

        @property
        def version(self) -> str:
            self.reads += 1
            return "1.0"

    dist = Counting()
    installed = InstalledDistribution(dist)  # type: ignore[arg-type]
    plugin = Plugin(LOSSES, "acme", installed, lambda: None)
    assert dist.reads == 0
    assert {str(plugin.origin), str(plugin.origin)} == {"acme 1.0, acme"}
    assert dist.reads == 1
