from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from lossreg.config.declare.parameters import plain, validated
from lossreg.config.faults.faults import Faults
from lossreg.config.read.documents import read_document
from lossreg.config.read.nodes import Document, Node
from lossreg.config.read.python import from_python
from lossreg.errors import Diagnostic
from lossreg.plugin import ClassWeights, LossConfig, Reduction


class Config(LossConfig):
    """A parameter of each kind."""

    reduction: Reduction = "mean"
    count: int = Field(1, ge=1, lt=10, description="a count")
    ratio: float = Field(0.5, gt=0, le=1, description="a ratio")
    flag: bool = Field(default=False, description="a flag")
    word: str = Field("", description="a word")
    names: list[str] = Field(default_factory=list, description="names")
    table: dict[str, float] = Field(default_factory=dict, description="a table")
    weight: ClassWeights | None = Field(None, description="class weights")
    maybe: Annotated[int, Field(ge=0)] | None = Field(None, description="an integer or nothing")
    power: Literal[1, 2] = Field(1, description="a power")
    pair: tuple[int, float] = Field((1, 0.5), description="two numbers")
    sizes: tuple[int, ...] | None = Field(None, description="sizes")
    several: frozenset[int] = Field(frozenset(), description="numbers")
    few: list[tuple[int, int]] = Field(default_factory=list, max_length=2, description="pairs")

    @field_validator("word")
    @classmethod
    def _no_blank(cls, value: str) -> str:
        if " " in value:
            raise ValueError("expected no blank, " + "x" * 1000)
        return value


class Needy(LossConfig):
    """A parameter without a default."""

    gamma: float = Field(description="must be given")


class Whole(LossConfig):
    """A rule over several parameters."""

    low: float = Field(0.0, description="the lower end")
    high: float = Field(1.0, description="the upper end")

    @model_validator(mode="after")
    def _in_order(self) -> Whole:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Broken(LossConfig):
    """A validator with a fault of its own."""

    beta: float = Field(1.0, description="a number")

    @field_validator("beta")
    @classmethod
    def _fails(cls, value: float) -> float:
        return value / 0


class Renaming(LossConfig):
    """A validator that changes the names before they are judged."""

    low: float = Field(0.0, description="the lower end")

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name.lower(): value for name, value in values.items()}


class Odd(LossConfig):
    """Errors of its own that bear the names of pydantic's, and lack what those come with."""

    kind: str = Field("", description="the error's name")

    @field_validator("kind")
    @classmethod
    def _of_the_value(cls, kind: str) -> str:
        if kind.startswith("value:"):
            raise PydanticCustomError(kind.removeprefix("value:"), "it is odd")  # type: ignore[arg-type]
        return kind

    @model_validator(mode="after")
    def _of_the_whole(self) -> Odd:
        if self.kind:
            raise PydanticCustomError(self.kind, "it is odd")  # type: ignore[arg-type]
        return self


class Inner(BaseModel):
    """What a parameter may be made of."""

    model_config = ConfigDict(extra="forbid")

    size: int = 1


class Nested(LossConfig):
    """A parameter with parameters of its own."""

    inner: Inner = Field(Inner(), description="the inner ones")


class NoParameters(LossConfig):
    """Nothing to set."""


def read(text: str, model: type[Any] = Config) -> tuple[Any, list[Diagnostic]]:
    node, faults = read_document(Document("a.yaml", text)), Faults()
    config = validated(model, node, owner="huber", path="params", faults=faults)
    return config, faults.sorted()


def test_good_values() -> None:
    config, found = read("{reduction: sum, count: 9, ratio: 1, weight: [1, 2.0], maybe: ~}")
    assert found == []
    assert (config.reduction, config.count, config.ratio) == ("sum", 9, 1.0)
    assert (config.weight, config.maybe) == ((1.0, 2.0), None)


def test_a_list_makes_a_tuple_or_a_set() -> None:
    config, found = read("{pair: [2, 1], sizes: [3, 4], several: [5, 5], few: [[6, 7]]}")
    assert found == []
    assert (config.pair, config.sizes, config.several) == ((2, 1.0), (3, 4), frozenset({5}))
    assert config.few == [(6, 7)]


