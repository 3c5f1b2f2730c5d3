"""Class weights by name, from counts and from files: values, faults, and all that reads them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from lossreg.config import examine
from lossreg.config.declare.parameters import validated
from lossreg.config.faults.faults import Faults
from lossreg.config.fingerprint import fingerprint, in_words
from lossreg.config.loading import load_kept_experiment
from lossreg.config.read.documents import read_document
from lossreg.config.read.nodes import Document
from lossreg.config.tools.diff import differences
from lossreg.config.tools.documents import whole
from lossreg.config.tools.expand import expanded
from lossreg.experiments.folder import kept_config
from lossreg.plugin import ClassWeights, ElementWeights, Field, LossConfig, PositiveWeights
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTED = {"counts": [900, 100], "method": "inverse_frequency"}
NAMED = {"classes": ["cat", "dog"], "values": {"dog": 3.0, "cat": 1.0}}


def document(loss: str = "cross_entropy", **params: Any) -> dict[str, Any]:
    return {"terms": {"a": {"type": loss, "inputs": ["x", "y"], "params": params}}}


def params(source: Any, **options: Any) -> Any:
    return lossreg.load_config(source, **options).terms[0].params


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.json").write_text("[1.0, 2.5]", encoding="utf-8")
    (tmp_path / "c.json").write_text('{"dog": 100, "cat": 900}', encoding="utf-8")
    (tmp_path / "c.csv").write_text("class,count\ndog,100\ncat,900\n", encoding="utf-8")
    (tmp_path / "w.csv").write_text("class,weight\ndog,2.5\ncat,1.0\n", encoding="utf-8")
    return tmp_path


def written(
    folder: Path, weight: str, *, loss: str = "cross_entropy", name: str = "a.yaml"
) -> Path:
    file = folder / name
    key = "pos_weight" if "positives" in weight else "weight"
    text = f"terms:\n  a:\n    type: {loss}\n    inputs: [x, y]\n    params: {{{key}: {weight}}}\n"
    file.write_text(text, encoding="utf-8")
    return file


def faults(source: Any, **options: Any) -> list[str]:
    return [
        f"{fault.code} {Path(fault.file or '').name}:{fault.line}:{fault.column} {fault.path} "
        f"{fault.message}"
        for fault in examine(source, **options).diagnostics
    ]


ORDER = "{classes: [cat, dog], "
FORMS = {
    "{file: w.json}": (1.0, 2.5),
    f"{ORDER}file: w.json}}": (1.0, 2.5),
    f"{ORDER}file: w.csv}}": (1.0, 2.5),
    f"{ORDER}file: c.json, method: inverse_frequency}}": (1000 / 1800, 5.0),
    f"{ORDER}file: c.csv, method: inverse_frequency}}": (1000 / 1800, 5.0),
    f"{ORDER}counts: {{dog: 100, cat: 900}}, method: inverse_frequency}}": (1000 / 1800, 5.0),
    f"{ORDER}values: {{dog: 3, cat: 1}}}}": (1.0, 3.0),
    "{counts: [900, 100], method: inverse_frequency}": (1000 / 1800, 5.0),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_numbers_in_the_order_of_the_classes(form: str, folder: Path) -> None:
    file = written(folder, form)
    assert params(file).weight == FORMS[form]
    values = {"x": torch.randn(4, 2, dtype=torch.float64), "y": torch.tensor([0, 1, 1, 0])}
    expected = functional.cross_entropy(
        values["x"], values["y"], torch.tensor(FORMS[form], dtype=torch.float64)
    )
    assert lossreg.build(file).double()(values).total.equal(expected)


@pytest.mark.parametrize("form", FORMS)
def test_expanded_it_needs_no_other_file(form: str, folder: Path) -> None:
    file = written(folder, form)
    text = expanded(whole(file, None, Registry.installed()), "0").encode()
    assert b"file:" not in text
    assert b"method" not in text
    for again in (lossreg.load_config(text), lossreg.load_config(file)):
        assert again.terms[0].params == params(file)
        assert fingerprint(in_words(again)) == fingerprint(in_words(lossreg.load_config(file)))
    assert expanded(whole(text, None, Registry.installed()), "0").encode() == text


LISTS: list[Any] = [2.0, [3.0], [1.0, 2.0, 3.0], [[2.0]], [[1.0, 2.0, 3.0], [0.5, 0.0, 4.0]]]
OF_ENTRIES: dict[tuple[str, str], Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    ("bce", "weight"): functional.binary_cross_entropy,
    ("bce_with_logits", "weight"): lambda x, y, w: functional.binary_cross_entropy_with_logits(
        x, y, weight=w
    ),
    ("bce_with_logits", "pos_weight"): lambda x, y, w: functional.binary_cross_entropy_with_logits(
        x, y, pos_weight=w
    ),
}


@pytest.mark.parametrize("numbers", LISTS, ids=str)
@pytest.mark.parametrize(("loss", "name"), OF_ENTRIES)
@pytest.mark.parametrize("given", [list, np.asarray, torch.tensor], ids=["list", "array", "tensor"])
def test_numbers_for_entries_have_any_shape_that_torch_takes(
    loss: str, name: str, numbers: Any, given: Callable[[Any], Any]
) -> None:
    weight = numbers if given is list else given(numbers)
    x, y = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3)
    twin = x.detach().clone().requires_grad_()
    expected = OF_ENTRIES[loss, name](twin, y, torch.tensor(numbers))
    expected.backward()
    total = lossreg.build(document(loss, **{name: weight}))(x=x, y=y).total
    total.backward()
    assert total.equal(expected)
    assert x.grad is not None
    assert twin.grad is not None
    assert x.grad.equal(twin.grad)
    assert lossreg.create(loss, **{name: weight})(x, y).equal(expected)


@pytest.mark.parametrize("numbers", LISTS, ids=str)
def test_numbers_of_any_shape_are_exact_in_float64_and_after_moving(numbers: Any) -> None:
    tenth = (torch.tensor(numbers, dtype=torch.float64) / 10).tolist()
    loss = lossreg.build(document("bce", weight=tenth)).half().double()
    x, y = torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    expected = functional.binary_cross_entropy(x, y, torch.tensor(tenth, dtype=torch.float64))
    assert loss(x=x, y=y).total.equal(expected)
    assert loss.state_dict().keys().isdisjoint({"weight"})


def test_it_compiles_to_one_graph() -> None:
    loss = lossreg.build(document("bce_with_logits", weight=[[1.0, 2.0]], pos_weight=3.0))
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    x, y = torch.randn(4, 2), torch.rand(4, 2)
    assert compiled(x=x, y=y).total.equal(loss(x=x, y=y).total)


def test_positives_are_balanced_as_torchs_docs_say() -> None:
    rare = {"positives": [100, 300], "total": 400, "method": "neg_pos_ratio"}
    assert params(document("bce_with_logits", pos_weight=rare)).pos_weight == (3.0, 1 / 3)
    one = {"positives": 100, "total": 400, "method": "neg_pos_ratio"}
    assert params(document("bce_with_logits", pos_weight=one)).pos_weight == 3.0


def test_positives_may_come_from_a_file(folder: Path) -> None:
    (folder / "p.json").write_text("[100, 300]", encoding="utf-8")
    text = "{file: p.json, total: 400, method: neg_pos_ratio}"
    file = folder / "p.yaml"
    file.write_text(
        f"terms: {{a: {{type: bce_with_logits, params: {{pos_weight: {text}}}}}}}", encoding="utf-8"
    )
    assert params(file).pos_weight == (3.0, 1 / 3)


@pytest.mark.parametrize("counts", [np.array([900, 100]), torch.tensor([900, 100])])
def test_counts_may_be_an_array_or_a_tensor_in_python(counts: Any) -> None:
    weight = {**COUNTED, "counts": counts}
    assert params(document(weight=weight)).weight == (1000 / 1800, 5.0)
    module = lossreg.create("cross_entropy", weight=weight)
    assert torch.equal(module.weight, torch.tensor([1000 / 1800, 5.0]))


def test_one_loss_takes_the_same_forms() -> None:
    module = lossreg.create("nll", weight=NAMED)
    assert torch.equal(module.weight, torch.tensor([1.0, 3.0]))
    with pytest.raises(lossreg.ConfigError, match="is not one of 'classes'"):
        lossreg.create("nll", weight={**NAMED, "values": {"cow": 1.0}})


class OfOthers(LossConfig):
    """The parameters of a third party's loss."""

    alpha: ClassWeights | float | None = Field(None, description="A number a class, or one.")
    balance: PositiveWeights | None = Field(None, description="Of positives.")
    factors: ElementWeights = Field((1.0,), description="Of entries.")
    table: ClassWeights | dict[str, float] | None = Field(None, description="Has names itself.")
    heads: tuple[ClassWeights, ...] = Field((), description="A list for each head.")


