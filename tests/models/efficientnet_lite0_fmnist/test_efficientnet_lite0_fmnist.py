"""The reference model's folder: the network, the fit of its head, its data and the recorded accuracy."""

import importlib.util
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

MODEL = "efficientnet_lite0_fmnist"
PARAMETERS = 3_383_818
RECORDED_ACCURACY = 0.8735
RECORDED_ACCURACY_1500 = 0.8733
DATASET = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "models" / MODEL


@pytest.fixture
def load_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a script of the folder, as running it there would."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{MODEL}_{name}", folder / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Other models' folders have modules of the same names; dataclasses look their module up while it runs.
        monkeypatch.delitem(sys.modules, "model", raising=False)
        monkeypatch.setitem(sys.modules, spec.name, module)
        monkeypatch.syspath_prepend(folder)
        spec.loader.exec_module(module)
        monkeypatch.delitem(sys.modules, "model", raising=False)
        return module

    return load


def test_build_gives_the_stated_network(load_script: Callable[[str], ModuleType]) -> None:
    torch = pytest.importorskip("torch")
    net = load_script("model").build()
    assert not net.training
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS
    assert len(net.blocks) == 16
    with torch.inference_mode():
        for batch in (1, 3):
            logits = net(image=torch.zeros(batch, 1, 28, 28))
            assert logits.shape == (batch, 10) and logits.dtype == torch.float32


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_that_of_tensorflow(load_script: Callable[[str], ModuleType], kernel: int, stride: int) -> None:
    torch = pytest.importorskip("torch")
    side = 12
    layer = load_script("model").convolution(1, 1, kernel, stride=stride, activation=False).eval()
    with torch.inference_mode():
        layer.convolution.weight.copy_(torch.arange(kernel * kernel).view(1, 1, kernel, kernel))
        image = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))
        # "SAME": the output has ceil(side / stride) columns, and the odd one of the padding goes to the right.
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        padded = torch.nn.functional.pad(image, [total // 2, total - total // 2] * 2)
        expected = torch.nn.functional.conv2d(padded, layer.convolution.weight, stride=stride) / math.sqrt(1 + 1e-3)
        torch.testing.assert_close(layer(image), expected, rtol=1e-5, atol=1e-4)


def test_every_name_of_the_package_has_one_of_ours(load_script: Callable[[str], ModuleType]) -> None:
    pytest.importorskip("torch")
    rename = load_script("obtain").rename
    theirs = {"_conv_stem.weight", "_bn0.bias", "_conv_head.weight", "_bn1.running_var", "_blocks.0._bn1.weight"}
    ours = {"stem.convolution.weight", "stem.norm.bias", "last.convolution.weight", "last.norm.running_var"}
    assert {rename(name) for name in theirs} == ours | {"blocks.0.depthwise.norm.weight"}
    assert rename("_blocks.12._expand_conv.weight") == "blocks.12.expand.convolution.weight"
    assert rename("_blocks.12._bn2.running_mean") == "blocks.12.project.norm.running_mean"
    assert rename("_swish.weight") == "_swish.weight"


def test_fitted_head_is_the_minimum_of_the_penalised_loss(load_script: Callable[[str], ModuleType]) -> None:
    torch = pytest.importorskip("torch")
    obtain = load_script("obtain")
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, 300)
    features = generator.normal(size=(300, 1280)) * generator.uniform(0.1, 3, 1280) + generator.normal(size=1280)
    features[:, :10] += 4 * np.eye(10)[labels]
    weight, bias = obtain.fit_head(torch.from_numpy(features), torch.from_numpy(labels))
    assert weight.dtype == torch.float32 and weight.shape == (10, 1280) and bias.shape == (10,)

    # In plain numpy: with the standardisation taken out again, the gradient of the loss vanishes.
    deviation = features.std(0, ddof=1) + 1e-3
    scores = features @ weight.numpy().T.astype(np.float64) + bias.numpy()
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    error = (shares - np.eye(10)[labels]) / len(labels)
    standard = weight.numpy() * deviation
    gradient = error.T @ ((features - features.mean(0)) / deviation) + standard / (0.003 * len(labels))
    assert np.abs(standard).max() > 1e-3
    assert np.abs(gradient).max() < 1e-4
    assert np.abs(error.sum(0)).max() < 1e-4


def test_task_gives_feeds_labels_and_metric(load_script: Callable[[str], ModuleType]) -> None:
    feeds, labels, metric = load_script("task").task()
    assert metric == "top1"
    assert len(feeds) == 40
    for feed in feeds:
        assert list(feed) == ["image"]
        assert feed["image"].shape == (50, 1, 28, 28) and feed["image"].dtype == np.float32
        assert feed["image"].min() == 0 and feed["image"].max() == 255
    assert labels.shape == (2000,) and set(labels.tolist()) == set(range(10))


def test_calibration_images_are_pixels_and_none_is_a_test_image(folder: Path, root: Path) -> None:
    with np.load(folder / "calibration.npz") as file:
        assert file.files == ["image"]
        images = file["image"]
    assert images.shape == (200, 1, 28, 28) and images.dtype == np.float32
    pixels = images.astype(np.uint8)
    np.testing.assert_array_equal(pixels, images)
    with np.load(root / "models" / "fashion_mobilenet" / "test.npz") as file:
        seen = {image.tobytes() for image in file["image"]}
    assert not seen & {image.tobytes() for image in pixels}


def test_committed_files_stay_small(folder: Path) -> None:
    ignored = (folder / ".gitignore").read_text().splitlines()
    assert "weights.safetensors" in ignored
    assert (
        sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name not in ignored) < 200_000
    )


def test_missing_dataset_is_one_clear_message(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, str(folder / "obtain.py"), "--data", str(tmp_path), "--out", str(tmp_path / "w")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "nstall the data set" in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not DATASET.is_dir(), reason="the data set is not installed")
def test_data_script_makes_the_committed_file(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(folder / "data.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with np.load(folder / "calibration.npz") as committed, np.load(tmp_path / "calibration.npz") as made:
        np.testing.assert_array_equal(committed["image"], made["image"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_weights_score_the_recorded_accuracy(
    load_script: Callable[[str], ModuleType], obtain_weights: Callable[[str], Path]
) -> None:
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    net = load_script("model").build()
    net.load_state_dict(load(obtain_weights(MODEL)), strict=True)
    feeds, labels, _ = load_script("task").task()
    with torch.inference_mode():
        guesses = torch.cat([net(torch.from_numpy(feed["image"])).argmax(1) for feed in feeds]).numpy()
    # Other processors round otherwise, in the fit of the head too: a few images may change sides.
    assert np.mean(guesses == labels) == pytest.approx(RECORDED_ACCURACY, abs=0.003)
    assert np.mean(guesses[:1500] == labels[:1500]) == pytest.approx(RECORDED_ACCURACY_1500, abs=0.003)
