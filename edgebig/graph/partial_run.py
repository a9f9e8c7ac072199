"""Run changed models from the change on: what comes before it is the original's, and was computed once.

The original's graph is cut at a few narrow places. One run over the samples keeps what crosses the cuts, as far as a
budget of bytes allows, and the outputs. Of a changed model only the nodes between the last cut before the change and
the first cut behind it become a session; from there on the original's own sessions, one per segment, go on. Whether
two graphs are the same behind a cut is decided by their structure, not by names alone, so any change is allowed;
one that reaches far costs more.
"""

import time
from collections.abc import Collection, Iterator

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError
from edgebig.graph.edit import working_copy
from edgebig.graph.partial_run_cuts import cut_graph, reads
from edgebig.graph.partial_run_part import PartSession, extract_part, shared_arrays
from edgebig.graph.partial_run_region import Region, RegionFinder
from edgebig.graph.partial_run_store import CutStore, State, cuts_to_keep
from edgebig.graph.shapes import infer_shapes
from edgebig.progress import track

DEFAULT_BUDGET = 1 << 28
DEFAULT_SEGMENTS = 16
Outputs = dict[str, NDArray]


class PartialRun:
    """Runs models that differ from an original in places.

    Outputs that no node of the graph gives (its inputs and constants, handed through) are left out.

    Args:
        model: The original; it stays as it is.
        samples: The feeds; they must be the same each time they are gone through.
        budget: Bytes that tensors kept between runs may take; what does not fit is computed again.
        segments: Parts that the graph is cut into, at most.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        optimize: Whether onnxruntime may rewrite the segments. If not, results are those of a full run bit by bit;
            if so, they differ by rounding where it fuses nodes on both sides of a cut.

    Attributes:
        reference: The original's outputs, feed by feed.
        pass_seconds: What one run of the original over all feeds took.
        pass_macs: Its multiply-accumulates per feed, by the shapes of the first; 0 where shapes are not known.
        seconds: What all runs and sessions took since, the first run over the samples included.
        macs: Their multiply-accumulates, likewise; those of a change count as those of the segments it replaces.

    Raises:
        InvalidModelError: onnxruntime cannot run the model.
        InvalidDataError: There are no feeds.
    """

    def __init__(
        self,
        model: ir.Model,
        samples: Samples,
        *,
        budget: int = DEFAULT_BUDGET,
        segments: int = DEFAULT_SEGMENTS,
        threads: int = 0,
        optimize: bool = True,
    ) -> None:
        began = time.perf_counter()
        first = next(iter(samples), None)
        if first is None:
            raise InvalidDataError(f"samples {samples.source}: no feeds, nothing to run on")
        self._samples = samples
        self._threads, self._optimize = threads, optimize
        self._base = _sorted_copy(model)
        infer_shapes(self._base)
        self._graph = cut_graph(self._base, first, segments)
        self._finder = RegionFinder(self._base, self._graph.cuts)
        values = (*self._base.graph.inputs, *(value for node in self._base.graph for value in node.outputs))
        self._types = {value.name: value.type for value in values}
        self._arrays = shared_arrays(self._base)
        self._sessions = [self._segment(index) for index in range(len(self._graph.cuts) - 1)]
        feeds = samples.feeds if samples.feeds is not None else sum(1 for _ in samples)
        sizes = [None if cut.bytes is None else cut.bytes * feeds for cut in self._graph.cuts]
        self._store = CutStore(budget, cuts_to_keep(sizes, budget))
        self.pass_macs = self._graph.macs_from(0)
        self.macs = self.pass_macs * feeds
        self.pass_seconds = 0.0
        self.reference = [self._first_run(index, feed) for index, feed in enumerate(track(samples, "running", feeds))]
        self.seconds = time.perf_counter() - began

    @property
    def feeds(self) -> int:
        """How many feeds there are."""
        return len(self.reference)

    @property
    def segments(self) -> int:
        """How many parts the graph is cut into."""
        return len(self._sessions)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the tensors kept at the cuts."""
        return self._store.bytes

    def open(self, changed: ir.Model) -> "ChangedRun":
        """Find what is different in a changed model, and make it ready to run.

        Args:
            changed: The model; it takes the original's inputs and gives its outputs, by name. It stays as it is.

        Raises:
            InvalidModelError: It lacks an output, or onnxruntime refuses it.
        """
        began = time.perf_counter()
        changed = changed if _is_sorted(changed.graph) else _sorted_copy(changed)
        region = self._finder.find(changed)
        session = None
        if region is not None and region.outputs:
            part = extract_part(changed, list(region.inputs), region.outputs)
            for value, name in zip(part.graph.inputs, region.inputs.values(), strict=True):
                value.type = value.type or self._types.get(name)
            session = PartSession(part, threads=self._threads, optimize=self._optimize, cache=self._arrays)
        self.seconds += time.perf_counter() - began
        return ChangedRun(self, region, session)

    def share_of(self, region: Region | None) -> float:
        """Share of the model that a region and all behind it are."""
        return 0.0 if region is None else self._graph.share_from(region.start)

    def run(self, region: Region, session: PartSession | None, feeds: Collection[int]) -> Iterator[tuple[int, Outputs]]:
        """Run a region of a changed model and all behind it; see `ChangedRun.outputs`."""
        for index, feed in enumerate(self._samples):
            if index not in feeds:
                continue
            began = time.perf_counter()
            outputs = dict(self.reference[index])
            state = self._state(index, feed, region.start)
            values: State = {}
            if session is not None:
                values = session.run({value.name or "": state[name] for value, name in region.inputs.items()})
            values |= {name: state[source] for name, source in region.kept.items()}
            outputs |= {name: values[name] for name in region.changed if name in values}
            if any(name not in values for name in region.changed):
                self._go_on(feed | values, region.stop, len(self._graph.cuts) - 1, outputs)
            self.macs += self._graph.macs_from(region.start)
            self.seconds += time.perf_counter() - began
            yield index, outputs

    def _segment(self, index: int) -> PartSession | None:
        """The original between two neighbouring cuts; None where nothing of it is needed."""
        here, behind = self._graph.cuts[index], self._graph.cuts[index + 1]
        nodes = self._graph.nodes[here.position : behind.position]
        wanted = [
            value
            for node in nodes
            for value in node.outputs
            if value.is_graph_output() or (value.name or "") in behind.crossing
        ]
        if not wanted:
            return None
        given = set(here.crossing)
        values = [*self._base.graph.inputs, *(value for node in self._graph.nodes for value in node.outputs)]
        part = extract_part(self._base, [value for value in values if value.name in given], wanted)
        return PartSession(part, threads=self._threads, optimize=self._optimize, cache=self._arrays)

    def _first_run(self, index: int, feed: Feed) -> Outputs:
        outputs: Outputs = {}
        state: State = dict(feed)
        for cut in range(len(self._sessions)):
            began = time.perf_counter()
            state = self._go_on(state, cut, cut + 1, outputs)
            self.pass_seconds += time.perf_counter() - began
            self._store.put(index, cut + 1, {name: array for name, array in state.items() if name not in feed})
        return outputs

    def _state(self, index: int, feed: Feed, cut: int) -> State:
        """What crosses a cut, for one feed."""
        at, kept = self._store.nearest(index, cut)
        self.macs += self._graph.macs_from(at, cut)
        return self._go_on(feed | kept, at, cut, {})

    def _go_on(self, state: State, cut: int, stop: int, outputs: Outputs) -> State:
        """Run the original's segments from one cut to another; outputs on the way are added to `outputs`."""
        for index in range(cut, stop):
            session = self._sessions[index]
            crossing = self._graph.cuts[index + 1].crossing
            values = {} if session is None else session.run(state)
            outputs |= {name: array for name, array in values.items() if name in self._output_names}
            state = {name: values[name] if name in values else state[name] for name in crossing}
        return state

    @property
    def _output_names(self) -> set[str]:
        return {value.name or "" for value in self._base.graph.outputs}


