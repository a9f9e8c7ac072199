"""A larger task for minilm_l6, for tests only: match 1,500 summaries of packages with other descriptions of them.

Its data lie beside the repository on some machines, and carry their own terms. The environment variable
EDGEBIG_TEST_REFERENCE names their folder.
"""

import os
from pathlib import Path

import numpy as np

from edgebig.data.callables import load_callable

MODEL = Path(__file__).resolve().parents[3] / "models" / "minilm_l6"


def padded(ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give input_ids and attention_mask, int64 [sentences, longest], of words' numbers that lie one after the other."""
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    input_ids = np.zeros_like(mask)
    input_ids[mask == 1] = ids
    return input_ids, mask


def task() -> tuple[list[dict[str, np.ndarray]], np.ndarray, object]:
    """Give the feeds, 1,500 queries and then 1,500 texts, which text answers each query, and MRR@10."""
    batches = load_callable(f"{MODEL / 'task.py'}:batches", purpose="task")
    with np.load(Path(os.environ["EDGEBIG_TEST_REFERENCE"]) / "minilm_ids.npz") as file:
        feeds = [
            *batches(*padded(file["query"], file["query_len"])),
            *batches(*padded(file["corpus"], file["corpus_len"])),
        ]
        answers = np.arange(len(file["query_len"]))
    return feeds, answers, load_callable(f"{MODEL / 'task.py'}:mrr10", purpose="task")


def calibration() -> list[dict[str, np.ndarray]]:
    """Give feeds of eight sentences each: 128 other descriptions."""
    with np.load(Path(os.environ["EDGEBIG_TEST_REFERENCE"]) / "calib_minilm_l6_v2.npz") as file:
        input_ids, mask = padded(file["ids"], file["len"])
    return [
        {"input_ids": input_ids[start : start + 8], "attention_mask": mask[start : start + 8]}
        for start in range(0, len(mask), 8)
    ]
