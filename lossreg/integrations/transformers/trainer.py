"""Hugging Face's Trainer with an objective."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint

from lossreg.errors import LossregError
from lossreg.integrations.accumulation import OptimizerStep, known_values
from lossreg.integrations.transformers.callback import Moves, ObjectiveCallback
from lossreg.integrations.transformers.checkpoint import load, save
from lossreg.integrations.transformers.evaluation import Evaluation
from lossreg.integrations.transformers.learned import add_to_optimizer, average_gradients
from lossreg.integrations.transformers.log import StepLog, numbers_of
from lossreg.integrations.transformers.values import merged, names_read
from lossreg.runtime.composite import CompositeLoss

__all__ = ["ObjectiveMixin", "ObjectiveTrainer"]

_Base: Any = Trainer if TYPE_CHECKING else object


class ObjectiveMixin(_Base):  # type: ignore[misc]
    """Makes a Trainer minimise an objective: `class Mine(ObjectiveMixin, Seq2SeqTrainer)`.

    It comes first among the parent classes. The objective's values are the batch and the model's
    output. What each term divides by is counted over all micro-batches of
    `gradient_accumulation_steps` and all ranks before the first forward pass of an optimizer step,
    and Trainer divides by nothing, so gradients equal those of one big batch.

    Schedules move once per optimizer step, those that count epochs once per epoch. Progress and
    learned weights are in each checkpoint, in `objective.pt`, and come back on resume and with
    `load_best_model_at_end`. Learned weights are in the optimizer without weight decay, and their
    gradients are averaged over the ranks; `max_grad_norm` does not count them. The log has every
    term, weight and weighted value as the mean over the steps since its last entry; an evaluation
    has them as the true mean over the set, as `eval_loss/NAME` and so on, and the objective's total
    as `eval_loss`.

    Args:
        args: Trainer's own arguments.
        objective: What to minimise, from `lossreg.build`.
        kwargs: Trainer's own arguments.

    Raises:
        LossregError: The Trainer's other arguments do not go with an objective.
        TypeError: It is not an objective.
    """

    def __init__(self, *args: Any, objective: CompositeLoss, **kwargs: Any) -> None:
        if not isinstance(objective, CompositeLoss):
            raise TypeError(
                "expected objective=lossreg.build(...), found a "
                f"{type(objective).__name__}; for a compiled objective call objective.compile()"
            )
        self.objective = objective
        self._step: OptimizerStep | None = None
        self._evaluation: Evaluation | None = None
        self._is_computed = False
        self._step_log = StepLog()
        self._names = names_read(objective.config)
        self.compute_loss_func: Any
        self.label_names: list[str]
        self.can_return_loss: bool
        self._signature_columns: list[str]
        super().__init__(*args, **kwargs)
        self._refuse_what_it_would_ignore()
        # Where there is one, no Trainer divides by the number of micro-batches.
        self.compute_loss_func = _refuse_to_be_called
        if not self.label_names and self.args.label_names is None and "labels" in self._names:
            self.label_names = ["labels"]
        objective.to(self.args.device)
        learned = objective.weighting.learned
        if learned is not None:
            learned.watch.averaged()
        self._first_state = copy.deepcopy(objective.state_dict())
        self.add_callback(Moves(objective))

    def values(self, inputs: Any, outputs: Any) -> Any:
        """A micro-batch's values for the objective: the batch, and the model's output for it.

        By default both by their names. A name that the objective reads must not be in both, unless
        it is the same object; of other names the batch's is taken.

        Args:
            inputs: The batch, on the device.
            outputs: What the model returned.

        Raises:
            InputError: The output has no names, or a name is in both.
        """
        return merged(inputs, outputs, self._names)

    def targets(self, inputs: Any) -> Any:
        """The part of a micro-batch's values that is known before the forward pass.

        Targets, masks, sample weights and lengths, under the same names as in `values`. By default
        the batch itself.

        Args:
            inputs: The batch as the dataloader returns it.

        Raises:
            InputError: The batch has no names.
        """
        return known_values(inputs)

    def model_inputs(self, inputs: Any) -> dict[str, Any]:
        """The keywords that the model is called with.

        The batch, without what only the objective reads: names that it reads and the model's
        `forward` does not have. Also without `labels`, from which a model would compute a loss of
        its own, if the objective reads them and not this `loss`, `forward` has a default for them,
        and the model does not make its decoder's inputs from them.

        Args:
            inputs: The batch, on the device.
        """
        parameters = self._forward_parameters()
        given = {
            name: value
            for name, value in inputs.items()
            if name in parameters or name not in self._names
        }
        if self._leaves_out_labels(parameters, given):
            del given["labels"]
        return given

    def _leaves_out_labels(self, parameters: Any, given: dict[str, Any]) -> bool:
        if "labels" not in given or "labels" not in self._names or "loss" in self._names:
            return False
        parameter = parameters.get("labels")
        if parameter is not None and parameter.default is inspect.Parameter.empty:
            return False
        config = getattr(self.model, "config", None)
        makes_inputs = bool(getattr(config, "is_encoder_decoder", False))
        return not makes_inputs or any(name.startswith("decoder_input") for name in given)

    def _forward_parameters(self) -> Any:
        model = self.accelerator.unwrap_model(self.model)
        if hasattr(model, "get_base_model"):  # PEFT's own forward has no names
            model = model.get_base_model()
        return inspect.signature(type(model).forward).parameters

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns = self._signature_columns
        # Trainer removes what forward does not have, and an optional term would be absent.
        columns += [name for name in self._names if name not in columns]

    def _refuse_what_it_would_ignore(self) -> None:
        if self.compute_loss_func is not None:
            raise LossregError(
                "the loss is the objective: give objective= or compute_loss_func=, not both"
            )
        if self.label_smoother is not None:
            raise LossregError(
                "label_smoothing_factor would not reach the objective: write label_smoothing "
                "under the params of its term, and leave it out of the TrainingArguments"
            )

    def _refuse_what_cannot_be_right(self) -> None:
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, ObjectiveCallback):
                raise LossregError(
                    "ObjectiveCallback is for a Trainer with loss_function(objective); this one "
                    "moves the schedules itself: remove the callback"
                )
        if any(module is self.objective for module in self.model.modules()):
            raise LossregError(
                "the objective is a part of the model, where its parameters are averaged over the "
                "ranks and saved a second time: leave it out of the model"
            )
        parallelism = {
            name: getattr(self, f"get_{name}_size", int)() for name in ("tp", "cp", "sp")
        }
        parted = [name for name, size in parallelism.items() if size > 1]
        if parted:
            raise LossregError(
                f"ranks that share a sample ({', '.join(parted)}_size above 1) are not supported: "
                "what terms divide by would be counted several times"
            )
        is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if is_sharded and any(each.requires_grad for each in self.objective.parameters()):
            raise LossregError(
                "the objective has parameters that are learned, which FSDP and DeepSpeed do not "
                "know outside of the model: use DistributedDataParallel"
            )

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's optimizer, which also has the objective's parameters.

        Learned weights have no weight decay. An optimizer that was given must have them.

        Raises:
            LossregError: An optimizer was given, and it lacks parameters of the objective.
        """
        is_given = self.optimizer is not None
        optimizer = super().create_optimizer(*args, **kwargs)
        decayed = self.get_decay_parameter_names(self.objective)
        add_to_optimizer(
            optimizer, self.objective, decayed, self.args.weight_decay, is_given=is_given
        )
        return optimizer

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trainer's `train`, which also resumes the objective.

        Raises:
            LossregError: The objective would not be right under these arguments.
            StateError: The checkpoint has no state of the objective, or another objective's.
        """
        self._refuse_what_cannot_be_right()
        if self.model_init is not None:  # each trial begins with a new model
            self.objective.load_state_dict(self._first_state)
        checkpoint = resume_from_checkpoint
        if checkpoint is True:
            checkpoint = get_last_checkpoint(self.args.output_dir)
        if checkpoint:
            load(self.objective, checkpoint)
        self._step_log = StepLog()
        try:
            return super().train(resume_from_checkpoint, *args, **kwargs)
        finally:
            self._step = None

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """An optimizer step's micro-batches, after counting what its terms divide by."""
        batches, count = super().get_batch_samples(*args, **kwargs)
        self.objective.train()
        self._step = OptimizerStep(batches, known=self.targets)
        if batches:
            self._step.denominators(self.objective)
        return batches, count

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """A micro-batch's forward and backward pass.

        Raises:
            LossregError: The step was not counted, or the loss was not the objective's.
        """
        batches = () if self._step is None else self._step.batches
        places = [place for place, batch in enumerate(batches) if batch is inputs]
        if self._step is None or not places:
            raise LossregError(
                "this batch is not one of those that were counted before the step: an override of "
                "get_batch_samples must call super(), and training_step must be called with its "
                "batches"
            )
        self._step.index = places[0]
        self._is_computed = False
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        if not self._is_computed:
            raise LossregError(
                "the Trainer trained with a loss that is not the objective's: an override of "
                "compute_loss must call super(), and ObjectiveMixin comes first in the class"
            )
        if self._step.is_last:
            average_gradients(self.objective)
            self._step_log.add(self._step.summed(self.objective))
        return loss

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, *_: Any, **__: Any
    ) -> Any:
        """The objective's total: in training, a micro-batch's share of the step's.

        Args:
            model: The model, as Trainer has wrapped it.
            inputs: The batch, on the device.
            return_outputs: Whether the model's output is returned as well.
        """
        outputs = model(**self.model_inputs(inputs))
        values = self.values(inputs, outputs)
        self._is_computed = True
        if self._evaluation is not None:
            loss = self._evaluation.add(inputs, values)
        elif self._step is not None:
            loss = self._step.compute(self.objective, values).total
        else:
            loss = self.objective(values).total
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """A batch of an evaluation or a prediction, whose loss is the objective's."""
        self._is_computed = False
        loss, logits, labels = super().prediction_step(
            model, inputs, prediction_loss_only, *args, **kwargs
        )
        if not self._is_computed:  # it generated, or did not know the labels
            loss = None
            evaluation = self._evaluation
            if evaluation is not None and not (evaluation.is_prediction and labels is None):
                with torch.no_grad(), self.compute_loss_context_manager():
                    loss = self.compute_loss(model, self._prepare_inputs(inputs)).detach()
        return loss, logits, labels

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Trainer's loop, whose loss is the objective's mean over the set, with its terms."""
        with self._evaluating(is_prediction=description == "Prediction") as evaluation:
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
            mean = evaluation.mean()
        if mean is not None:
            numbers = numbers_of(mean, f"{metric_key_prefix}_")
            output.metrics[f"{metric_key_prefix}_loss"] = numbers[f"{metric_key_prefix}_loss/total"]
            output.metrics.update(numbers)
        return output

    @contextmanager
    def _evaluating(self, *, is_prediction: bool) -> Iterator[Evaluation]:
        objective, can_return_loss = self.objective, self.can_return_loss
        is_training = objective.training
        objective.eval()
        evaluation = Evaluation(objective, self.accelerator, is_prediction=is_prediction)
        self._evaluation = evaluation
        # Trainer computes a loss without labels only if the model says that it can.
        self.can_return_loss = can_return_loss or not is_prediction
        try:
            yield evaluation
        finally:
            self._evaluation, self.can_return_loss = None, can_return_loss
            objective.train(is_training)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the objective's terms beside the training loss."""
        if "loss" in logs:
            logs.update(self._step_log.take())
        super().log(logs, *args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Trainer's `save_model`; a checkpoint also has the objective's state."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if _internal_call and self.args.should_save:
            save(self.objective, self.args.output_dir if output_dir is None else output_dir)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        load(self.objective, self.state.best_model_checkpoint)


class ObjectiveTrainer(ObjectiveMixin, Trainer):  # type: ignore[misc]
    """Hugging Face's Trainer with one argument more: `ObjectiveTrainer(objective=..., ...)`.

    All that it does is in `ObjectiveMixin`.
    """


def _refuse_to_be_called(*_: Any, **__: Any) -> Any:
    raise LossregError(
        "the Trainer computed its own loss: an override of compute_loss must call super(), and "
        "ObjectiveMixin comes first in the class"
    )