def of_others(text: str) -> tuple[OfOthers | None, list[str]]:
    noted = Faults()
    node = read_document(Document("a.yaml", text))
    config = validated(OfOthers, node, owner="theirs", path="p", faults=noted)
    return config, [f"{fault.path} {fault.message}" for fault in noted.sorted()]


def test_a_third_partys_parameters_take_the_same_forms() -> None:
    config, noted = of_others(
        "alpha: {counts: [1, 3], method: inverse_frequency}\n"
        "balance: {positives: [1], total: 4, method: neg_pos_ratio}\n"
        "factors: [[1, 2]]\ntable: {values: 1.0}\n"
    )
    assert noted == []
    assert config is not None
    assert config.alpha == (2.0, 2 / 3)
    assert config.balance == (3.0,)
    assert config.factors == ((1.0, 2.0),)
    assert config.table == {"values": 1.0}


def test_one_run_finds_the_faults_of_class_weights_and_of_the_rest() -> None:
    config, noted = of_others(
        "alpha: {counts: [0, 3], method: inverse_frequency}\nbalance: [1, -1]\nfactors: {file: w}"
    )
    assert config is None
    assert [line.partition(" ")[0] for line in noted] == [
        "p.alpha.counts[0]",
        "p.balance[1]",
        "p.factors.file",
    ]


