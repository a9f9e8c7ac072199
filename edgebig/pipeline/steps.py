"""The verbs a recipe may use: their options, what they need, and how each is run. One line registers one."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.export import ExportOptions
from edgebig.records.measurement import BenchOptions
from edgebig.records.optimize import OptimizeOptions
from edgebig.records.prune import PruneOptions
from edgebig.records.quantize import QuantizeOptions
from edgebig.registry import Registry


@dataclasses.dataclass(frozen=True)
class StepInputs:
    """What a step is run on.

    Attributes:
        model: The model it takes; None for a step that starts from something else.
        models: For steps that judge: the models by the names of the steps that made them.
        data: Samples, or None.
        task: The task, or None.
    """

    model: Path | None
    models: Mapping[str, Path]
    data: str | None
    task: str | None


@dataclasses.dataclass(frozen=True)
class StepKind:
    """A verb as a step.

    Attributes:
        options: Its options' dataclass.
        run: Runs it; the model is None for verbs that judge.
        makes_model: Whether it gives a model, or judges some.
        takes_model: Whether it starts from a model.
        needs_data: Whether it cannot do without samples.
        needs_task: Whether it cannot do without a task.
        paths: Options that are paths (or `file.py:name`), relative to the recipe.
    """

    options: type[Any]
    run: Callable[[StepInputs, Any], tuple[ir.Model | None, Record]]
    makes_model: bool = True
    takes_model: bool = True
    needs_data: bool = False
    needs_task: bool = False
    paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of an `evaluate` step.

    Attributes:
        max_drop: The most that a model's value may be worse than the first's; None: no gate.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    max_drop: float | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.max_drop is not None and self.max_drop < 0:
            raise UsageError(f"max_drop is {self.max_drop}; it must not be negative")


# Each verb is imported when its step runs: a recipe without `export` does without torch.
def _export(inputs: StepInputs, options: ExportOptions) -> tuple[ir.Model, Record]:
    from edgebig.export import export_model

    return export_model(options.source, options=options)


def _optimize(inputs: StepInputs, options: OptimizeOptions) -> tuple[ir.Model, Record]:
    from edgebig.optimize import optimize_model

    return optimize_model(_model(inputs), data=inputs.data, options=options)


def _prune(inputs: StepInputs, options: PruneOptions) -> tuple[ir.Model, Record]:
    from edgebig.prune import prune_model

    return prune_model(_model(inputs), data=_data(inputs), options=options)


def _quantize(inputs: StepInputs, options: QuantizeOptions) -> tuple[ir.Model, Record]:
    from edgebig.quantize import quantize_model

    return quantize_model(_model(inputs), data=_data(inputs), options=options)


def _evaluate(inputs: StepInputs, options: EvaluateOptions) -> tuple[None, Record]:
    from edgebig.evaluate.gates import check_scores
    from edgebig.evaluate.score import evaluate_models

    record = evaluate_models(list(inputs.models.values()), inputs.task or "", threads=options.threads)
    check_scores(record, minimum=None, maximum=None, max_drop=options.max_drop)
    return None, record


def _bench(inputs: StepInputs, options: BenchOptions) -> tuple[None, Record]:
    from edgebig.bench import bench_models

    return None, bench_models(list(inputs.models.values()), data=inputs.data, options=options)


def _model(inputs: StepInputs) -> Path:
    assert inputs.model is not None, "the plan gives every step that takes a model one"
    return inputs.model


def _data(inputs: StepInputs) -> str:
    assert inputs.data is not None, "the plan refuses recipes without the data that a step needs"
    return inputs.data


step_kinds: Registry[StepKind] = Registry("step")
step_kinds.register(
    "export", StepKind(ExportOptions, _export, takes_model=False, paths=("source", "weights", "sample"))
)
step_kinds.register("optimize", StepKind(OptimizeOptions, _optimize))
step_kinds.register("prune", StepKind(PruneOptions, _prune, needs_data=True, paths=("task",)))
step_kinds.register("quantize", StepKind(QuantizeOptions, _quantize, needs_data=True))
step_kinds.register("evaluate", StepKind(EvaluateOptions, _evaluate, makes_model=False, needs_task=True))
step_kinds.register("bench", StepKind(BenchOptions, _bench, makes_model=False))
