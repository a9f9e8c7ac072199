"""Try the exporters in turn until one gives a graph that is equal to the module."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from time import perf_counter

from edgebig.data.feeds import Feed
from edgebig.errors import InvalidModelError
from edgebig.export.clean import clean_graph
from edgebig.export.dynamo import export_with_dynamo
from edgebig.export.exported import Exported, ExporterError, check_interface
from edgebig.export.input_specs import Inputs
from edgebig.export.parity import Miss, Tally
from edgebig.export.torch_model import TorchModel
from edgebig.export.torchscript import export_with_torchscript
from edgebig.export.trials import Trials
from edgebig.graph.check import check_operators
from edgebig.graph.session import Session
from edgebig.progress import track

Exporter = Callable[[TorchModel, Inputs, tuple[str, ...], Feed, int], Exported]

# So many misses say enough; the runs after them are left out.
_ENOUGH_MISSES = 8


@dataclass
class Attempts:
    """The tries.

    Attributes:
        trials: The runs to compare on.
        outputs: The outputs' names.
        opset: The operator set.
        failures: Exporter and reason, for each that failed.
        missed_parity: Whether one of them gave a graph that is not equal.
        export_seconds: Time spent exporting.
        parity_seconds: Time spent comparing.
    """

    trials: Trials
    outputs: tuple[str, ...]
    opset: int
    failures: list[tuple[str, str]] = field(default_factory=list)
    missed_parity: bool = False
    export_seconds: float = 0.0
    parity_seconds: float = 0.0

    def first_equal(self) -> tuple[Exported, Tally] | None:
        """The first exporter's graph that is equal to the module, and how equal; None where none is."""
        exporters: dict[str, Exporter] = {"dynamo": export_with_dynamo, "torchscript": export_with_torchscript}
        if self.trials.model.program is not None:
            del exporters["torchscript"]  # it traces code, and a program has none
        for name, exporter in track(exporters.items(), "exporting"):
            start = perf_counter()
            try:
                exported = self._export(exporter)
            except ExporterError as e:
                self.failures.append((name, str(e)))
                continue
            finally:
                self.export_seconds += perf_counter() - start
            start = perf_counter()
            tally = self._compare(exported)
            self.parity_seconds += perf_counter() - start
            if not tally.misses:
                return exported, tally
            self.missed_parity = True
            self.failures.append((name, _describe(tally.misses, exported)))
        return None

    def _export(self, exporter: Exporter) -> Exported:
        feeds = self.trials.feeds
        exported = exporter(self.trials.model, feeds.inputs, self.outputs, feeds.example(), self.opset)
        notes = check_interface(exported.model, feeds.inputs)
        clean_graph(exported.model)
        exported.model.graph.name = self.trials.model.name
        return replace(exported, notes=(*exported.notes, *notes))

    def _compare(self, exported: Exported) -> Tally:
        tally = Tally(self.trials.options.tolerance)
        self.trials.add_sizes(exported.bounds)
        try:
            check_operators(exported.model, "the graph")
            session = Session(exported.model)
        except InvalidModelError as e:
            tally.misses.append(Miss(None, "loading", str(e)))
            return tally
        for at, feed, reference in track(self.trials.runs(), "comparing torch and onnxruntime", self.trials.total):
            try:
                found = session.run(feed)
            except InvalidModelError as e:
                tally.misses.append(Miss(None, at, f"onnxruntime fails: {e}"))
            else:
                tally.add(at, reference, found, cache(partial(self.trials.exact, feed)))
            if len(tally.misses) >= _ENOUGH_MISSES:
                return tally
        tally.close()
        return tally


def _describe(misses: list[Miss], exported: Exported) -> str:
    more = len({miss.at for miss in misses} - {misses[0].at})
    text = str(misses[0])
    if more:
        text += f" (and in {more} more runs)"
    for name, bound in exported.bounds.items():
        text += f"; torch made the graph for {name!r} up to {bound} only: the code takes another way above"
    return text
