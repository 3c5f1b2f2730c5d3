"""A callback that moves the schedules of the composites in a LightningModule."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lossreg.errors import ConfigWarning, LossregError
from lossreg.runtime.composite import CompositeLoss

__all__ = ["ObjectiveCallback"]


class ObjectiveCallback(Callback):  # type: ignore[misc]
    """Moves the schedules of every composite in a LightningModule, and those that count epochs.

    Composites are found wherever they are part of the module: as attributes, in an `nn.ModuleList`
    or `nn.ModuleDict`, in submodules. Each is moved once, right after `optimizer.step()`. A step
    that a gradient scaler skips does not move them, unless the optimizer skips it by itself, as
    those with `fused=True` do.

    With one optimizer, its steps move all of them. With several (manual optimization), a step
    moves the composites that were computed in training since they were last moved; one that would
    be moved by two optimizers is an error. So name the optimizers where composites are computed
    and optimizers step in another order:

        ObjectiveCallback({"for_generator": 0, "for_critic": 1})

    A module that moves a composite itself is warned, and the callback leaves that one to it.

    Args:
        optimizers: For composites, by their names in the module, the number of the optimizer in
            what `configure_optimizers` returns.

    Raises:
        LossregError: When training starts: there is no composite, one with schedules or learned
            weights is not part of the module's state, or a name or a number does not exist.
    """

    def __init__(self, optimizers: Mapping[str, int] | None = None) -> None:
        self._numbers = dict(optimizers or {})
        self._composites: dict[str, CompositeLoss] = {}
        # By name: completed steps and epochs after the last move; those that the module moves.
        self._counts: dict[str, tuple[int, int]] = {}
        self._left_to_module: set[str] = set()
        self._computed: set[str] = set()
        # By name the optimizer whose steps move it; None until one did.
        self._owners: dict[str, int | None] = {}
        self._about_to_step: set[int] = set()
        self._handles: list[Any] = []
        self._within_epoch = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._release()
        self._composites = dict(_composites_of(pl_module))
        if not self._composites:
            raise LossregError(
                f"{type(pl_module).__name__} has no composite for ObjectiveCallback to move: make "
                "it an attribute, as in self.loss = lossreg.build(...)"
            )
        _refuse_what_is_not_saved(pl_module, set(self._composites.values()))
        self._counts = {name: _counts(each) for name, each in self._composites.items()}
        self._assign(pl_module, len(trainer.optimizers))
        for number, optimizer in enumerate(trainer.optimizers):
            self._handles.append(self._watched(pl_module, number, optimizer))

    def _assign(self, module: LightningModule, count: int) -> None:
        """Find out which optimizer moves which composite."""
        names = self._composites
        for name, number in self._numbers.items():
            if name not in names:
                raise LossregError(
                    f"ObjectiveCallback: {type(module).__name__} has no composite '{name}'; it has "
                    f"{', '.join(names)}"
                )
            if not 0 <= number < count:
                raise LossregError(
                    f"ObjectiveCallback: '{name}' has optimizer {number}, but there are {count}, "
                    "counted from 0"
                )
        self._owners = {name: self._numbers.get(name, 0 if count == 1 else None) for name in names}
        for name, owner in self._owners.items():
            if owner is not None:
                continue
            composite = names[name]
            # A graph is compiled without the hooks of its module.
            if composite._compiled_call_impl is not None or name.endswith("_orig_mod"):  # noqa: SLF001
                raise LossregError(
                    f"nothing shows which optimizer moves '{name}', because it is compiled: "
                    f"name it, as in ObjectiveCallback({{{name!r}: 0}})"
                )
            self._handles.append(composite.register_forward_hook(self._noted(name)))

    def _noted(self, name: str) -> Any:
        def computed(module: CompositeLoss, *_: Any) -> None:
            if module.training and torch.is_grad_enabled():
                self._computed.add(name)

        return computed

    def _watched(self, module: LightningModule, number: int, optimizer: Any) -> Any:
        """Register what runs after an optimizer's step."""
        candidates: tuple[Any, ...] = (optimizer, getattr(optimizer, "optimizer", None))
        for candidate in candidates:
            if hasattr(candidate, "register_step_post_hook"):
                return candidate.register_step_post_hook(lambda *_: self._stepped(module, number))
        raise LossregError(
            f"{type(optimizer).__name__} does not say when it steps, so nothing would move the "
            "schedules: it has no register_step_post_hook"
        )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        del pl_module
        self._about_to_step = {
            number for number, each in enumerate(trainer.optimizers) if each is optimizer
        }

    def _stepped(self, module: LightningModule, number: int) -> None:
        # An optimizer whose `step` calls that of its parent class reports twice.
        if number not in self._about_to_step:
            return
        self._about_to_step.clear()
        for name, owner in self._owners.items():
            if owner == number or (owner is None and name in self._computed):
                self._owners[name] = number
                self._move(module, name)
            elif name in self._computed and owner is not None and name not in self._numbers:
                raise LossregError(
                    f"'{name}' was computed before the steps of optimizers {owner} and {number}: "
                    f"say whose steps move it, as in ObjectiveCallback({{{name!r}: {owner}}})"
                )

    def _move(self, module: LightningModule, name: str) -> None:
        self._computed.discard(name)
        if self._moves(module, name):
            self._composites[name].step()
            self._counts[name] = _counts(self._composites[name])

    def _moves(self, module: LightningModule, name: str) -> bool:
        """Whether the callback moves a composite; warn once if the module does so too."""
        if name in self._left_to_module:
            return False
        if _counts(self._composites[name]) == self._counts[name]:
            return True
        self._left_to_module.add(name)
        warnings.warn(
            f"{type(module).__name__} moves the schedules of '{name}' itself, and so does "
            f"ObjectiveCallback: remove the calls of {name}.step() and {name}.step_epoch(), or the "
            "callback. From here on the callback leaves them to the module",
            ConfigWarning,
            stacklevel=2,
        )
        return False

    def on_train_batch_start(self, *_arguments: Any) -> None:
        self._within_epoch = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_arguments: Any
    ) -> None:
        if trainer.is_last_batch:
            self._end_epoch(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer
        self._end_epoch(pl_module)  # for an epoch that was left before its last batch

    def _end_epoch(self, module: LightningModule) -> None:
        # After the last batch, not in Lightning's hook for the epoch's end: a run resumed from a
        # checkpoint made in between may call that hook a second time, or never.
        if not self._within_epoch:
            return
        self._within_epoch = False
        for name, composite in self._composites.items():
            if self._moves(module, name):
                composite.step_epoch()
                self._counts[name] = _counts(composite)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer
        for name in self._composites:
            self._moves(pl_module, name)
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        del trainer, pl_module, stage
        self._release()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        del trainer, pl_module, exception
        self._release()

    def _release(self) -> None:
        """Remove every hook, and forget the run."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._composites = {}
        self._left_to_module.clear()
        self._computed.clear()
        self._about_to_step.clear()
        self._within_epoch = False


def _composites_of(module: LightningModule) -> Iterator[tuple[str, CompositeLoss]]:
    for name, submodule in module.named_modules():
        if isinstance(submodule, CompositeLoss):
            yield name, submodule


def _refuse_what_is_not_saved(module: LightningModule, saved: set[CompositeLoss]) -> None:
    for name, value in vars(module).items():
        inside = value.values() if isinstance(value, dict) else value
        if not isinstance(value, (dict, list, tuple)):
            continue
        for composite in inside:
            if (
                isinstance(composite, CompositeLoss)
                and composite not in saved
                and (composite.progress is not None or any(composite.parameters()))
            ):
                kind = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
                raise LossregError(
                    f"'{name}' is a {type(value).__name__} of composites, which is not part of "
                    f"{type(module).__name__}'s state, so a checkpoint would not have their "
                    f"progress: write self.{name} = {kind}(...)"
                )


def _counts(composite: CompositeLoss) -> tuple[int, int]:
    progress = composite.progress
    return (0, 0) if progress is None else (progress.steps, progress.epochs)
