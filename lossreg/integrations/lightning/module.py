"""A LightningModule that is trained by objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.utils import _pytree

from lossreg.errors import InputError, LossregError
from lossreg.integrations.accumulation import OptimizerStep, known_values
from lossreg.integrations.averaging import Average
from lossreg.integrations.lightning.batches import Batches
from lossreg.integrations.lightning.callback import ObjectiveCallback
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import Denominators
from lossreg.runtime.output import LossOutput

__all__ = ["ObjectiveModule"]


class ObjectiveModule(LightningModule):  # type: ignore[misc]
    """A LightningModule whose training step is an objective.

    A subclass computes the step's values in `values` and configures its optimizer. Before the first
    forward pass of each optimizer step the terms' denominators are added up over the micro-batches
    of `accumulate_grad_batches` and over the ranks, and Lightning's own division is undone, so
    gradients equal those of one big batch. For this all batches of one step are held in memory, as
    the dataloader returns them; hooks that change a batch on its way to the device must not change
    what `targets` reads. A step of one micro-batch on one rank needs no counting.

    A validation or test step averages the objective over the whole set, as if it were one batch
    (see `lossreg.integrations.averaging.Average`), and logs it as `val/loss/total` and so on.

    `self.objective` is part of the module, so its progress is in the checkpoint. Several objectives
    are in `self.objectives`, an `nn.ModuleDict`. They need manual optimization: set
    `self.automatic_optimization = False` and write a `training_step` that calls
    `self.compute(values, name)` for each of them and steps the optimizers.

    Args:
        objective: What to minimise, from `lossreg.build`; or several by name, from
            `lossreg.build_objectives`.
        names: The names of a batch's parts, if it is a tuple or a list: `("image", "labels")`.
        micro_batches: With manual optimization, the number of batches after which optimizers step;
            `is_last_micro_batch` says when. Otherwise `accumulate_grad_batches` is that number.
        optimizers: With several optimizers, whose steps move which objective's schedules, if that
            does not follow from their order; as `ObjectiveCallback` takes it, with names such as
            `objectives.generator`.
    """

    def __init__(
        self,
        objective: CompositeLoss | Mapping[str, CompositeLoss],
        *,
        names: Sequence[str] | None = None,
        micro_batches: int = 1,
        optimizers: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self._has_several = isinstance(objective, Mapping)
        if isinstance(objective, Mapping):
            self.objectives = nn.ModuleDict(objective)
        else:
            self.objective = objective
        self._names = names
        self._micro_batches = micro_batches
        self._movers = optimizers
        self._window: OptimizerStep | None = None
        self._averages: dict[tuple[int, str | None], Average] = {}

    def values(self, batch: Any) -> Any:
        """A step's values for the objective: the batch, and the network's output for it.

        A subclass must override it.

        Args:
            batch: The batch that Lightning passes to `training_step`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `values(batch)`")

    def targets(self, batch: Any) -> Any:
        """The part of a step's values that is known before the forward pass.

        Targets, masks, sample weights and lengths, under the same names as in `values`. By default
        the batch itself, if it has names, or its parts under the `names` of this module.

        Args:
            batch: A batch as the dataloader returns it, on any device.

        Raises:
            InputError: The batch has no names, or the names do not fit it.
        """
        try:
            return known_values(batch, self._names)
        except InputError as error:
            raise InputError(
                f"{error}; or override {type(self).__name__}.targets(batch) to return a mapping of "
                "what is known before the forward pass"
            ) from None

    def denominators(self, micro_batches: Sequence[Any]) -> Denominators:
        """What the terms of one optimizer step divide by.

        Override it if only some of the ranks share a batch (`group=`), or if the strategy sums
        gradients over the ranks instead of averaging them (`world_size=1`).

        Args:
            micro_batches: The result of `targets` for each micro-batch of this rank.
        """
        denominators: Denominators = self.objective.denominators(micro_batches)
        return denominators

    def denominators_of(self, name: str, micro_batches: Sequence[Any]) -> Denominators:
        """As `denominators`, for one of several objectives.

        Args:
            name: The objective.
            micro_batches: The result of `targets` for each micro-batch of this rank.
        """
        return self._named(name).denominators(micro_batches)

    def log_objective(self, out: LossOutput) -> None:
        """Log an optimizer step: once per step, with the sums over its micro-batches.

        With several ranks, each logs its own part times the number of ranks; the mean over the
        ranks, which `sync_dist=True` computes, is the step's value. Override it to log other
        values.

        Args:
            out: The step's values, detached.
        """
        self.log_dict(out.log_dict("train/"))

    def log_objective_of(self, name: str, out: LossOutput) -> None:
        """As `log_objective`, for one of several objectives.

        Args:
            name: The objective.
            out: The step's values, detached.
        """
        self.log_dict(out.log_dict(f"train/{name}/"))

    @property
    def is_last_micro_batch(self) -> bool:
        """Whether the optimizer steps after the current batch."""
        return self._window is None or self._window.is_last

    def compute(self, values: Any, name: str | None = None) -> LossOutput:
        """An objective's share of the current training step; the step's last one is logged.

        Args:
            values: The micro-batch's values.
            name: Which of several objectives.

        Returns:
            The output. Its total is what `backward` takes: with automatic optimization it is
            multiplied by the number that Lightning divides it by.

        Raises:
            InputError: The values do not fit the objective.
            LossregError: The step's denominators were not counted.
        """
        objective = self._named(name)
        step = self._window
        if step is None:
            # Lightning's tuners run without the module's callbacks.
            if self.trainer.accumulate_grad_batches > 1 or self.trainer.world_size > 1:
                raise LossregError(
                    "the callback that counts denominators does not run: a tuner left it out (use "
                    "accumulate_grad_batches=1 on one device while tuning), or configure_callbacks "
                    "was overridden without super().configure_callbacks()"
                )
            step = OptimizerStep([None])
        out = step.compute(objective, values)
        if step.is_last:
            summed = step.summed(objective)
            if name is None:
                self.log_objective(summed)
            else:
                self.log_objective_of(name, summed)
        return out

    def _objectives(self) -> dict[str | None, CompositeLoss]:
        if not self._has_several:
            return {None: self.objective}
        objectives: Any = self.objectives.items()
        return dict(objectives)

    def _named(self, name: str | None) -> CompositeLoss:
        objectives = self._objectives()
        if name not in objectives:
            raise LossregError(
                f"{type(self).__name__} has one objective, without a name; found {name!r}"
                if None in objectives
                else f"expected the name of an objective ({', '.join(map(str, objectives))}), "
                f"found {name!r}"
            )
        return objectives[name]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """The objective's total, multiplied by the number that Lightning divides it by.

        Raises:
            InputError: The values do not fit the objective.
            LossregError: The step's denominators were not counted, or optimization is manual.
        """
        del batch_idx
        if not self.automatic_optimization:
            raise LossregError(
                f"{type(self).__name__} sets automatic_optimization=False, but the training_step "
                "that it inherits needs Lightning's automatic optimization: write a training_step "
                "that calls self.compute(values), self.manual_backward(out.total) and the optimizer"
            )
        return self.compute(self.values(batch)).total

    # These signatures, so that a subclass may have any of those that Lightning allows.
    def validation_step(self, batch: Any, *indices: Any, **named: Any) -> None:
        """Add the batch to the average that is logged at the epoch's end."""
        self._average(batch, *indices, **named)

    def test_step(self, batch: Any, *indices: Any, **named: Any) -> None:
        """As `validation_step`; logged as `test/loss/total` and so on."""
        self._average(batch, *indices, **named)

    def _average(self, batch: Any, batch_idx: int = 0, dataloader_idx: int = 0) -> None:
        del batch_idx
        values, size = self.values(batch), _rows(batch)
        for name, objective in self._objectives().items():
            average = self._averages.setdefault((dataloader_idx, name), Average(objective))
            average.add(values, size)

    def configure_callbacks(self) -> list[Callback]:
        """The callbacks that read batches ahead, move the schedules and log averages."""
        self._hide_validation()
        return [ObjectiveCallback(self._movers), Batches()]

    def _hide_validation(self) -> None:
        """Without validation data, be a module without a `validation_step`.

        Lightning warns of a module that has one without data, and asks for it after this hook.
        """
        self.__dict__.pop("validation_step", None)
        trainer = self._trainer
        if (
            trainer is not None
            and trainer.state.fn == TrainerFn.FITTING
            and type(self).validation_step is ObjectiveModule.validation_step
            and not trainer.fit_loop.epoch_loop.val_loop._data_source.is_defined()  # noqa: SLF001
        ):
            self.__dict__["validation_step"] = partial(LightningModule.validation_step, self)


def _rows(batch: Any) -> int:
    """The number of rows of a batch's first tensor."""
    leaves = _pytree.tree_leaves(batch)
    return next((len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()), 1)
