"""The task: which of ten kinds of clothing is on the image. Plain numpy; reads the test images of fashion_mobilenet."""

from pathlib import Path

import numpy as np

TEST_FILE = Path(__file__).resolve().parent.parent / "fashion_mobilenet" / "test.npz"
BATCH = 50


def task() -> tuple[list[dict[str, np.ndarray]], np.ndarray, str]:
    """Give the inputs, the answers and the name of the metric.

    Returns:
        The feeds, each {"image": float32 [50, 1, 28, 28]}, pixels from 0 to 255; the labels, int64 [2000]; "top1", the
        share of right answers.
    """
    with np.load(TEST_FILE) as file:
        images, labels = file["image"][:, None].astype(np.float32), file["label"]
    feeds = [{"image": images[start : start + BATCH]} for start in range(0, len(images), BATCH)]
    return feeds, labels, "top1"