class ChangedRun:
    """A changed model, ready to run; made by `PartialRun.open`.

    Attributes:
        share: Share of the model that runs for it: of the original's multiply-accumulates, or of its nodes where shapes
            do not tell those.
        bytes: Bytes of the weights that its session refers to or holds.
    """

    def __init__(self, owner: PartialRun, region: Region | None, session: PartSession | None) -> None:
        self._owner, self._region, self._session = owner, region, session
        self.share = owner.share_of(region)
        self.bytes = 0 if session is None else session.bytes

    @property
    def span(self) -> tuple[int, int] | None:
        """The cuts between which the change lies; None where nothing is changed."""
        return None if self._region is None else (self._region.start, self._region.stop)

    def outputs(self, feeds: Collection[int] | None = None) -> Iterator[tuple[int, Outputs]]:
        """Run, and yield the index of each feed with all outputs of the model.

        Args:
            feeds: Indices of the feeds; None for all.

        Raises:
            InvalidModelError: onnxruntime fails.
        """
        chosen = range(self._owner.feeds) if feeds is None else frozenset(feeds)
        if self._region is None:
            yield from ((index, dict(self._owner.reference[index])) for index in sorted(chosen))
        else:
            yield from self._owner.run(self._region, self._session, chosen)


def _sorted_copy(model: ir.Model) -> ir.Model:
    copy = working_copy(model)
    copy.graph.sort()
    return copy


def _is_sorted(graph: ir.Graph) -> bool:
    """Whether every node stands behind all it reads."""
    known = {*graph.inputs, *graph.initializers.values()}
    for node in graph:
        if not reads(node) <= known:
            return False
        known.update(node.outputs)
    return True