def test_a_misspelt_parameter_has_its_faults_found_as_well() -> None:
    noted = faults(document(class_weights={"classes": ["a"], "values": {"b": 1.0}}))
    assert "did you mean 'weight'?" in noted[0]
    assert "a.params.class_weights.values.b" in noted[1]


IN_FILE = {
    "[1.0,\n -2.5]": "LR208 w.json:2:2 terms.a.params.weight.file[1] expected no negative number",
    '[1.0, "2"]': "LR201 w.json:1:7 terms.a.params.weight.file[1] expected a number, found the "
    "string '2'; leave out the quotes",
    "[1.0, [2.0]]": "LR201 w.json:1:7 terms.a.params.weight.file[1] expected a number, found a "
    "list",
    "[1.0, NaN]": "LR201 w.json:1:7 terms.a.params.weight.file[1] expected a number, found the "
    "string 'NaN'",
    "[1.0, 1e400]": "LR202 w.json:1:7 terms.a.params.weight.file[1] expected a finite number",
    "[1.0, 1e39]": "LR202 w.json:1:7 terms.a.params.weight.file[1] expected 0, or a number that",
    "[1.0, null]": "LR201 w.json:1:7 terms.a.params.weight.file[1] expected a number, found "
    "nothing",
    "3.0": "LR201 w.json:1:1 terms.a.params.weight.file expected a list, or numbers by class",
    "[1.0": "LR219 w.json:1:5 terms.a.params.weight.file this is not valid JSON: Expecting ','",
}


@pytest.mark.parametrize("text", IN_FILE)
def test_a_fault_in_a_file_has_both_places(text: str, folder: Path) -> None:
    (folder / "w.json").write_text(text, encoding="utf-8")
    (found,) = faults(written(folder, "{file: w.json}"))
    assert found.startswith(IN_FILE[text])
    assert found.endswith(f" (named at {folder / 'a.yaml'}:5:29)")


