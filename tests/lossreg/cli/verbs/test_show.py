from __future__ import annotations

import io
import json
from typing import Any

import pytest

from fake_distributions import TASKS, Site, plugin, task_plugin
from lossreg.cli import main
from lossreg.cli.render.latex import unicode_text
from lossreg.cli.render.value import worked_in_words
from lossreg.config.tools.divisors import divisors
from lossreg.registry import Registry

BUILT_INS = list(Registry.installed())


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["show", name]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def shown_as_json(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["show", "--json", name]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", BUILT_INS)
def test_it_tells_all_that_the_definition_says(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = Registry.installed()[name]
    text = shown(name, capsys)
    words = " ".join(text.split())
    assert text.startswith(f"{name}: {definition.summary}\nfrom lossreg ")
    for said in (definition.use_when, definition.avoid_when, *definition.references):
        assert " ".join(said.split()) in words
    assert definition.formula
    for line in str(unicode_text(definition.formula)).splitlines():
        assert f"  {line}" in text.splitlines()
    for latex, meaning in definition.symbols.items():
        assert f"{unicode_text(latex)} {meaning}" in words
    for reduction, divisor in divisors(definition).items():
        assert f"Its {reduction} divides by {divisor}." in words
    assert worked_in_words(definition) in words
    assert definition.example
    for line in definition.example.splitlines():
        assert f"    {line}" in text.splitlines()
    for parameter, field in definition.config.model_fields.items():
        assert f"\n  {parameter}: " in text
        assert " ".join(str(field.description).split()) in words
    for each in definition.inputs:
        assert f"\n  {each.name} " in text
        for word in each.meaning.split():
            assert word in words


@pytest.mark.parametrize("name", BUILT_INS)
def test_json_tells_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    definition = Registry.installed()[name]
    assert definition.worked is not None
    found = shown_as_json(name, capsys)
    assert found["from"].startswith("lossreg ")
    for key in ("name", "summary", "use_when", "avoid_when", "formula", "symbols", "example"):
        assert found[key] == getattr(definition, key)
    assert found["references"] == list(definition.references)
    assert found["divided_by"] == divisors(definition)
    assert found["worked"] == definition.worked._asdict()
    assert found["compiles"] is definition.compiles
    assert found["parameters"] == definition.config.model_json_schema()
    assert [each["name"] for each in found["inputs"]] == [each.name for each in definition.inputs]
    assert set(found["inputs"][0]) == {
        "name",
        "meaning",
        "dtype",
        "shape",
        "domain",
        "gradient",
        "counted",
        "fill",
        "optional",
        "holds",
    }


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("smooth_l1", "  beta: number at least 0, default 1.0"),
        ("smooth_l1", '  reduction: mean | sum | none, default "mean"'),
        ("cross_entropy", "  weight: list of numbers, default none"),
        ("cross_entropy", "  ignore_index: integer, default -100"),
        ("cross_entropy", "  label_smoothing: number at least 0 and at most 1, default 0.0"),
        ("poisson_nll", "  log_input: true or false, default true"),
        ("triplet_margin", "  p: number above 0, default 2.0"),
    ],
)
def test_a_parameter_has_type_bounds_and_default(
    name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in shown(name, capsys).splitlines()


def test_an_input_has_shape_dtype_meaning_and_domain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = [" ".join(line.split()) for line in shown("nll", capsys).splitlines()]
    (target,) = [line for line in lines if line.startswith("target ")]
    assert target == "target N * int class indices (class index)"


def test_a_loss_that_breaks_a_compiled_graph_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(shown("ctc", capsys).split())
    assert "torch.compile The graph breaks at this loss, so fullgraph=True is refused" in words
    assert "torch.compile" not in shown("l1", capsys)


def test_a_loss_of_one_distribution_can_be_shown(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"l1": "acme_l1"}, {"acme_l1": plugin("l1")}, version="2.1")
    assert main(["show", "l1"]) == 1
    assert "write 'acme:l1' or 'lossreg:l1'" in capsys.readouterr().err
    assert shown("acme:l1", capsys).startswith("l1: made up\nfrom acme 2.1\n")


def test_what_a_definition_leaves_out_has_no_heading(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"bare": "acme_bare"}, {"acme_bare": plugin("bare")})
    headings = [line for line in shown("bare", capsys).splitlines() if line[:1].isupper()]
    assert headings == ["Inputs"]


def test_a_required_parameter_is_called_required(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    source = plugin("bare").replace("config=LossConfig", "config=Given") + (
        "\nfrom lossreg.plugin import Field\n"
        "class Given(LossConfig):\n"
        "    gamma: float = Field(gt=0, lt=1, description='A number.')\n"
    )
    site.add("acme", {"bare": "acme_bare"}, {"acme_bare": source})
    assert "  gamma: number above 0 and below 1, required" in shown("bare", capsys).splitlines()


@pytest.fixture
def tasks(site: Site) -> None:
    """A task, and one that bears the name of a loss."""
    modules = {"acme_tasks": task_plugin("line", "l1", "mse")}
    site.add(
        "acme", dict.fromkeys(("line", "l1"), "acme_tasks"), modules, version="2.1", group=TASKS
    )


@pytest.mark.usefixtures("tasks")
def test_a_task_is_shown_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("line", "acme:line"):
        assert shown(name, capsys) == "line: made up\nfrom acme 2.1\n"
    assert shown_as_json("line", capsys) == {
        "name": "line",
        "from": "acme 2.1",
        "summary": "made up",
    }
    assert main(["show", "--markdown", "line"]) == 0
    assert capsys.readouterr().out == "# line\n\nmade up.\n\nFrom acme 2.1.\n"


@pytest.mark.usefixtures("tasks")
def test_of_a_loss_and_a_task_of_one_name_one_is_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "l1"]) == 1
    assert capsys.readouterr().err == (
        "error: 'l1' is a loss and a task; write --kind loss or --kind task\n"
    )
    for kind, summary in (("loss", "Absolute error"), ("task", "made up")):
        assert main(["show", "l1", "--kind", kind]) == 0
        assert capsys.readouterr().out.startswith(f"l1: {summary}\n")
    assert shown("acme:l1", capsys).startswith("l1: made up\n")
    assert shown("lossreg:l1", capsys).startswith("l1: Absolute error\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zzz"], "unknown loss 'zzz'; `lossreg list` shows them all"),
        (["zzz", "--kind", "task"], "unknown task 'zzz'; `lossreg list --kind task` shows"),
        (["digit"], "unknown task 'digit'; did you mean 'digits'?"),
        (["digit", "--kind", "loss"], "unknown loss 'digit'; `lossreg list` shows them all"),
        (["L1Loss"], "unknown loss 'L1Loss'; did you mean 'l1'?"),
    ],
)
def test_a_name_that_nobody_has_is_answered_with_a_near_one_of_any_kind(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", *words]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def with_formula(site: Site, formula: str) -> None:
    source = plugin("bare").replace("config=LossConfig", f"formula={formula!r}, config=LossConfig")
    site.add("acme", {"bare": "acme_bare"}, {"acme_bare": source})


def test_a_formula_that_cannot_be_shown_otherwise_is_shown_as_it_is(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with_formula(site, r"\oint x")
    assert "\n\nFormula (LaTeX)\n  \\oint x\n" in shown("bare", capsys)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [("ascii", r"  \ell = (x - y)^2"), ("utf-8", "  \N{SCRIPT SMALL L} = (x - y)²")],
)
def test_a_terminal_without_unicode_gets_latex(
    encoding: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["show", "mse"]) == 0
    assert line in written.getvalue().decode(encoding).splitlines()
