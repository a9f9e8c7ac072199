"""Run a recipe: the whole way from a source to a compressed model, step by step."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import msgspec

from edgebig.files import check_output, replacing_folder, sha256, write_text
from edgebig.graph.load import load_model
from edgebig.graph.provenance import package_versions, read_provenance
from edgebig.graph.save import save_model
from edgebig.pipeline.plan import PlannedStep, plan, with_sources
from edgebig.pipeline.steps import StepInputs
from edgebig.pipeline.work_folder import WorkFolder, fingerprint, key_of, model_files
from edgebig.records.compress import CompressRecord, FinishedStep
from edgebig.records.recipe import STARTING_MODEL, Recipe, read_recipe
from edgebig.targets.cpu_features import cpu_features, cpu_model

Announce = Callable[[str], None]


def compress_model(
    recipe: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    data: str | None = None,
    task: str | None = None,
    work_folder: str | Path | None = None,
    fresh: bool = False,
    force: bool = False,
    announce: Announce = lambda line: None,
) -> CompressRecord:
    """Run a recipe and write the last model it makes, with its provenance as JSON beside it.

    The whole recipe is checked before work starts. Every finished step lies in the work folder; run again after a
    kill, or with a changed recipe, only what is missing or changed is done.

    Args:
        recipe: The TOML file.
        output: The `.onnx` file to write; `OUTPUT.provenance.json` is written beside it.
        model: The `.onnx` file to start from; None: what the recipe says.
        data: Samples; None: what the recipe says.
        task: The task; None: what the recipe says.
        work_folder: Where the steps' models and records lie; None: `OUTPUT.work` beside the output.
        fresh: Do every step anew.
        force: Whether existing outputs may be replaced.
        announce: Is told, in a line, what is being done.

    Raises:
        UsageError: The recipe is wrong.
        OutputError: An output cannot be written.
        QualityGateError: A step missed its gate.
        EdgebigError: A step failed.
    """
    starting = None if model is None else str(model)
    written = with_sources(read_recipe(Path(recipe)), model=starting, data=data, task=task)
    output = Path(output)
    provenance_path = output.with_suffix(".provenance.json")
    for path in (output, provenance_path):
        check_output(path, force=force, inputs=[written.path, *([Path(written.model)] if written.model else [])])
    run = _Run(written, WorkFolder(Path(work_folder or output.with_suffix(".work"))), fresh, announce)
    steps = plan(written)
    run.folder.make()
    for step in steps:
        run.do(step)
    last = [step for step in steps if step.kind.makes_model][-1]
    record = CompressRecord(
        recipe=written.name,
        recipe_sha256=sha256(written.path),
        output=output.name,
        steps=tuple(run.finished.values()),
        reused=tuple(run.reused),
        provenance=tuple(p.to_dict() for p in read_provenance(load_model(run.folder.model(last.name)))),
    )
    _publish(run.folder.model(last.name), output, force=force)
    write_text(provenance_path, record.to_json() + "\n")
    return record


@dataclass
class _Run:
    recipe: Recipe
    folder: WorkFolder
    fresh: bool
    announce: Announce
    finished: dict[str, FinishedStep] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def do(self, step: PlannedStep) -> None:
        """Run a step, or take what an earlier run left of it."""
        key = self._key(step)
        found = None if self.fresh else self.folder.finished(step.name, key)
        if found is not None:
            self.announce(f"{step.name}: done before")
            self.reused.append(step.name)
            self.finished[step.name] = found
            return
        self.announce(f"{step.name}: {step.use} ...")
        start = perf_counter()
        inputs = StepInputs(
            model=self._model(step.input) if step.input else None,
            models={name: self._model(name) for name in step.models},
            data=self.recipe.data,
            task=self.recipe.task,
        )
        model, record = step.kind.run(inputs, step.options)
        digest = size = None
        if model is not None:
            files = save_model(model, self.folder.model(step.name), force=True)
            digest, size = sha256(*files), sum(file.stat().st_size for file in files)
        finished = FinishedStep(
            name=step.name,
            use=step.use,
            key=key,
            seconds=round(perf_counter() - start, 3),
            model_sha256=digest,
            model_bytes=size,
            record=json.loads(record.to_json()),  # as a later run will read it back
        )
        self.folder.write(finished)
        self.finished[step.name] = finished

    def _key(self, step: PlannedStep) -> str:
        options = msgspec.to_builtins(step.options, enc_hook=str)
        return key_of(
            use=step.use,
            options=options,
            files={key: fingerprint(options.get(key)) for key in step.kind.paths},
            inputs=[sha256(*model_files(self._model(name))) for name in (step.input, *step.models) if name],
            names=step.models,
            data=fingerprint(self.recipe.data),
            task=fingerprint(self.recipe.task),
            versions=package_versions(),
            machine=[cpu_model(), *sorted(cpu_features())],
        )

    def _model(self, name: str) -> Path:
        starting = self.recipe.model if name == STARTING_MODEL else None
        return self.folder.model(name) if starting is None else Path(starting)


def _publish(model: Path, output: Path, *, force: bool) -> None:
    """Copy the last step's model to where it was asked for, whole or not at all."""
    files = model_files(model)
    if len(files) > 1:  # the graph names its data file, so it is written anew under the output's name
        save_model(load_model(model), output, force=force, external_data=True)
        return
    with replacing_folder(output.absolute().parent) as folder:
        shutil.copyfile(model, folder / output.name).replace(output)
