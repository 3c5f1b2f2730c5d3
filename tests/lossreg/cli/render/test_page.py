from __future__ import annotations

import re

import pytest

from fake_distributions import Site, plugin
from lossreg.cli import main
from lossreg.cli.render.page import loss_page
from lossreg.cli.render.value import worked_in_words
from lossreg.config import examine
from lossreg.config.tools.divisors import divisors
from lossreg.registry import Registry

BUILT_INS = list(Registry.installed())


def page(name: str) -> str:
    return loss_page(Registry.installed()[name], "lossreg 0.1.0")


def read(text: str) -> str:
    """What a reader sees of escaped prose."""
    text = re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_page_tells_all_that_the_definition_says(name: str) -> None:
    definition = Registry.installed()[name]
    text = page(name)
    seen = read(text)
    assert seen.startswith(f"# {name}\n\n{definition.summary}.\n\n")
    assert seen.endswith("\n\nFrom lossreg 0.1.0.\n")
    for prose in (definition.use_when, definition.avoid_when):
        assert prose in seen
    assert f"$$\n{definition.formula}\n$$\n" in text
    for latex, meaning in definition.symbols.items():
        assert f"\n- ${latex}$: {meaning}\n" in text.replace("`", "").replace("\\_", "_")
    for reduction, divisor in divisors(definition).items():
        assert f"Its {reduction} divides by {divisor}." in seen
    assert worked_in_words(definition) in seen
    for parameter, field in definition.config.model_fields.items():
        (row,) = re.findall(rf"^\| `{parameter}` \| .+$", text, re.MULTILINE)
        assert read(row).endswith(f" | {field.description} |")
    for each in definition.inputs:
        (row,) = re.findall(rf"^\| `{each.name}` \| `.+$", text, re.MULTILINE)
        assert f"| {each.dtype} | {each.domain} | {'yes' if each.gradient else 'no'} |" in row
        assert read(row).endswith(f" | {each.meaning} |")
    for reference in definition.references:
        assert re.sub(r"(https?://\S+)", r"<\1>", reference) in seen


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_pages_example_is_a_config_without_a_fault(name: str) -> None:
    (example,) = re.findall(r"```yaml\n(.+?)```", page(name), re.DOTALL)
    assert f"type: {name}\n" in example
    assert examine(example.encode()).diagnostics == ()


def test_a_parameter_has_its_bounds_and_default() -> None:
    rows = page("cross_entropy").splitlines()
    assert any(
        each.startswith("| `label_smoothing` | number at least 0 and at most 1 | `0.0` | ")
        for each in rows
    )
    assert any(
        each.startswith(r'| `reduction` | mean \| sum \| none | `"mean"` | ') for each in rows
    )


def test_show_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--markdown", "l1"]) == 0
    assert capsys.readouterr().out.startswith("# l1\n")


def test_prose_of_a_plugin_is_not_taken_for_markup(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    prose = "a <script>b</script> | *c* [d](e) `f`\\n# g $h$"
    source = plugin("odd").replace('"made up"', f'"{prose}"')
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    assert main(["show", "--markdown", "odd"]) == 0
    out = capsys.readouterr().out
    expected = r"a &lt;script&gt;b&lt;/script&gt; \| \*c\* \[d\](e) \`f\` # g \$h\$."
    assert out.splitlines()[2] == expected
    assert "## Parameters" not in out
    assert "It gives one value." in out
    assert out.endswith("From acme 2.1.\n")


def test_neither_a_formula_nor_an_example_ends_its_block(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = r'formula="x\n$$\n# A", example="```\n# B"'
    source = plugin("odd").replace('summary="made up"', f'summary="made up", {ends}')
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": source})
    assert main(["show", "--markdown", "odd"]) == 0
    out = capsys.readouterr().out
    assert "\n```latex\nx\n$$\n# A\n```\n" in out
    assert "\n````yaml\nterms:\n  ```\n  # B\n````\n" in out
