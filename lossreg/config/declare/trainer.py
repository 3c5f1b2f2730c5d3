"""The options of Lightning's Trainer that an experiment file may set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

__all__ = ["TrainerConfig"]


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "number"


_Count = Annotated[int, Field(ge=1)]
_Devices = Annotated[
    Annotated[_Count, Tag("number")] | Annotated[Literal["auto"], Tag("text")],
    Discriminator(_kind),
]


class TrainerConfig(BaseModel):
    """Options passed to Lightning's Trainer unchanged; Lightning's defaults apply to the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    max_epochs: _Count | None = Field(None, description="Stop after this many epochs.")
    max_steps: _Count | None = Field(None, description="Stop after this many optimizer steps.")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = Field(
        "auto", description="What to train on."
    )
    devices: _Devices = Field("auto", description="How many devices on each node, or auto.")
    num_nodes: _Count = Field(1, description="How many machines.")
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"] = Field(
        "auto", description="How several devices work together."
    )
    precision: Literal["32-true", "64-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"] = (
        Field("32-true", description="Floating-point precision.")
    )
    accumulate_grad_batches: _Count = Field(
        1, description="How many batches make one optimizer step."
    )
    gradient_clip_val: float | None = Field(
        None, gt=0, description="Clip the gradient's norm to this value."
    )
    log_every_n_steps: _Count = Field(50, description="How often a row of metrics is written.")
