"""The reference model's folder: the network, its data, its metric and the recorded figures."""

import csv
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

MODEL = "minilm_l6"
PARAMETERS = 22_565_376
RECORDED_MRR = 0.7466
REFERENCE_MRR = 0.7088


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "models" / MODEL


@pytest.fixture
def load_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Loads a script of the folder, as running it there would."""

    def load(name: str, place: Path = folder) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{MODEL}_{name}", place / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Other models' folders have modules of the same names.
        monkeypatch.delitem(sys.modules, "model", raising=False)
        monkeypatch.syspath_prepend(place)
        spec.loader.exec_module(module)
        monkeypatch.delitem(sys.modules, "model", raising=False)
        return module

    return load


def run_torch(net: Any, feeds: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    torch = pytest.importorskip("torch")
    with torch.inference_mode():
        runs = [net(**{name: torch.from_numpy(array.copy()) for name, array in feed.items()}) for feed in feeds]
    return [{"sentence_embedding": run.numpy()} for run in runs]


def test_build_gives_the_stated_network(load_script: Callable[..., ModuleType]) -> None:
    pytest.importorskip("torch")
    net = load_script("model").build()
    assert not net.training
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS
    ids = np.array([[101, 2023, 102, 0], [101, 2003, 2307, 102]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]])
    feeds = [{"input_ids": ids, "attention_mask": mask}, {"input_ids": ids[:1, :3], "attention_mask": mask[:1, :3]}]
    whole, alone = (output["sentence_embedding"] for output in run_torch(net, feeds))
    assert whole.shape == (2, 384) and whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    # Padding, and what else is in the batch, changes nothing.
    np.testing.assert_allclose(whole[0], alone[0], atol=1e-5)


def test_every_name_of_the_package_has_one_of_ours(load_script: Callable[..., ModuleType]) -> None:
    pytest.importorskip("torch")
    rename = load_script("obtain").rename
    assert rename("embeddings.token_type_embeddings.weight") == "embeddings.segments.weight"
    assert rename("encoder.layer.3.attention.self.key.bias") == "layers.3.attention.key.bias"
    assert rename("encoder.layer.3.attention.output.dense.weight") == "layers.3.attention.output.weight"
    assert rename("encoder.layer.3.attention.output.LayerNorm.weight") == "layers.3.attention_norm.weight"
    assert rename("encoder.layer.5.output.dense.weight") == "layers.5.narrow.weight"
    assert rename("encoder.layer.5.output.LayerNorm.bias") == "layers.5.norm.bias"
    assert rename("classifier.weight") == "classifier.weight"


def test_mrr10_of_known_ranks(load_script: Callable[..., ModuleType]) -> None:
    mrr10 = load_script("task").mrr10
    texts = np.eye(12, dtype=np.float32)
    # Query 0 finds its text first, query 1 second, query 2 eleventh (which counts nothing), query 3 is not a number.
    queries = np.zeros((4, 12), np.float32)
    queries[0, 0] = 3.0
    queries[1, [1, 5]] = 0.5, 0.8
    queries[2] = 1.0
    queries[2, [2, 0]] = 0.5, 0.1
    queries[3] = np.nan
    outputs = [{"sentence_embedding": queries}, {"sentence_embedding": texts[:7]}, {"sentence_embedding": texts[7:]}]
    value = mrr10(outputs, np.arange(4))
    np.testing.assert_allclose(value.per_sample, [1.0, 0.5, 0.0, 0.0])
    assert value.value == pytest.approx(0.375)
    assert value.n == 4 and value.higher_is_better


def test_task_gives_queries_then_texts(load_script: Callable[..., ModuleType]) -> None:
    feeds, answers, _ = load_script("task").task()
    assert [len(feed["input_ids"]) for feed in feeds] == [32] * 6
    np.testing.assert_array_equal(answers, np.arange(96))
    for feed in feeds:
        ids, mask = feed["input_ids"], feed["attention_mask"]
        assert ids.dtype == mask.dtype == np.int64 and ids.shape == mask.shape
        assert (ids[:, 0] == 101).all()
        # Every sentence ends with its separator, padding follows, and one sentence of the feed has none.
        lengths = mask.sum(1)
        assert lengths.max() == ids.shape[1]
        assert (ids[np.arange(32), lengths - 1] == 102).all()
        np.testing.assert_array_equal(ids == 0, mask == 0)


def test_data_are_disjoint_and_of_the_stated_size(folder: Path) -> None:
    with (folder / "pairs.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[0] == ["query", "text"] and len(rows) == 97 and all(len(row) == 2 for row in rows)
    sentences = [sentence for row in rows[1:] for sentence in row]
    calibration = (folder / "calibration.txt").read_text(encoding="utf-8").splitlines()
    assert len(calibration) == 64
    assert len(set(sentences + calibration)) == 192 + 64
    for name, count in (("test.npz", 192), ("calibration.npz", 64)):
        with np.load(folder / name) as file:
            assert file.files == ["input_ids", "attention_mask"]
            assert all(file[key].dtype == np.int64 and len(file[key]) == count for key in file.files)


def test_committed_files_stay_small(folder: Path) -> None:
    ignored = (folder / ".gitignore").read_text().splitlines()
    assert "weights.safetensors" in ignored
    assert (
        sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name not in ignored) < 100_000
    )


def test_data_script_makes_the_committed_ids(load_script: Callable[..., ModuleType], folder: Path) -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("torch")
    data = load_script("data")
    queries, texts = data.read_pairs(folder / "pairs.tsv")
    made = data.encode(queries + texts)
    with np.load(folder / "test.npz") as committed:
        for name in committed.files:
            np.testing.assert_array_equal(committed[name], made[name])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_weights_score_the_recorded_figure(
    load_script: Callable[..., ModuleType], obtain_weights: Callable[[str], Path]
) -> None:
    load = pytest.importorskip("safetensors.torch").load_file
    net = load_script("model").build()
    net.load_state_dict(load(obtain_weights(MODEL)), strict=True)
    feeds, answers, metric = load_script("task").task()
    value = metric(run_torch(net, feeds), answers)
    # Other processors round otherwise: one query's answer may change places with its neighbour.
    assert value.value == pytest.approx(RECORDED_MRR, abs=0.006)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_weights_score_the_reference_figure(
    load_script: Callable[..., ModuleType],
    obtain_weights: Callable[[str], Path],
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = pytest.importorskip("safetensors.torch").load_file
    net = load_script("model").build()
    net.load_state_dict(load(obtain_weights(MODEL)), strict=True)
    monkeypatch.setenv("EDGEBIG_TEST_REFERENCE", str(shared / "models" / "data"))
    feeds, answers, metric = load_script("task", Path(__file__).resolve().parent).task()
    value = metric(run_torch(net, feeds), answers)
    assert value.n == 1500
    assert value.value == pytest.approx(REFERENCE_MRR, abs=0.001)
