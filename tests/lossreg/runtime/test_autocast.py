"""Half precision: what is computed in it is weighted and summed in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError

# What torch 2.6 to 2.13 say, on CUDA alone.
TORCHS_REFUSAL = (
    "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\n"
    "Many models use a sigmoid layer right before the binary cross entropy layer.\n"
)
REBUILD = {"rebuild": {"type": "bce", "inputs": ["pixels", "image"]}}


def fits(count: int, **fields: Any) -> dict[str, Any]:
    term = {"type": "mse", "weight": 0.1, "inputs": ["p", "y"], **fields}
    return {f"t{index}": term for index in range(count)}


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_sum_of_half_precision_terms_is_float32(count: int, dtype: torch.dtype) -> None:
    loss = lossreg.build({"terms": fits(count)})
    p = torch.linspace(0, 3, 8).to(dtype).requires_grad_()
    out = loss(p=p, y=torch.ones(8, dtype=dtype))
    assert out.total.dtype == torch.float32
    assert {each.dtype for each in out.weights.values()} == {torch.float32}
    raw = out.terms["t0"].double().item()
    assert out.total.item() == pytest.approx(count * 0.1 * raw, rel=1e-6)
    out.total.backward()
    assert p.grad is not None
    assert p.grad.dtype == dtype


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_sum_under_autocast_is_float32(count: int) -> None:
    torch.manual_seed(0)
    layer, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randn(6, 3)
    loss = lossreg.build({"terms": fits(count)})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p = layer(x)
        out = loss(p=p, y=y)
        raw = nn.functional.mse_loss(p, y).detach()
    assert p.dtype == torch.bfloat16
    assert out.total.dtype == torch.float32
    assert torch.equal(out.terms["t0"], raw)
    assert out.total.item() == pytest.approx(count * 0.1 * raw.item(), rel=1e-6)
    out.total.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    "how", [{"mask": "keep"}, {"sample_weight": "w", "divide_by": "weights"}, {"ignore": 2}]
)
def test_a_mean_is_divided_in_float32(how: dict[str, Any]) -> None:
    # 1,000 entries: bfloat16 counts no further than 256.
    loss = lossreg.build({"terms": fits(1, weight=1.0, **how)})
    values = {
        "p": torch.full((1_000,), 3.0, dtype=torch.bfloat16, requires_grad=True),
        "y": torch.ones(1_000, dtype=torch.bfloat16),
        "keep": torch.ones(1_000, dtype=torch.bool),
        "w": torch.full((1_000,), 0.5),
    }
    assert loss(values).total.item() == 4.0


def test_bce_under_autocast_on_the_cpu_is_computed_in_float32() -> None:
    p, y = torch.tensor([0.3, 0.6], dtype=torch.bfloat16), torch.tensor([0.0, 1.0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = lossreg.build({"terms": REBUILD})(pixels=p, image=y).total
    assert torch.equal(total, nn.functional.binary_cross_entropy(p.float(), y))


def test_where_torch_refuses_bce_under_autocast_the_error_names_what_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Tensor, **__: Any) -> Tensor:
        raise RuntimeError(TORCHS_REFUSAL)

    monkeypatch.setattr(nn.functional, "binary_cross_entropy", refuse)
    loss = lossreg.build({"terms": REBUILD})
    with pytest.raises(InputError, match="bce_with_logits") as raised:
        loss(pixels=torch.full((2,), 0.5), image=torch.ones(2))
    assert str(raised.value).startswith("term 'rebuild': bce (lossreg ")
    assert "unsafe to autocast" in str(raised.value)
    assert raised.value.term == "rebuild"
