"""Adding one thing touches the places that it promises to, and no other by hand.

Each is added to a copy of the repository as a newcomer would, and what knows all things of its kind
is run there. `make nightly` runs more of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from copies import Copy
from environments import ROOT

WRITTEN = ROOT / "tests" / "support" / "newcomer"
LOSS_TESTS = "tests/plugins/lossreg_losses"
# Where a new loss shows: what is asked of each loss, and the lists of all.
ASKED = "clipped_mse or test_list or test_names or table or declares or is_a_line"
OF_LOSSES = (
    "tests/plugins",
    "tests/test_built_ins.py",
    "tests/test_denominators_page.py",
    "tests/test_formulas.py",
    "tests/test_readme.py",
    "tests/lossreg/test_names.py",
    "tests/lossreg/cli/render/test_page.py",
    "tests/lossreg/cli/verbs/test_list.py",
    "tests/lossreg/cli/verbs/test_show.py",
    "tests/lossreg/runtime/test_micro_batches.py",
)


def text(name: str) -> str:
    return (WRITTEN / name).read_text(encoding="utf-8")


def with_clipped_mse(folder: Path) -> Copy:
    copy = Copy(folder)
    copy.add("plugins/lossreg_losses/clipped_mse.py", text("loss.py"))
    copy.add(f"{LOSS_TESTS}/test_clipped_mse.py", text("loss_tests.py"))
    line = 'clipped_mse = "lossreg_losses.clipped_mse"\n'
    copy.insert("pyproject.toml", line, before='cosine_embedding = "lossreg')
    return copy


@pytest.mark.nightly
def test_a_loss_is_its_file_its_test_and_a_line_of_pyproject(tmp_path: Path) -> None:
    copy = with_clipped_mse(tmp_path)
    copy.run_tests("-k", ASKED, "-m", "not nightly", *OF_LOSSES)
    assert copy.changed() == {
        "plugins/lossreg_losses/clipped_mse.py",
        "pyproject.toml",
        f"{LOSS_TESTS}/test_clipped_mse.py",
    }


@pytest.mark.nightly
@pytest.mark.parametrize(
    "tests",
    [
        ["-k", "clipped_mse", "tests/lossreg/cli", "tests/lossreg/runtime", "tests/plugins"],
        ["tests/lossreg/runtime/test_oracle.py", "-m", "not nightly"],
        ["tests/lossreg/registry", "tests/lossreg/config/test_corpus.py"],
        ["tests/docs", "tests/test_readme.py"],
    ],
    ids=["of each loss", "of random losses", "of names", "of documents"],
)
def test_whatever_looks_at_losses_passes_with_one_more(tmp_path: Path, tests: list[str]) -> None:
    with_clipped_mse(tmp_path).run_tests(*tests)


SCHEDULES = "lossreg/vocabulary/schedules.py"
TIDE = '''class Tide(Schedule):
    """Between two weights, one step each."""

    name = "tide"
    gives = "low where t is even, high where it is odd"

    low: float = Field(description="The weight at even times.")
    high: float = Field(description="The weight at odd times.")

    def turns(self) -> Iterable[int]:
        return 0, 1

    def value(self, t: int) -> float:
        return self.high if t % 2 else self.low


'''


@pytest.mark.nightly
def test_a_schedule_is_an_entry_of_the_table_and_its_test(tmp_path: Path) -> None:
    copy, test = Copy(tmp_path), "tests/lossreg/vocabulary/test_schedules.py"
    copy.insert(SCHEDULES, TIDE, before="SCHEDULES: dict")
    copy.insert(SCHEDULES, "Tide, ", before="Piecewise, Cyclic)")
    example = '    "tide": {"low": 0.5, "high": 2.0},\n'
    copy.insert(test, example, before='    "cyclic": {')
    by_hand = '        ("tide", {"low": 0.5, "high": 2.0}, {0: 0.5, 1: 2.0, 2: 0.5}),\n'
    copy.insert(test, by_hand, before='        ("constant", {"weight": 0.3}, {0:')
    assert copy.changed() == {SCHEDULES, test}
    copy.run_tests(
        "tests/lossreg/vocabulary",
        "tests/lossreg/config/declare/test_weights.py",
        "tests/lossreg/config/test_corpus.py",
        "tests/lossreg/config/faults/test_codes.py",
        "tests/test_composites_page.py",
        "tests/test_readme.py",
        "tests/docs",
    )


TRANSFORMS = "lossreg/vocabulary/transforms.py"


@pytest.mark.nightly
def test_a_transform_is_an_entry_of_the_table_and_its_test(tmp_path: Path) -> None:
    copy, test = Copy(tmp_path), "tests/lossreg/vocabulary/test_transforms.py"
    entry = '    TransformDefinition("halve", "half of the tensor", lambda tensor: tensor / 2),\n'
    copy.insert(TRANSFORMS, entry, before='    TransformDefinition("sigmoid"')
    copy.insert(test, '    ("halve", lambda x: x * 0.5),\n', before='    ("sigmoid", torch.sigm')
    assert copy.changed() == {TRANSFORMS, test}
    copy.run_tests(
        "tests/lossreg/vocabulary",
        "tests/lossreg/config/declare/test_arguments.py",
        "tests/lossreg/config/declare/test_routes.py",
        "tests/lossreg/config/test_corpus.py",
        "tests/lossreg/config/faults/test_codes.py",
        "tests/lossreg/runtime/test_router.py",
        "tests/lossreg/runtime/test_routing.py",
        "tests/test_composites_page.py",
        "tests/test_readme.py",
        "tests/docs",
    )


READ_TEXT = '''def read_text(node: Node, path: ConfigPath, faults: Faults) -> str | None:
    """Read a text."""
    if isinstance(node.value, str):
        return node.value
    faults.add("LR201", path, "expected a text", node)
    return None


'''
GRAMMAR = "lossreg/config/grammar.py"
READERS = "lossreg/config/declare/values.py"
MODELS = "lossreg/config/models.py"


@pytest.mark.nightly
def test_a_key_is_its_entry_its_reader_its_field_and_its_test(tmp_path: Path) -> None:
    copy, test = Copy(tmp_path), "tests/lossreg/config/declare/test_remark.py"
    entry = '    Key("remark", "text", "what its author says of it", default="", shown="none"),\n'
    copy.insert(GRAMMAR, entry, before='    Key(\n        "params",')
    reader = '        "text": lambda node, path, faults, *_: read_text(node, path, faults),\n'
    copy.insert(READERS, reader, before='        "weight": lambda')
    copy.insert(READERS, READ_TEXT, before="READERS: Mapping")
    copy.insert(MODELS, '    remark: str = ""\n', before="    origin: Origin | None = None\n")
    copy.add(test, text("key_tests.py"))
    assert copy.changed() == {GRAMMAR, READERS, MODELS, test}
    copy.run_tests(
        test,
        "tests/lossreg/config/test_corpus.py",
        "tests/docs/test_tables.py",
        "tests/test_composites_page.py",
    )
