"""Every schedule of the table: values by hand, and what holds of all of them.

A new schedule adds an example to `EXAMPLES` and values to `test_values_by_hand`. What a property of
all schedules needs it draws from their fields.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, get_args, get_origin

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lossreg.config import load_config
from lossreg.config.models import Weight
from lossreg.vocabulary import schedules as table
from lossreg.vocabulary.schedules import SCHEDULES, Schedule

RAMPS = ("linear", "cosine", "exponential")
EXAMPLES: dict[str, dict[str, Any]] = {
    "constant": {"weight": 0.3},
    "linear": {"start": 0.0, "end": 1.0, "steps": 4},
    "cosine": {"start": 1.0, "end": 0.1, "steps": 500},
    "exponential": {"start": 1.0, "end": 1e-4, "steps": 4},
    "piecewise": {"between": "lines", "points": [[0, 0.0], [10, 1.0], [10, 5.0], [20, 3.0]]},
    "cyclic": {"start": 0.0, "end": 1.0, "steps": 8, "ramp": 0.5},
}

weights = st.floats(-1e300, 1e300).filter(lambda number: number == 0 or abs(number) > 1e-300)
positive = st.floats(1e-300, 1e300)
lengths = st.one_of(st.integers(1, 10_000), st.integers(1, 10**30))
times = st.one_of(st.integers(0, 20_000), st.integers(0, 10**31))


def schedule(name: str, **options: Any) -> Schedule:
    return SCHEDULES[name](**(options or EXAMPLES[name]))


@st.composite
def ramps(draw: st.DrawFn) -> Schedule:
    name = draw(st.sampled_from(RAMPS))
    ends = positive if name == "exponential" else weights
    sign = draw(st.sampled_from([1, -1])) if name == "exponential" else 1
    start, end = sign * draw(ends), sign * draw(ends)
    return schedule(name, start=start, end=end, steps=draw(lengths))


@st.composite
def piecewise(draw: st.DrawFn) -> Schedule:
    steps = sorted(draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=6)))
    return schedule("piecewise", between="lines", points=[[step, draw(weights)] for step in steps])


@st.composite
def cyclic(draw: st.DrawFn) -> Schedule:
    ramp = draw(st.floats(1e-300, 1.0))
    return schedule(
        "cyclic", start=draw(weights), end=draw(weights), steps=draw(lengths), ramp=ramp
    )


def values_of(annotation: Any, metadata: Any, numbers: Any, whole: Any) -> st.SearchStrategy[Any]:
    """Values of a field of a schedule, which keep its bounds."""
    bounds = {key: value for each in metadata for key, value in vars_of(each).items()}
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return values_of(inner, more, numbers, whole)
    if get_origin(annotation) is tuple:
        return st.tuples(*(values_of(each, (), numbers, whole) for each in get_args(annotation)))
    if get_origin(annotation) is list:
        (inner,) = get_args(annotation)
        elements = values_of(inner, (), numbers, whole)
        least = bounds.get("min_length", 0)
        return st.lists(elements, min_size=least, max_size=least + 5).map(sorted)
    if annotation is float and bounds:
        return st.floats(
            bounds.get("gt", bounds.get("ge")),
            bounds.get("lt", bounds.get("le")),
            exclude_min="gt" in bounds,
            exclude_max="lt" in bounds,
        )
    if annotation is int:
        return whole.filter(lambda number: number >= bounds.get("ge", number))
    if annotation is float:
        return numbers
    return st.sampled_from(get_args(annotation))


def vars_of(constraint: Any) -> dict[str, Any]:
    """What a constraint of a field says, by name: `{"ge": 1}`."""
    names = ("gt", "ge", "lt", "le", "min_length")
    if constraint.__class__.__name__ == "FieldInfo":
        return {key: value for each in constraint.metadata for key, value in vars_of(each).items()}
    return {name: getattr(constraint, name) for name in names if hasattr(constraint, name)}


@st.composite
def schedules(draw: st.DrawFn, numbers: Any = weights, whole: Any = lengths) -> Schedule:
    """Any schedule of the table, its arguments drawn from what its fields say of them."""
    model = SCHEDULES[draw(st.sampled_from(sorted(SCHEDULES)))]
    options = {
        name: draw(values_of(field.annotation, field.metadata, numbers, whole))
        for name, field in model.model_fields.items()
    }
    try:
        return model(**options)
    except ValidationError:  # its rule over several of them
        reject()


checked = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("constant", {"weight": 0.3}, {0: 0.3, 1: 0.3, 10**9: 0.3}),
        # a quarter of the way each
        ("linear", {"start": 2.0, "end": 0.0, "steps": 4}, {0: 2.0, 1: 1.5, 3: 0.5, 4: 0.0}),
        # (1 - cos(pi / 3)) / 2 = 1/4, (1 - cos(pi / 2)) / 2 = 1/2, (1 - cos(2 pi / 3)) / 2 = 3/4
        (
            "cosine",
            {"start": 0.0, "end": 8.0, "steps": 6},
            {0: 0.0, 2: 2.0, 3: 4.0, 4: 6.0, 6: 8.0},
        ),
        # a tenth each
        (
            "exponential",
            {"start": 1.0, "end": 1e-4, "steps": 4},
            {0: 1.0, 1: 0.1, 2: 0.01, 3: 1e-3, 4: 1e-4},
        ),
        ("exponential", {"start": -1.0, "end": -4.0, "steps": 2}, {0: -1.0, 1: -2.0, 2: -4.0}),
        # before the first point its weight, after the last one its own
        (
            "piecewise",
            {"between": "lines", "points": [[2, 1.0], [4, 3.0]]},
            {0: 1.0, 2: 1.0, 3: 2.0, 4: 3.0, 99: 3.0},
        ),
        # up to 1 just before step 10, where it jumps to 5
        (
            "piecewise",
            {"between": "lines", "points": [[0, 0.0], [10, 1.0], [10, 5.0], [20, 3.0]]},
            {0: 0.0, 5: 0.5, 9: 0.9, 10: 5.0, 15: 4.0, 20: 3.0},
        ),
        # of several points at one step, the last counts from there on
        (
            "piecewise",
            {"between": "lines", "points": [[0, 1.0], [0, 2.0], [0, 3.0]]},
            {0: 3.0, 1: 3.0},
        ),
        # each weight until the next point, and two points at one step as above
        (
            "piecewise",
            {"between": "steps", "points": [[2, 1.0], [4, 3.0], [4, 5.0], [9, 0.0]]},
            {0: 1.0, 2: 1.0, 3: 1.0, 4: 5.0, 8: 5.0, 9: 0.0, 99: 0.0},
        ),
        # four steps from 0 to 1, four at 1, and again
        (
            "cyclic",
            {"start": 0.0, "end": 1.0, "steps": 8, "ramp": 0.5},
            {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 7: 1.0, 8: 0.0, 9: 0.25, 15: 1.0, 16: 0.0},
        ),
        # a saw tooth
        (
            "cyclic",
            {"start": 2.0, "end": 0.0, "steps": 4, "ramp": 1.0},
            {0: 2.0, 1: 1.5, 3: 0.5, 4: 2.0},
        ),
    ],
)
def test_values_by_hand(name: str, options: dict[str, Any], expected: dict[int, float]) -> None:
    found = {t: schedule(name, **options).value(t) for t in expected}
    assert found == pytest.approx(expected, rel=1e-14)


@checked
@given(ramp=ramps(), after=times)
def test_a_ramp_is_its_start_at_0_and_its_end_from_its_last_step_on(ramp: Any, after: int) -> None:
    assert ramp.value(0) == ramp.start
    assert ramp.value(ramp.steps) == ramp.end
    assert ramp.value(ramp.steps + after) == ramp.end


@checked
@given(ramp=ramps(), first=times, second=times)
def test_a_ramp_goes_one_way(ramp: Any, first: int, second: int) -> None:
    earlier, later = ramp.value(min(first, second)), ramp.value(max(first, second))
    # log and exp may be an ulp out, of a logarithm of up to 691
    slack = 1e-12 * max(abs(earlier), abs(later)) if ramp.name == "exponential" else 0.0
    assert (later - earlier) * (1 if ramp.end >= ramp.start else -1) >= -slack


@checked
@given(found=schedules(), t=times)
def test_a_weight_is_finite_and_within_its_bounds(found: Schedule, t: int) -> None:
    least, greatest = found.bounds()
    weight = found.value(t)
    assert math.isfinite(weight)
    assert least <= weight <= greatest


FAR = [10**power for power in (3, 6, 9, 12, 15, 18, 21, 24, 27, 30)]


@settings(checked, max_examples=500)
@given(found=schedules(whole=st.integers(0, 12)))
def test_its_bounds_are_true_and_attained(found: Schedule) -> None:
    # Beyond three periods of at most 12, all far times stand for what is approached.
    seen = [found.value(t) for t in [*range(40), *FAR]]
    assert found.bounds() == (min(seen), max(seen))


@pytest.mark.parametrize(
    ("name", "options", "bounds"),
    [
        # The second point counts from step 0 on, so the first one never does.
        ("piecewise", {"between": "lines", "points": [[0, -1.0], [0, 2.0], [4, 3.0]]}, (2.0, 3.0)),
        # Down to 1 at step 10, where it has jumped: at step 9 it is 1.2.
        ("piecewise", {"between": "lines", "points": [[0, 3.0], [10, 1.0], [10, 5.0]]}, (1.2, 5.0)),
        # It turns back before its end.
        ("cyclic", {"start": 1.0, "end": 0.0, "steps": 4, "ramp": 1.0}, (0.25, 1.0)),
        ("cyclic", {"start": 1.0, "end": 0.0, "steps": 1}, (1.0, 1.0)),
    ],
)
def test_bounds_are_of_what_counts(
    name: str, options: dict[str, Any], bounds: tuple[float, float]
) -> None:
    assert schedule(name, **options).bounds() == pytest.approx(bounds, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear", {"start": -2.0, "end": 0.1, "steps": 10**17}),
        ("exponential", {"start": 1e-3, "end": 0.1, "steps": 10**17}),
        ("piecewise", {"between": "lines", "points": [[0, -2.0], [10**17, 0.1]]}),
        ("cyclic", {"start": -2.0, "end": 0.1, "steps": 10**17, "ramp": 1.0}),
    ],
)
def test_rounding_never_leaves_the_bounds(name: str, options: dict[str, Any]) -> None:
    # -2 + (0.1 - -2) and exp(log(0.1)) are a little more than 0.1
    assert -2 + (0.1 - -2) > 0.1
    assert math.exp(math.log(0.1)) > 0.1
    assert schedule(name, **options).value(10**17 - 1) == 0.1


@checked
@given(found=cyclic(), t=times, cycles=st.integers(0, 10**6))
def test_a_cycle_comes_back(found: Any, t: int, cycles: int) -> None:
    assert found.value(t + cycles * found.steps) == found.value(t)
    assert found.value(cycles * found.steps) == found.start


@checked
@given(found=piecewise(), t=times)
def test_piecewise_goes_through_its_points(found: Any, t: int) -> None:
    for step, weight in dict(found.points).items():
        assert found.value(step) == weight
    last, weight = found.points[-1]
    assert found.value(last + t) == weight


@checked
@given(found=schedules(), order=st.lists(times, min_size=1, max_size=5))
def test_a_weight_depends_on_the_time_alone(found: Schedule, order: list[int]) -> None:
    first = [found.value(t) for t in order]
    assert [found.value(t) for t in reversed(order)] == first[::-1]
    twin = type(found)(**found.model_dump(mode="python"))
    assert [twin.value(t) for t in order] == first
    assert twin == found


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_field_is_described(name: str) -> None:
    described = {key: field.description for key, field in SCHEDULES[name].model_fields.items()}
    assert all(text and text.endswith(".") for text in described.values()), described


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_is_known_by_its_name_and_moves_by_steps(name: str) -> None:
    found = schedule(name)
    assert found.name == name
    assert found.unit == "step"
    assert str(found).startswith(f"{name}(unit='step', ")


def test_every_schedule_has_an_example() -> None:
    assert set(EXAMPLES) == set(SCHEDULES)


def test_every_model_is_in_the_table() -> None:
    models = [each for each in vars(table).values() if isinstance(each, type)]
    named = {each for each in models if issubclass(each, Schedule) and hasattr(each, "name")}
    assert named == set(SCHEDULES.values())


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_a_config_reads_it(name: str, unit: str) -> None:
    written = {"schedule": name, "unit": unit, **EXAMPLES[name]}
    (term,) = load_config({"terms": {"fit": {"type": "mse", "weight": written}}}).terms
    expected = schedule(name, unit=unit, **EXAMPLES[name])
    least, greatest = expected.bounds()
    weight = Weight(least) if least == greatest else Weight(schedules=(expected,))
    assert term.weight == weight


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_says_what_it_gives_in_a_row_of_the_docs(name: str) -> None:
    assert SCHEDULES[name].gives.strip(". ") == SCHEDULES[name].gives
    assert not set(SCHEDULES[name].gives) & set("|\n")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("linear", {"start": 0.0, "end": 1.0}),
        ("linear", {"start": 0.0, "end": 1.0, "steps": 0}),
        ("linear", {"start": 0.0, "end": 1.0, "steps": 2.5}),
        ("linear", {"start": math.nan, "end": 1.0, "steps": 2}),
        ("linear", {"start": True, "end": 1.0, "steps": 2}),
        ("linear", {"start": 0.0, "end": 1.0, "steps": 2, "unit": "batch"}),
        ("linear", {"start": 0.0, "end": 1.0, "steps": 2, "period": 3}),
        ("exponential", {"start": 0.0, "end": 1.0, "steps": 2}),
        ("exponential", {"start": 1.0, "end": -1.0, "steps": 2}),
        ("piecewise", {"between": "lines", "points": []}),
        ("piecewise", {"between": "lines", "points": [[4, 1.0], [2, 1.0]]}),
        ("piecewise", {"between": "lines", "points": [[-1, 1.0]]}),
        ("piecewise", {"between": "lines", "points": [[1, 2.0, 3.0]]}),
        ("cyclic", {"start": 0.0, "end": 1.0, "steps": 2, "ramp": 0.0}),
        ("cyclic", {"start": 0.0, "end": 1.0, "steps": 2, "ramp": 1.5}),
    ],
)
def test_what_means_nothing_is_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SCHEDULES[name](**wrong)
