"""Statistics of intermediate tensors over samples: one pass, in memory that does not grow with their number.

Each batch runs through the float model, in stages where its tensors together exceed the budget; the values go into
the statistics and are forgotten. What was gathered is kept in a file from time to time: the next run over the same
samples goes on where it ends, whether it holds all of them or the run before was interrupted.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError
from edgebig.progress import track
from edgebig.quantize.calibrate.gather import Gatherer
from edgebig.quantize.calibrate.memory import tensor_budget
from edgebig.quantize.calibrate.staged_run import StagedRun
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.calibrate.statistics_file import StatisticsFile


@dataclass(frozen=True)
class Observed:
    """What was done to gather statistics.

    Attributes:
        feeds: Feeds that the statistics hold.
        run: How many of them the model ran on; the others' statistics were kept from before.
        stages: Parts that the graph was cut into, to stay within the budget; 0 where nothing ran.
        unseen: Names of tensors that held no values on any feed.
    """

    feeds: int
    run: int
    stages: int
    unseen: tuple[str, ...]


def observe(
    model: ir.Model,
    samples: Samples,
    statistics: Mapping[str, TensorStatistics],
    sizes: Mapping[str, int],
    *,
    budget: int,
    threads: int = 0,
    kept: StatisticsFile | None = None,
) -> Observed:
    """Gather the statistics of tensors.

    Args:
        model: The float model.
        samples: The feeds.
        statistics: Tensor name -> what is gathered, all empty; inputs of the model may be among them.
        sizes: Value name -> its bytes on one feed, as far as they are known.
        budget: Bytes of memory for all of it.
        threads: Threads within an operator, and for the statistics; 0 leaves the choice to onnxruntime, and takes all
            processors for the statistics.
        kept: Where statistics are kept; None keeps none.

    Raises:
        InvalidDataError: The samples hold no feeds, a tensor holds NaN or infinity on them, or all are empty.
        InvalidModelError: onnxruntime cannot run the model.
    """
    inputs = {value.name or "" for value in model.graph.inputs}
    wanted = [name for name in statistics if name not in inputs]
    given = [name for name in statistics if name in inputs]
    stages = 0
    with contextlib.ExitStack() as stack:
        run: StagedRun | None = None
        gatherer = stack.enter_context(Gatherer(statistics, threads))
        walk = _Walk(samples, kept, statistics, gatherer.wait)
        for feed in walk:
            gatherer.add({name: feed[name] for name in given})
            if run is None and wanted:  # where all is known from before, no session is built
                run = stack.enter_context(
                    StagedRun(model, wanted, sizes, budget=tensor_budget(budget), threads=threads)
                )
                stages = len(run.stages)
            for arrays in run.run(feed) if run is not None else ():
                gatherer.add(arrays)
        gatherer.wait()
    if not walk.feeds:
        raise InvalidDataError(f"samples {samples.source} hold no feeds: there is nothing to observe")
    unseen = tuple(name for name, found in statistics.items() if not found.seen)
    if len(unseen) == len(statistics):
        raise InvalidDataError(f"samples {samples.source} give no values in any tensor, e.g. {unseen[:1]}")
    return Observed(walk.feeds, walk.run, stages, unseen)


class _Walk:
    """Goes through samples; yields those whose statistics are not there yet, and keeps the statistics in between.

    Attributes:
        feeds: Feeds gone through.
        run: How many of them were yielded.
    """

    def __init__(
        self,
        samples: Samples,
        kept: StatisticsFile | None,
        statistics: Mapping[str, TensorStatistics],
        settle: Callable[[], None],
    ) -> None:
        self._samples = samples
        self._kept = kept
        self._statistics = statistics
        self._settle = settle
        self.feeds = 0
        self.run = 0

    def __iter__(self) -> Iterator[Feed]:
        known = self._known()
        digest = hashlib.sha256()
        whole = True  # whether the statistics hold all feeds so far, or soon will, and no part of another
        try:
            for feed in track(self._samples, _description(known), self._samples.feeds):
                add_to_digest(digest, feed)
                self.feeds += 1
                if self.feeds > known:
                    whole = False
                    yield feed
                    whole = True
                    self.run += 1
                    if self._kept is not None and self._kept.is_due():
                        self._save(self._kept.save, digest.hexdigest())
        finally:
            # Also where the samples fail on the way, or the user has enough of it.
            if self._kept is not None and whole and self.run:
                self._save(self._kept.save_last, digest.hexdigest())

    def _save(self, save: Callable[[Mapping[str, TensorStatistics], int, str], None], digest: str) -> None:
        self._settle()
        save(self._statistics, self.feeds, digest)

    def _known(self) -> int:
        """Feeds at the beginning of the samples whose statistics are there; the statistics then hold them."""
        found = self._kept.load(self._statistics) if self._kept is not None else None
        if found is None:
            return 0
        digest, feeds = hashlib.sha256(), 0
        for feed in self._samples:
            add_to_digest(digest, feed)
            feeds += 1
            if feeds == found.feeds:
                break
        if feeds != found.feeds or digest.hexdigest() != found.digest:
            return 0
        found.restore(self._statistics)
        return feeds


def _description(known: int) -> str:
    return "observing ranges" + (f", {known} feeds known from before" if known else "")


def add_to_digest(digest: "hashlib._Hash", feed: Feed) -> None:
    """Add a feed's names, shapes, dtypes and contents."""
    for name in sorted(feed):
        array = feed[name]
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
