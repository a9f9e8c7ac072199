"""The task: find the text that answers a query. Plain numpy; reads the sentences in test.npz beside this file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgebig.metrics.value import MetricValue, mean_value

TEST_FILE = Path(__file__).resolve().parent / "test.npz"
BATCH = 32
RANKS = 10


def mrr10(outputs: Sequence[Mapping[str, np.ndarray]], answers: np.ndarray) -> MetricValue:
    """Score how early the right text stands when all texts are ordered by their likeness to a query.

    The mean reciprocal rank at 10: 1 / rank of the right text, 0 beyond rank 10, averaged over the queries. Texts that
    are as like as the right one do not count before it. A vector that is not finite is like nothing.

    Args:
        outputs: per feed, `sentence_embedding`, [batch, width]: first those of all queries, then those of all texts.
        answers: which text answers each query, int [queries].
    """
    vectors = np.concatenate([output["sentence_embedding"] for output in outputs]).astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    likeness = vectors[: len(answers)] @ vectors[len(answers) :].T
    right = likeness[np.arange(len(answers)), answers]
    rank = 1 + (likeness > right[:, None]).sum(1)
    parts = np.where((rank <= RANKS) & np.isfinite(right), 1.0 / rank, 0.0)
    return mean_value("mrr@10", parts, higher_is_better=True)


def batches(input_ids: np.ndarray, attention_mask: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Cut int64 [n, longest] into feeds of up to 32 sentences, each as long as its longest sentence."""
    feeds = []
    for start in range(0, len(input_ids), BATCH):
        mask = attention_mask[start : start + BATCH]
        length = int(mask.sum(1).max())
        feeds.append({"input_ids": input_ids[start : start + BATCH, :length], "attention_mask": mask[:, :length]})
    return feeds


def task() -> tuple[list[dict[str, np.ndarray]], np.ndarray, object]:
    """Give the inputs, the answers and the metric.

    Returns:
        The feeds, each {"input_ids", "attention_mask": int64 [32, length]}, first 96 queries and then 96 texts; which
        text answers each query, int64 [96]; `mrr10`.
    """
    with np.load(TEST_FILE) as file:
        feeds = batches(file["input_ids"], file["attention_mask"])
        queries = len(file["input_ids"]) // 2
    return feeds, np.arange(queries), mrr10
