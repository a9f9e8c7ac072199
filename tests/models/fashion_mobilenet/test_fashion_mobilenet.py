"""The reference model's folder: the files agree with each other, and its scripts run."""

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

MODEL = "fashion_mobilenet"
RECORDED_ACCURACY = 0.9335
PARAMETERS = 202_074
DATASET = Path("/usr/share/datasets/fashion-mnist")


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{MODEL}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while it runs.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run_script(path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes()))


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "models" / MODEL


@pytest.fixture(scope="module")
def task(folder: Path) -> ModuleType:
    return load_file(folder / "task.py")


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A data set of the real layout: 600 training and 100 test images of noise."""
    generator = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    for split, count in (("train", 600), ("t10k", 100)):
        write_idx(data / f"{split}-images-idx3-ubyte.gz", generator.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(data / f"{split}-labels-idx1-ubyte.gz", generator.integers(0, 10, count, np.uint8))
    return data


def test_build_gives_the_stated_network(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    net = load_file(folder / "model.py").build()
    assert not net.training
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS
    with torch.inference_mode():
        for batch in (1, 3):
            logits = net(image=torch.zeros(batch, 1, 28, 28))
            assert logits.shape == (batch, 10) and logits.dtype == torch.float32


def test_weights_score_the_recorded_accuracy(folder: Path, task: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    net = load_file(folder / "model.py").build()
    weights = load(folder / "weights.safetensors")
    net.load_state_dict(weights, strict=True)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    feeds, labels, _ = task.task()
    with torch.inference_mode():
        guesses = torch.cat([net(torch.from_numpy(feed["image"])).argmax(1) for feed in feeds]).numpy()
    # Other processors round otherwise: two of the 2,000 images may change sides.
    assert np.mean(guesses == labels) == pytest.approx(RECORDED_ACCURACY, abs=0.0011)
    assert np.mean(guesses == labels) >= 0.915


def test_task_gives_feeds_labels_and_metric(task: ModuleType) -> None:
    feeds, labels, metric = task.task()
    assert metric == "top1"
    assert len(feeds) == 20
    for feed in feeds:
        assert list(feed) == ["image"]
        assert feed["image"].shape == (100, 1, 28, 28) and feed["image"].dtype == np.float32
    assert labels.shape == (2000,) and labels.dtype == np.int64
    assert set(labels.tolist()) == set(range(10))


def test_normalise_maps_the_mean_to_zero_and_one_deviation_to_one(task: ModuleType) -> None:
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1)
    expected = np.array([-0.2860 / 0.3530, (1 - 0.2860) / 0.3530])
    assert task.normalise(pixels).shape == (2, 1, 1, 1)
    np.testing.assert_allclose(task.normalise(pixels).ravel(), expected, rtol=1e-6)


def test_calibration_images_are_inputs_and_none_is_a_test_image(folder: Path, task: ModuleType) -> None:
    with np.load(folder / "calibration.npz") as file:
        assert file.files == ["image"]
        images = file["image"]
    assert images.shape == (512, 1, 28, 28) and images.dtype == np.float32
    assert np.isfinite(images).all()
    pixels = np.rint((images * 0.3530 + 0.2860) * 255).astype(np.uint8)[:, 0]
    np.testing.assert_array_equal(task.normalise(pixels), images)
    with np.load(folder / "test.npz") as file:
        seen = {image.tobytes() for image in file["image"]}
    assert not seen & {image.tobytes() for image in pixels}


def test_committed_files_stay_small(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    assert sizes["weights.safetensors"] < 2_000_000
    assert sum(sizes.values()) < 3_000_000


@pytest.mark.slow
def test_train_writes_weights_that_load(folder: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    pytest.importorskip("lightning")
    out = tmp_path / "out" / "w.safetensors"
    out.parent.mkdir()
    result = run_script(folder / "train.py", "--data", tiny_dataset, "--out", out, "--epochs", "1", "--threads", "1")
    assert result.returncode == 0, result.stderr
    assert "on 100 images" in result.stdout
    assert [path.name for path in out.parent.iterdir()] == ["w.safetensors"]
    net = load_file(folder / "model.py").build()
    fresh = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(load(out), strict=True)
    steps = net.state_dict()["stem.1.num_batches_tracked"]
    assert steps == 600 // 64
    assert not torch.equal(fresh["stem.1.running_mean"], net.state_dict()["stem.1.running_mean"])


@pytest.mark.parametrize("damage", ["missing", "truncated", "not gzip", "not idx"])
def test_bad_dataset_is_one_clear_message(folder: Path, tiny_dataset: Path, tmp_path: Path, damage: str) -> None:
    path = tiny_dataset / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        bad = {
            "truncated": content[: len(content) // 2],
            "not gzip": b"text",
            "not idx": gzip.compress(gzip.decompress(content)[:-1]),
        }
        path.write_bytes(bad[damage])
    out = tmp_path / "out"
    out.mkdir()
    result = run_script(folder / "data.py", "--data", tiny_dataset, "--out", out)
    assert result.returncode == 1
    assert str(path) in result.stderr and "nstall the data set" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(out.iterdir())


@pytest.mark.skipif(not DATASET.is_dir(), reason="the data set is not installed")
def test_data_script_makes_the_committed_files(folder: Path, tmp_path: Path) -> None:
    result = run_script(folder / "data.py", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("test.npz", "calibration.npz"):
        with np.load(folder / name) as committed, np.load(tmp_path / name) as made:
            assert committed.files == made.files
            for key in committed.files:
                np.testing.assert_array_equal(committed[key], made[key])
