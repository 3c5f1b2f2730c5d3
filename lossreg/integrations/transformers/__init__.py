"""Training by Hugging Face's Trainer with objectives.

`ObjectiveTrainer` is the Trainer with one argument more, and `ObjectiveMixin` makes a Trainer of
one's own one. `loss_function` and `ObjectiveCallback` are for Trainers that are to stay as they
are. Needs the extra `transformers`.
"""

from __future__ import annotations

import importlib.util

from lossreg.errors import MissingExtraError

if importlib.util.find_spec("transformers") is None:
    raise MissingExtraError(__name__, extra="transformers", missing="transformers")
if importlib.util.find_spec("accelerate") is None:  # without it, there is no Trainer
    raise MissingExtraError(__name__, extra="transformers", missing="accelerate")

from lossreg.integrations.transformers.callback import ObjectiveCallback
from lossreg.integrations.transformers.function import loss_function
from lossreg.integrations.transformers.trainer import ObjectiveMixin, ObjectiveTrainer

__all__ = ["ObjectiveCallback", "ObjectiveMixin", "ObjectiveTrainer", "loss_function"]
