"""Pruning trained networks: what it costs in accuracy on real images."""

import gzip
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.graph.load import load_model
from edgebig.graph.session import Session
from edgebig.prune import prune_model
from edgebig.records.prune import PruneOptions

TEST_SET = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def images() -> tuple[NDArray, NDArray]:
    """The 10,000 test images of Fashion-MNIST, normalised, and their labels."""
    if not TEST_SET.is_dir():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    with gzip.open(TEST_SET / "t10k-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(TEST_SET / "t10k-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read()[8:], np.uint8)
    return ((pixels / 255 - 0.2860) / 0.3530).astype(np.float32), labels


def accuracy(model: ir.Model, images: tuple[NDArray, NDArray]) -> float:
    pixels, labels = images
    with Session(model, threads=1) as session:
        scores = [session.run({"x": pixels[i : i + 100]})["y"] for i in range(0, len(pixels), 100)]
    return float((np.concatenate(scores).argmax(1) == labels).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pattern", "sparsity", "most"),
    # One-shot magnitude at half the blocks leaves 16 % and 10 % accuracy of 92 %.
    [
        ("mobilenet", "block16x4", 0.5, 0.005),
        ("mobilenet", "block16x4", 0.7, 0.012),
        ("resnet", "block16x4", 0.5, 0.006),
        ("cnn", "unstructured", 0.7, 0.010),
    ],
)
def test_accuracy_that_pruning_costs(
    shared: Path, images: tuple[NDArray, NDArray], name: str, pattern: str, sparsity: float, most: float
) -> None:
    folder = shared / "models" / "fashion"
    model = load_model(folder / f"{name}.onnx")
    options = PruneOptions(pattern=pattern, sparsity=sparsity, threads=1)
    pruned, record = prune_model(model, data=str(folder / "calib512.npz"), options=options)
    assert record.sparsity == pytest.approx(sparsity, abs=0.002)
    assert record.compressed_after < (1 - 0.75 * sparsity) * record.compressed_before
    drop = accuracy(model, images) - accuracy(pruned, images)
    assert drop <= most
    assert abs(record.loss - drop) < 0.05, "the held-out loss says nothing of the loss on other images"
