"""The whole diagnosis: what it finds, and whether its remedy is what it says."""

from pathlib import Path

import numpy as np
import pytest

from edgebig.diagnose import DiagnoseOptions, DiagnoseRecord, diagnose_models
from edgebig.errors import InvalidDataError, InvalidModelError, UsageError
from edgebig.graph.edit import set_array
from tests.diagnose.build import net, net_samples, qdq
from tests.quantize.build import build, normal, run

SOUND = {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0), "y": (-5.0, 5.0)}
WEIGHTS = {"wa": 1, "wb": 1, "wc": 1}
OPTIONS = DiagnoseOptions(threads=1)


def test_a_sound_model_needs_nothing() -> None:
    record = diagnose_models(net(), qdq(net(), SOUND, WEIGHTS), data=net_samples(), options=OPTIONS)
    assert record.healthy
    assert record.command == ""
    assert not record.remedies
    assert record.first_wrong is None
    assert record.judged.error is not None
    assert 0 < record.judged.error < 0.05
    assert "close to the float one" in record.story[-1]
    assert len(record.layers) == 5
    assert DiagnoseRecord.from_json(record.to_json()) == record


def test_a_dead_range_is_found_and_the_new_range_repairs_it() -> None:
    data = net_samples()
    changed = qdq(net(), SOUND | {"d": (0.0, 40000.0)}, WEIGHTS)
    record = diagnose_models(net(), changed, data=data, options=OPTIONS)
    assert not record.healthy
    assert record.judged.error == pytest.approx(1.0, abs=0.05)
    assert record.first_wrong == "d"
    worst = record.layers[0]
    assert worst.recovered is not None
    assert worst.recovered > 0.9
    assert worst.together == ("d", "y")
    assert worst.causes[0].kind == "dead range"
    best = record.remedies[0]
    assert best.what == "ranges of these samples for one tensor"
    assert best.helps
    assert best.result.error is not None
    assert best.result.error < 0.05
    assert record.command == "edgebig quantize FLOAT.onnx -o OUT.onnx --data DATA --calibration minmax"
    assert [row.tensor for row in record.tensors] == ["x", "a", "b", "c", "d", "y"]


def test_the_exclusion_that_is_named_repairs_by_what_it_says() -> None:
    text = """g (float[n, 8] x, float[n, 8] mask) => (float[n, 4] y) {
        [scores] s = Add (x, mask)
        [attention] p = Softmax <axis = -1> (s)
        [values] y = MatMul (p, w)
    }"""
    mask = np.zeros((32, 8), np.float32)
    mask[:, 5:] = -10000
    model, data = build(text, w=normal(8, 4, seed=2)), {"x": 2 * normal(32, 8), "mask": mask}
    for node, name in zip(model.graph, ("scores", "attention", "values"), strict=True):
        node.name = name
    changed = qdq(model, {"s": (-10004.0, 4.0), "p": (0.0, 1.0), "y": (-3.0, 3.0)}, {"w": 1})
    record = diagnose_models(model, changed, data=data, options=OPTIONS)
    assert record.first_wrong == "scores"
    exclusion = next(remedy for remedy in record.remedies if "--exclude" in remedy.command)
    assert exclusion.helps
    assert exclusion.command.endswith("--exclude scores --exclude attention")
    # The same by hand: the model quantized without these two layers.
    by_hand = run(qdq(model, {"p": (0.0, 1.0), "y": (-3.0, 3.0)}, {"w": 1}), data)
    reference = run(model, data)
    error = float(np.sqrt(np.square(by_hand - reference).sum() / np.square(reference).sum()))
    assert exclusion.result.error == pytest.approx(error, rel=0.5)
    assert exclusion.result.error is not None
    assert record.judged.error is not None
    assert exclusion.result.error < 0.1 * record.judged.error


def test_per_channel_weights_are_tried() -> None:
    model, data = net(), net_samples()
    weight = model.graph.initializers["wb"]
    array = weight.const_value.numpy().copy()  # type: ignore[union-attr]
    array[:, 0] *= 200
    set_array(weight, array)
    set_array(model.graph.initializers["wc"], normal(32, 8, scale=0.18, seed=3) * (np.arange(32) > 0)[:, None])
    changed = qdq(model, {"x": (-4.0, 4.0)}, {"wb": None})
    record = diagnose_models(model, changed, data=data, options=OPTIONS)
    best = record.remedies[0]
    assert best.what == "a scale per channel for the weights of one layer"
    assert best.helps
    assert best.result.error is not None
    assert best.result.error < 0.05


def test_nan_is_an_answer_too() -> None:
    changed = qdq(net(), SOUND, WEIGHTS)
    set_array(changed.graph.initializers["q/b/scale"], np.asarray(np.nan, np.float32))
    record = diagnose_models(net(), changed, data=net_samples(), options=OPTIONS)
    assert record.judged.error is None or record.judged.error > 0.5
    assert record.layers[0].causes[0].kind == "bad scale"
    assert record.story


def test_a_task_is_scored(tmp_path: Path) -> None:
    data = net_samples()
    labels = run(net(), data).argmax(-1)
    np.savez(tmp_path / "t.npz", x=data["x"], labels=labels)
    (tmp_path / "task.py").write_text(
        "import numpy as np\n"
        f"z = np.load({str(tmp_path / 't.npz')!r})\n"
        "def task():\n    return {'x': z['x']}, z['labels'], 'top1'\n"
    )
    options = DiagnoseOptions(task=f"{tmp_path / 'task.py'}:task", layers=2, threads=1)
    record = diagnose_models(net(), qdq(net(), SOUND | {"d": (0.0, 40000.0)}, WEIGHTS), data=data, options=options)
    assert record.float_score == 1.0
    assert record.judged.score is not None
    assert record.judged.score < 0.5
    assert record.layers[0].restored is not None
    assert record.layers[0].restored.score is not None
    assert record.layers[0].restored.score > 0.9
    assert len(record.layers) == 2


def test_bad_input() -> None:
    with pytest.raises(InvalidModelError, match="holds no quantized layer"):
        diagnose_models(net(), net(), data=net_samples(), options=OPTIONS)
    with pytest.raises(InvalidDataError):
        diagnose_models(net(), qdq(net(), SOUND), data={"x": normal(4, 5)}, options=OPTIONS)
    with pytest.raises(UsageError, match="layers is 0"):
        DiagnoseOptions(layers=0)
    with pytest.raises(UsageError, match="size '1 lot' is not understood"):
        DiagnoseOptions(ram_budget="1 lot")


def test_models_handed_in_stay_as_they_are() -> None:
    original, changed = net(), qdq(net(), SOUND, WEIGHTS)
    before = [[node.op_type for node in model.graph] for model in (original, changed)]
    diagnose_models(original, changed, data=net_samples(), options=OPTIONS)
    assert [[node.op_type for node in model.graph] for model in (original, changed)] == before