@pytest.mark.parametrize(
    ("text", "code", "path", "column", "message"),
    [
        ("{count: 0}", "LR202", "count", 9, "expected a number of at least 1, found 0"),
        ("{count: 10}", "LR202", "count", 9, "expected a number below 10, found 10"),
        ("{ratio: 0}", "LR202", "ratio", 9, "expected a number above 0, found 0"),
        ("{ratio: 1.5}", "LR202", "ratio", 9, "expected a number of at most 1, found 1.5"),
        ("{ratio: .nan}", "LR202", "ratio", 9, "found nan"),
        ("{ratio: .inf}", "LR202", "ratio", 9, "found inf"),
        ("{maybe: -1}", "LR202", "maybe", 9, "expected a number of at least 0, found -1"),
        ("{count: 1.5}", "LR201", "count", 9, "expected a whole number, found 1.5"),
        ("{count: 1.0}", "LR201", "count", 9, "expected a whole number, found 1.0"),
        ("{count: true}", "LR201", "count", 9, "expected a whole number, found true"),
        ("{count: }", "LR201", "count", 8, "expected a whole number, found nothing"),
        ("{count: x}", "LR201", "count", 9, "expected a whole number, found the string 'x'"),
        ("{count: '3'}", "LR201", "count", 9, "leave out the quotes"),
        ("{ratio: '0.5'}", "LR201", "ratio", 9, "leave out the quotes"),
        ("{ratio: half}", "LR201", "ratio", 9, "expected a number, found the string 'half'"),
        ("{ratio: {}}", "LR201", "ratio", 9, "expected a number, found a mapping"),
        ("{flag: 1}", "LR201", "flag", 8, "expected true or false, found 1"),
        ("{flag: 'true'}", "LR201", "flag", 8, "leave out the quotes"),
        ("{word: 1}", "LR201", "word", 8, "expected a string, found 1"),
        ("{names: x}", "LR201", "names", 9, "expected a list, found the string 'x'"),
        ("{names: [x, 1]}", "LR201", "names[1]", 13, "expected a string, found 1"),
        ("{table: 1}", "LR201", "table", 9, "expected a mapping, found 1"),
        ("{table: {a: x}}", "LR201", "table.a", 13, "expected a number, found the string 'x'"),
        ("{flag: yes}", "LR204", "flag", 8, "write true"),
        ("{flag: Off}", "LR204", "flag", 8, "write false"),
        ("{count: 007}", "LR204", "count", 9, "write 7"),
        ("{ratio: 1_0}", "LR204", "ratio", 9, "write 10"),
        ("{ratio: 12:30}", "LR204", "ratio", 9, "write a plain number"),
        ("{reduction: avg}", "LR203", "reduction", 13, "did you mean 'mean'?"),
        ("{reduction: Mean}", "LR203", "reduction", 13, "expected 'mean', 'sum' or 'none'"),
        ("{reduction: 1}", "LR203", "reduction", 13, "expected 'mean', 'sum' or 'none', found 1"),
        ("{reduction: }", "LR203", "reduction", 12, "found nothing"),
        ("{pair: 1}", "LR201", "pair", 8, "expected a list, found 1"),
        ("{pair: [1]}", "LR202", "pair", 8, "expected a longer list, found one of 1"),
        ("{pair: [1, 2, 3]}", "LR202", "pair", 8, "a list of 2 or fewer, found one of 3"),
        ("{pair: [1, x]}", "LR201", "pair[1]", 12, "expected a number, found the string 'x'"),
        ("{sizes: [1, 2.0]}", "LR201", "sizes[1]", 13, "expected a whole number, found 2.0"),
        ("{several: 1}", "LR201", "several", 11, "expected a list, found 1"),
        ("{few: [[1, 2], [1, x]]}", "LR201", "few[1][1]", 20, "expected a whole number"),
        ("{few: [[1, 2], [1, 2], [1, 2]]}", "LR202", "few", 7, "a list of 2 or fewer"),
        ("{power: 3}", "LR203", "power", 9, "expected 1 or 2, found 3"),
        ("{weight: [1, -1]}", "LR208", "weight[1]", 14, "expected no negative number"),
        ("{weight: [0, 0.0]}", "LR208", "weight", 10, "expected at least one number above 0"),
        ("{weight: []}", "LR208", "weight", 10, "expected at least one number"),
        ("{weight: [1, x]}", "LR201", "weight[1]", 14, "expected a number, found the string 'x'"),
        ("{weight: 2}", "LR201", "weight", 10, "expected a list, found 2"),
        ("{word: a b}", "LR209", "word", 8, "expected no blank, xxx"),
        ("{coun: 1}", "LR103", "coun", 2, "unknown parameter of 'huber'; did you mean 'count'?"),
        ("{class_weight: [1]}", "LR103", "class_weight", 2, "did you mean 'weight'?"),
        ("{size_average: true}", "LR103", "size_average", 2, "torch has retired it"),
        ("{reduce: true}", "LR103", "reduce", 2, "torch has retired it"),
        ("{zzz: 1}", "LR103", "zzz", 2, "it has reduction, count, ratio, flag"),
    ],
)
def test_refuses_in_its_own_words_at_its_place(
    text: str, code: str, path: str, column: int, message: str
) -> None:
    config, found = read(text)
    assert config is None
    assert [(each.code, each.path, each.column) for each in found] == [
        (code, f"params.{path}", column)
    ]
    assert message in found[0].message
    assert len(found[0].message) < 500
    for word in ("Input should", "pydantic", "type=", "http"):
        assert word not in found[0].message


