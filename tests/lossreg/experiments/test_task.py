from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from lossreg.experiments.task import Rows


def test_a_batch_of_rows_is_what_stacking_the_samples_gives() -> None:
    rows = Rows({"x": torch.arange(12.0).reshape(4, 3), "y": torch.arange(4)})
    assert len(rows) == 4
    batches = list(DataLoader(rows, batch_size=3, collate_fn=lambda batch: batch))
    stacked = torch.stack([rows[i]["x"] for i in range(3)])
    assert torch.equal(batches[0]["x"], stacked)
    assert batches[1]["y"].tolist() == [3]
