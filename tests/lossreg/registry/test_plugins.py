from __future__ import annotations

import copy
import pickle
from importlib.metadata import distribution

from lossreg.registry.distributions import Owner
from lossreg.registry.plugins import Origin


def test_an_origin_says_who_brought_it() -> None:
    version = distribution("pydantic").version
    origin = Origin("pydantic.main", Owner(distribution("pydantic")))
    assert (origin.distribution, origin.version) == ("pydantic", version)
    assert (origin.claimant, origin.release) == ("pydantic", f"pydantic {version}")
    assert str(origin) == f"pydantic {version}, pydantic.main"


def test_an_origin_without_a_distribution_is_its_module() -> None:
    origin = Origin("acme.losses")
    assert (origin.distribution, origin.version, origin.release) == (None, None, "")
    assert origin.claimant == str(origin) == "acme.losses"


def test_an_origin_crosses_processes_as_its_words() -> None:
    origin = Origin("pydantic.main", Owner(distribution("pydantic")))
    for twin in (pickle.loads(pickle.dumps(origin)), copy.deepcopy(origin)):
        assert str(twin) == str(origin)


def test_metadata_is_read_once_and_not_before_it_is_asked_for() -> None:
    class Counting:
        reads = 0
        name = "acme"

        @property
        def version(self) -> str:
            self.reads += 1
            return "1.0"

    dist = Counting()
    origin = Origin("acme", Owner(dist))  # type: ignore[arg-type]
    assert dist.reads == 0
    assert {str(origin), str(origin), f"{origin.release}, acme"} == {"acme 1.0, acme"}
    assert dist.reads == 1


def test_origins_are_equal_if_they_say_the_same() -> None:
    one, twin = (Origin("pydantic.main", Owner(distribution("pydantic"))) for _ in range(2))
    assert one == twin
    assert hash(one) == hash(twin)
    assert one != Origin("pydantic.main")
    assert one != str(one)
    assert repr(one) == f"<{one}>"