def test_all_faults_at_once_in_order() -> None:
    _, found = read("count: 0\nratio: 2\nflag: 3\nzzz: 4\nnames: [5, a, 6]\n")
    assert [(each.line, each.column) for each in found] == [
        (1, 8),
        (2, 8),
        (3, 7),
        (4, 1),
        (5, 9),
        (5, 15),
    ]


def test_a_missing_parameter_stands_at_the_mappings_key() -> None:
    node, faults = read_document(Document("a.yaml", "params:\n  x: 1\n")), Faults()
    validated(
        Needy,
        node.value["params"],
        owner="focal",
        path="params",
        faults=faults,
        key=node.keys["params"],
    )
    missing, unknown = faults.sorted()
    assert (missing.code, missing.line, missing.column) == ("LR102", 1, 1)
    assert missing.message == "the parameter 'gamma' of 'focal' is missing"
    assert (unknown.code, unknown.line, unknown.column) == ("LR103", 2, 3)


def test_a_rule_over_several_parameters_stands_at_the_mapping() -> None:
    _, found = read("{low: 2, high: 1}", Whole)
    (fault,) = found
    assert (fault.code, fault.path, fault.column) == ("LR209", "params", 1)
    assert fault.message == "low is above high (found a mapping)"


def test_a_validator_that_fails_is_the_plugins_fault() -> None:
    _, (found,) = read("{beta: 2}", Broken)
    assert (found.code, found.path) == ("LR301", "params")
    assert "ZeroDivisionError" in found.message


def test_a_loss_without_parameters_says_so() -> None:
    _, (found,) = read("{gain: 2}", NoParameters)
    assert found.message == "unknown parameter of 'huber'; it has none"


def test_names_that_belong_elsewhere() -> None:
    node, faults = read_document(Document("a.yaml", "{enabled: true, count: 0}")), Faults()
    validated(
        Config,
        node,
        owner="huber",
        path="params",
        faults=faults,
        elsewhere={"enabled": "move it"}.get,
    )
    assert [(each.code, each.message) for each in faults.sorted()] == [
        ("LR103", "unknown parameter of 'huber'; move it"),
        ("LR202", "expected a number of at least 1, found 0"),
    ]


