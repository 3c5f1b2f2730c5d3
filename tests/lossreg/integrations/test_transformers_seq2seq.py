"""A tiny encoder-decoder, which makes its decoder's inputs from the labels, and generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

import lossreg
from huggingface_runs import collate
from lossreg.integrations.transformers import ObjectiveMixin

VOCABULARY = 13
TERMS: dict[str, Any] = {
    "words": {
        "type": "cross_entropy",
        "class_dim": -1,
        "inputs": ["logits", "labels"],
        "weight": 2.0,
    }
}


class Translator(ObjectiveMixin, Seq2SeqTrainer):
    pass


class Pairs(Dataset[dict[str, Tensor]]):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.given = torch.randint(3, VOCABULARY, (6, 5), generator=generator)
        self.labels = torch.randint(3, VOCABULARY, (6, 4), generator=generator)
        self.labels[::2, 2:] = -100

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.given[index], "labels": self.labels[index]}


def translator(folder: Path, **options: Any) -> Translator:
    torch.manual_seed(0)
    small = {f"{part}_{name}": 1 for part in ("encoder", "decoder") for name in ("layers",)}
    small |= {f"{part}_attention_heads": 1 for part in ("encoder", "decoder")}
    small |= {f"{part}_ffn_dim": 8 for part in ("encoder", "decoder")}
    config = BartConfig(
        vocab_size=VOCABULARY, d_model=8, max_position_embeddings=16, dropout=0.0, **small
    )
    defaults: dict[str, Any] = {"use_cpu": True, "report_to": "none", "disable_tqdm": True}
    return Translator(
        BartForConditionalGeneration(config),
        Seq2SeqTrainingArguments(
            output_dir=str(folder),
            per_device_eval_batch_size=4,
            save_strategy="no",
            num_train_epochs=1,
            **defaults,
            **options,
        ),
        train_dataset=Pairs(),
        eval_dataset=Pairs(),
        data_collator=collate,
        objective=lossreg.build({"terms": TERMS}),
    )


def by_hand(made: Translator) -> float:
    batch = collate([Pairs()[index] for index in range(6)])
    made.model.eval()
    with torch.no_grad():
        logits = made.model(**batch).logits
    return 2 * functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()).item()


@pytest.mark.parametrize("generates", [False, True])
def test_the_loss_is_the_objectives_and_the_decoder_reads_the_labels(
    generates: bool, tmp_path: Path
) -> None:
    more = {"predict_with_generate": True, "generation_max_length": 4} if generates else {}
    made = translator(tmp_path, **more)
    made.train()
    expected = by_hand(made)
    made.compute_metrics = lambda prediction: {"length": prediction.predictions[0].shape[-1]}
    metrics = made.evaluate()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["eval_loss/words"] == pytest.approx(expected / 2, rel=1e-5)
    assert metrics["eval_length"] > 0
    assert made.predict(Pairs()).metrics["test_loss"] == pytest.approx(expected, rel=1e-5)