def test_a_number_that_stands_twice_is_a_fault(folder: Path) -> None:
    (folder / "w.json").write_text('{"cat": 1,\n"dog": 2, "cat": 3}', encoding="utf-8")
    (found,) = faults(written(folder, f"{ORDER}file: w.json}}"))
    assert found.startswith("LR008 w.json:2:11 terms.a.params.weight.file duplicate key 'cat'")
    (folder / "w.csv").write_text("class,weight\ncat,1\ncat,1\ndog,1\n", encoding="utf-8")
    (found,) = faults(written(folder, f"{ORDER}file: w.csv}}"))
    assert found.startswith("LR008 w.csv:3:1 terms.a.params.weight.file duplicate class 'cat'")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{file: c.json}", "LR102 a.yaml:5:14 terms.a.params.weight the key 'classes' is missing"),
        (
            "{classes: [cat, dgo], file: w.csv}",
            "LR218 w.csv:1:1 terms.a.params.weight.file expected a number for each of 'classes'",
        ),
        (
            f"{ORDER}file: c.csv}}",
            "LR218 a.yaml:5:50 terms.a.params.weight.file the file has a column 'count', and there",
        ),
        (
            f"{ORDER}file: w.csv, method: inverse_frequency}}",
            "LR218 a.yaml:5:50 terms.a.params.weight.file 'inverse_frequency' takes counts, and",
        ),
        (
            "{classes: [a, b, c], file: w.json}",
            "LR218 w.json:1:1 terms.a.params.weight.file expected 3 numbers, one for each of",
        ),
        (
            "{file: w.json, method: inverse_frequency}",
            "LR201 w.json:1:2 terms.a.params.weight.file[0] expected a count, which is a whole",
        ),
        (
            "{file: w.json, beta: 0.9}",
            "LR218 a.yaml:5:37 terms.a.params.weight.beta 'beta' goes with counts, not with a file",
        ),
        ("{file: nothing.json}", "LR219 a.yaml:5:29 terms.a.params.weight.file cannot read"),
    ],
)
def test_a_file_that_does_not_fit_says_so(form: str, expected: str, folder: Path) -> None:
    assert faults(written(folder, form))[0].startswith(expected)


def test_zeros_in_a_file_are_refused_where_it_is_named(folder: Path) -> None:
    (folder / "w.json").write_text("[0, 0.0]", encoding="utf-8")
    (found,) = faults(written(folder, "{file: w.json}"))
    assert found.startswith("LR208 a.yaml:5:22 terms.a.params.weight expected at least one number")


@pytest.mark.parametrize("source", ["mapping", "bytes"])
def test_without_a_folder_a_file_is_refused(source: str) -> None:
    text = b"terms: {a: {type: nll, params: {weight: {file: w.json}}}}"
    config: Any = text if source == "bytes" else document("nll", weight={"file": "w.json"})
    (found,) = faults(config)
    assert "LR219" in found
    assert "terms.a.params.weight.file" in found
    assert "this config is not in a file; write the weights themselves" in found
    with pytest.raises(lossreg.ConfigError, match="this config is not in a file"):
        lossreg.create("nll", weight={"file": "w.json"})


def test_an_override_names_a_file_of_the_configs_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    Path("w.json").write_text("[7.0, 7.0]", encoding="utf-8")
    file = written(folder, "[1.0, 1.0]")
    override = "terms.a.params.weight={file: w.json}"
    assert params(file, overrides=[override]).weight == (1.0, 2.5)
    (found,) = faults(file, overrides=["terms.a.params.weight={file: ../w.json}"])
    assert "'..' is not allowed" in found
    assert faults(document(), overrides=[override])[0].startswith("LR219")


def test_the_content_of_a_file_is_part_of_the_fingerprint(folder: Path) -> None:
    file = written(folder, "{file: w.json}")
    before = lossreg.load_config(file)
    state = lossreg.build(file).state_dict()
    (folder / "w.json").write_text("[1.0, 2.25]", encoding="utf-8")
    after = lossreg.load_config(file)
    assert fingerprint(in_words(before)) != fingerprint(in_words(after))
    with pytest.warns(lossreg.ConfigWarning, match=r"'params.weight' of 'a' was \[1, 2.5\]"):
        lossreg.build(file).load_state_dict(state)
    (folder / "w.json").write_text("[1, 2.5]", encoding="utf-8")
    assert fingerprint(in_words(before)) == fingerprint(in_words(lossreg.load_config(file)))