class Weighted(LossConfig):
    """Weights of several kinds, and a parameter that other libraries have under another name."""

    weight: float = Field(1.0, description="of the whole")
    class_weights: list[float] = Field(default_factory=list, description="of classes")
    beta: float = Field(1.0, description="where it turns")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("class_weight", "did you mean 'class_weights'?"),  # not 'weight', as elsewhere
        ("weights", "did you mean 'weight'?"),
        ("delta", "it has weight, class_weights, beta"),
        ("beta_", "did you mean 'beta'?"),
    ],
)
def test_a_near_name_goes_before_a_foreign_one(name: str, hint: str) -> None:
    found, *_ = read(f"{{{name}: [1]}}", Weighted)[1]
    assert found.message == f"unknown parameter of 'huber'; {hint}"


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("{coun: 0}", Config, [("LR103", "coun", 2), ("LR202", "coun", 8)]),
        ("{gama: x}", Needy, [("LR103", "gama", 2), ("LR201", "gama", 8)]),
        ("{lo: 2, high: 1}", Whole, [("LR209", "", 1), ("LR103", "lo", 2)]),
        ("{low: 2, upper_end: 5}", Whole, [("LR103", "upper_end", 10)]),
        ("{Low: 2, Colour: red}", Renaming, [("LR103", "", 1)]),
        ("{coun: 0, count: 1}", Config, [("LR103", "coun", 2)]),
        (
            "{coun: 0, conut: 0}",
            Config,
            [("LR103", "coun", 2), ("LR202", "coun", 8), ("LR103", "conut", 11)],
        ),
        ("{reduce: 3, flag: 3}", Config, [("LR103", "reduce", 2), ("LR201", "flag", 19)]),
        ("{count:0}", Config, [("LR103", "count:0", 2), ("LR202", "count:0", 8)]),
    ],
)
def test_a_misspelt_name_hides_no_other_fault(
    text: str, model: type[LossConfig], expected: list[tuple[str, str, int]]
) -> None:
    _, found = read(text, model)
    assert [(each.code, each.path, each.column) for each in found] == [
        (code, f"params.{name}" if name else "params", column) for code, name, column in expected
    ]


@pytest.mark.parametrize("where", ["", "value:"])
@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("missing", "LR209", "expected a value that 'huber' accepts"),
        ("literal_error", "LR209", "expected a value that 'huber' accepts"),
        ("greater_than", "LR209", "expected a value that 'huber' accepts"),
        ("too_long", "LR209", "expected a value that 'huber' accepts"),
        ("extra_forbidden", "LR103", "see `lossreg show huber`"),
        ("value_error", "LR209", "it is odd"),
        ("never_heard_of", "LR209", "expected a value that 'huber' accepts"),
    ],
)
def test_a_plugins_own_error_under_a_name_of_pydantics(
    where: str, kind: str, code: str, message: str
) -> None:
    if where and kind == "missing":
        code, message = "LR102", "the parameter 'kind' of 'huber' is missing"
    _, (found,) = read(f"{{kind: '{where}{kind}'}}", Odd)
    assert (found.code, found.line) == (code, 1)
    assert message in found.message


def test_an_unknown_name_inside_a_parameter() -> None:
    _, (found,) = read("{inner: {sizes: 1}}", Nested)
    assert (found.code, found.path, found.column) == ("LR103", "params.inner.sizes", 10)
    assert found.message == "unknown parameter of 'huber'; see `lossreg show huber`"


@pytest.mark.parametrize("name", ["self", "model", "data", "__init__", "", "a b", "model_config"])
def test_any_name_may_be_an_unknown_one(name: str) -> None:
    node, faults = Node({name: Node(1)}), Faults()
    node.keys[name] = None, 0, 0
    assert validated(Config, node, owner="huber", path="params", faults=faults) is None
    assert [each.code for each in faults.sorted()] == ["LR103"]


def test_of_very_many_faults_the_first_are_found() -> None:
    with pytest.raises(Exception, match="more than 1,000 faults"):
        read(f"{{weight: [{'x, ' * 3_000}]}}")
    with pytest.raises(Exception, match="more than 1,000 faults"):
        read(f"{{{', '.join(f'x{index}: 0' for index in range(3_000))}}}")


def test_very_many_unknown_names_from_python() -> None:
    names = {"x" * 60 + str(index): None for index in range(5_000)}
    faults = Faults()
    assert validated(Config, from_python(names), owner="huber", path="", faults=faults) is None
    assert {each.code for each in faults.sorted()} == {"LR103"}


def test_plain_values() -> None:
    assert plain(read_document(Document("a", "{a: [1, {b: x}], c: ~}"))) == {
        "a": [1, {"b": "x"}],
        "c": None,
    }
