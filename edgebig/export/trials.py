"""The runs on which torch and onnxruntime are compared, and torch's part of them."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgebig.data.feeds import Feed
from edgebig.errors import QualityGateError, UsageError
from edgebig.export.feeds import Feeds, negated
from edgebig.export.parity import DTYPE_STEPS, Outputs, relative_error
from edgebig.export.sizes import describe_sizes, sizes_to_verify
from edgebig.export.torch_model import ForwardError, TorchModel
from edgebig.progress import track
from edgebig.records.export import ExportOptions, SkippedSizes

# A module of more bytes is not copied in double precision to learn its noise.
_LARGEST_DOUBLE = 2_000_000_000


@dataclass
class Trials:
    """The runs.

    Attributes:
        model: The torch side.
        feeds: Makes the feeds.
        options: For the sizes, and how many real samples.
        sizes: Combinations of sizes that the module takes.
        skipped: Those that it refuses.
    """

    model: TorchModel
    feeds: Feeds
    options: ExportOptions
    sizes: list[dict[str, int]] = field(default_factory=list)
    skipped: list[SkippedSizes] = field(default_factory=list)

    def prepare(self) -> None:
        """Find out which sizes the module takes, and that it answers alike twice.

        Raises:
            UsageError: It refuses the example, or an axis takes no other size than the example's.
            QualityGateError: It gives other outputs for the same inputs.
        """
        self._check_repeatable()
        self.add_sizes({})
        for name, size in self.feeds.base.items():
            known = {f"{name}={size}", f"{name}=1"}
            refused = [s.reason for s in self.skipped if not known & set(s.sizes.split(", "))]
            # A size of 1 proves nothing: it is stretched to any other.
            if refused and all(sizes[name] in (size, 1) for sizes in self.sizes):
                raise UsageError(
                    f"{self.model.where}: axis {name!r} cannot be dynamic. The module itself takes no other size than "
                    f"{size}: {refused[0]}. Leave the axis fixed, or change the module."
                )

    def add_sizes(self, bounds: Mapping[str, int]) -> None:
        """Try the sizes not yet tried; `bounds` are sizes above which a graph is said to hold no more."""
        tried = [describe_sizes(sizes) for sizes in self.sizes] + [s.sizes for s in self.skipped]
        plan = sizes_to_verify(self.feeds.inputs.axes, self.options.size_requests, bounds)
        new = [sizes for sizes in plan if describe_sizes(sizes) not in tried]
        for sizes in track(new, "trying sizes in torch"):
            try:
                self.model.run(self.feeds.of_sizes(sizes))
            except ForwardError as e:
                self.skipped.append(SkippedSizes(sizes=describe_sizes(sizes), reason=str(e)))
            else:
                self.sizes.append(sizes)

    def runs(self) -> Iterator[tuple[str, Feed, Outputs]]:
        """Every run: its name, the feed, torch's outputs."""
        for sizes in self.sizes:
            feed = self.feeds.of_sizes(sizes)
            yield describe_sizes(sizes), feed, self.model.run(feed)
        feed = negated(self.feeds.example())
        try:
            outputs = self.model.run(feed)
        except ForwardError:
            pass  # a module may refuse negative values
        else:
            yield f"{describe_sizes(self.feeds.base)}, values negated", feed, outputs
        done = 0
        for count, feed in self.feeds.real(self.options.samples):
            yield f"real samples {done} to {done + count - 1}", feed, self.model.run(feed)
            done += count

    @property
    def total(self) -> int:
        """How many runs there are, at least."""
        return len(self.sizes) + 1

    @property
    def real_samples(self) -> int:
        """How many real samples are compared."""
        return sum(count for count, _ in self.feeds.real(self.options.samples))

    def exact(self, feed: Feed) -> Outputs | None:
        """torch's outputs in double precision; None where the module cannot, or is too large to be copied."""
        module = self.model.module
        size = sum(tensor.nbytes for tensor in module.state_dict().values())
        if self.model.program is not None or size > _LARGEST_DOUBLE:
            return None
        wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in feed.items()}
        try:
            return self.model.run(wide, module=copy.deepcopy(module).double())
        except (UsageError, RuntimeError, TypeError):  # dtypes written into its code, or parts that cannot be copied
            return None

    def _check_repeatable(self) -> None:
        feed = self.feeds.example()
        try:
            first, second = self.model.run(feed), self.model.run(feed)
        except ForwardError as e:
            shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feed.items())
            raise UsageError(f"{self.model.where}: forward refuses the example ({shapes}): {e}") from e
        for name, wanted in first.items():
            error = relative_error(wanted, second[name]) if wanted.shape == second[name].shape else np.inf
            steps = DTYPE_STEPS * float(np.finfo(wanted.dtype).eps) if wanted.dtype.kind == "f" else 0.0
            if error is not None and error > max(steps, self.options.tolerance):
                raise QualityGateError(
                    f"{self.model.where}: output {name!r} differs between two runs on the same inputs, so an exported "
                    "model cannot be compared with it. Remove what is random, or what it remembers between runs."
                )