def test_how_numbers_are_written_is_no_difference(folder: Path) -> None:
    registry = Registry.installed()
    read = [
        whole(written(folder, form, name=f"{place}.yaml"), None, registry)
        for place, form in enumerate((*list(FORMS)[3:6], "[0.5555555555555556, 5]"))
    ]
    for other in read[1:]:
        assert differences(read[0], other) == []
    changed = whole(written(folder, "{file: w.json}"), None, registry)
    (difference,) = differences(read[0], changed)
    assert (difference.what, difference.key) == ("a", "params.weight")
    assert difference.after.text == "[1, 2.5]"
    assert difference.after.place == f"{folder / 'a.yaml'}:5:22"


def test_a_file_is_read_once_for_all_its_terms(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossreg.config.read import beside

    opened: list[str] = []
    read = beside._bytes

    def counting(where: str, name: str) -> bytes:
        opened.append(name)
        return read(where, name)

    monkeypatch.setattr(beside, "_bytes", counting)
    text = "".join(
        f"  {name}: {{type: nll, params: {{weight: {{file: w.json}}}}}}\n" for name in "abc"
    )
    (folder / "a.yaml").write_text(f"terms:\n{text}", encoding="utf-8")
    loaded = lossreg.load_config(folder / "a.yaml")
    assert [term.params.weight for term in loaded.terms] == [(1.0, 2.5)] * 3  # type: ignore[attr-defined]
    assert opened == ["w.json"]
    lossreg.load_config(folder / "a.yaml")
    assert opened == ["w.json"] * 2


def test_an_anchored_mapping_is_judged_at_each_of_its_uses(folder: Path) -> None:
    (folder / "c.json").write_text("[900, 100]", encoding="utf-8")
    (folder / "a.yaml").write_text(
        "terms:\n"
        "  a: {type: nll, params: {weight: &w {file: c.json, method: inverse_frequency}}}\n"
        "  b: {type: bce_with_logits, params: {pos_weight: *w}}\n",
        encoding="utf-8",
    )
    (found,) = faults(folder / "a.yaml")
    assert "terms.b.params.pos_weight.method" in found


def test_what_a_run_keeps_needs_no_other_file(folder: Path) -> None:
    loss = "loss: {terms: {a: {type: cross_entropy, inputs: [logits, labels], params: {weight: "
    file = folder / "run.yaml"
    file.write_text(f"task: digits\n{loss}{{file: w.json}}}}}}}}}}\n", encoding="utf-8")
    experiment, kept = load_kept_experiment(file)
    text = kept_config(kept, "run.yaml", [])
    assert "w.json" not in text
    again, _ = load_kept_experiment(text.encode())
    assert again.loss.terms[0].params == experiment.loss.terms[0].params


def test_expanded_and_saved_elsewhere_another_process_computes_the_same_bits(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import subprocess

    form = f"{ORDER}file: c.csv, method: effective_number, beta: 0.9973}}"
    file = written(folder, form)
    saved = tmp_path_factory.mktemp("elsewhere") / "saved.yaml"
    saved.write_text(expanded(whole(file, None, Registry.installed()), "0"), encoding="utf-8")
    code = (
        "import json, sys, torch, lossreg; loss = lossreg.build(sys.argv[1]).double(); "
        "values = {'x': torch.arange(8, dtype=torch.float64).sin().view(4, 2), "
        "'y': torch.tensor([0, 1, 1, 0])}; "
        "print(json.dumps([loss.fingerprint, loss(values).total.item().hex()]))"
    )
    command = [sys.executable, "-c", code, str(saved)]
    there = json.loads(subprocess.check_output(command, text=True))
    loss = lossreg.build(file).double()
    values = {
        "x": torch.arange(8, dtype=torch.float64).sin().view(4, 2),
        "y": torch.tensor([0, 1, 1, 0]),
    }
    assert there == [loss.fingerprint, loss(values).total.item().hex()]


def test_checking_reads_files_without_torch(folder: Path) -> None:
    import subprocess

    file = written(folder, f"{ORDER}file: c.csv, method: inverse_frequency}}")
    code = (
        "import json, sys; from lossreg.cli import main; status = main(['check', sys.argv[1]]); "
        "print(json.dumps([status, 'torch' in sys.modules]))"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(file)], text=True)
    assert json.loads(output.splitlines()[-1]) == [0, False]
    (folder / "c.csv").write_text("class,count\ncat,900\ndog,0\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], text=True, capture_output=True, check=False
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [1, False]
    assert "c.csv:3:5" in done.stdout + done.stderr
