"""What `bench` was asked, and what it measured: raw values, with everything that decides whether they compare."""

import dataclasses
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.runtime import RuntimeRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How to measure.

    Attributes:
        provider: Name of the execution provider.
        runtimes: Names of the runtimes; every model is measured in each.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        batch: Size of the first axis of every input where it is dynamic; None for 1, or for what the samples have.
        dims: Sizes of other dynamic axes, by the axis' name, or by INPUT:AXIS where it has none.
        rounds: At most this many rounds; each gives every model one turn.
        time: No new round is begun after so many seconds (three are always made).
        warmup: Runs before measuring; None for as many as it takes until times are steady (2 seconds at most).
        seed: Of random inputs, of the order within a round, and of the bootstrap.
    """

    provider: str = "cpu"
    runtimes: tuple[str, ...] = ("ort",)
    threads: int = 1
    batch: int | None = None
    dims: dict[str, int] = dataclasses.field(default_factory=dict)
    rounds: int = 200
    time: float = 10.0
    warmup: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.runtimes or len(set(self.runtimes)) < len(self.runtimes):
            raise UsageError(f"runtimes are {list(self.runtimes)}; give one or more, each once")
        _at_least("threads", self.threads, 0)
        _at_least("rounds", self.rounds, 1)
        _at_least("warmup", self.warmup, 0)
        _at_least("batch", self.batch, 1)
        _at_least("seed", self.seed, 0)
        for name, size in self.dims.items():
            _at_least(f"dim {name}", size, 1)
        if not 0 < self.time <= 86_400:
            raise UsageError(f"time is {self.time:g}; give seconds above 0 and up to 86400")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Facts of a machine that do not change while it runs.

    Attributes:
        cpu_model: The processor's name.
        architecture: "x86_64", "aarch64", ...
        features: Its instruction sets that decide how integers run.
        cores: Logical processors of the machine.
        usable_cores: Logical processors this process may run on.
        memory_bytes: Installed memory.
        governor: The clock governor ("performance", "powersave", ...); None where it cannot be read.
        max_mhz: Highest clock; None where it cannot be read.
    """

    cpu_model: str
    architecture: str
    features: tuple[str, ...]
    cores: int
    usable_cores: int
    memory_bytes: int
    governor: str | None
    max_mhz: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """How the machine was while it measured. None where a value cannot be read.

    Attributes:
        started: When it began: ISO 8601, UTC.
        seconds: How long it took, building and warm-up included.
        load_average: The one-minute load average when it began.
        available_bytes: Free memory when it began.
        others_cores: Processors that other processes kept busy meanwhile, on average.
        steal: Share of time that the hypervisor gave to other machines.
        mhz: Clock when it began and when it ended.
    """

    started: str
    seconds: float
    load_average: float | None
    available_bytes: int
    others_cores: float
    steal: float
    mhz: tuple[float, float] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """Where something was measured.

    Attributes:
        machine: The machine.
        os: Operating system and its version.
        python: Python's version.
        packages: Versions of the packages that decide the result.
        conditions: How the machine was meanwhile.
    """

    machine: Machine
    os: str
    python: str
    packages: dict[str, str]
    conditions: Conditions


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundInput:
    """What one input was given.

    Attributes:
        dtype: Its dtype.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What was run, the same for all models of a measurement.

    Attributes:
        runtime: What runs models, in words; all that took part.
        provider: Name of the execution provider, requested and in force.
        threads: Threads within an operator; 0: onnxruntime's choice.
        inputs: The inputs, by name.
        data: Where the inputs' values come from.
        options: The options as given.
    """

    runtime: str
    provider: str
    threads: int
    inputs: dict[str, BoundInput]
    data: str
    options: BenchOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Statistics of one model's values, in nanoseconds per run.

    Attributes:
        n: How many values.
        min: The smallest.
        p50: The median.
        p90: 90 % are at most this.
        p99: 99 % are at most this.
        mad: Median absolute deviation from the median (not scaled).
        mean: Their mean.
        stdev: Their standard deviation.
        per_second: Runs per second, one after the other: 1e9 / mean.
    """

    n: int
    min: float
    p50: float
    p90: float
    p99: float
    mad: float
    mean: float
    stdev: float
    per_second: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against the first one of the same measurement.

    Attributes:
        speedup: Median over rounds of the first one's time over this one's; above 1 is faster.
        low: Lower end of its interval.
        high: Upper end.
        confidence: Of the interval.
        verdict: "faster", "slower" or "no difference shown".
    """

    speedup: float
    low: float
    high: float
    confidence: float
    verdict: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelMeasurement:
    """One model's times.

    Attributes:
        name: Its name in this measurement; unlike that of any other.
        runtime: Name of the runtime that ran it.
        file: Its file's name.
        sha256: Of its files.
        bytes: Size of its files together.
        build_ns: Time to build the session.
        first_run_ns: Time of the first run, inputs and outputs copied.
        warmup_runs: Unmeasured runs before the rounds.
        steady: Whether warm-up ended with steady times; None where its length was given.
        loops: Runs that were timed together as one value; percentiles are of such means where it is not 1.
        values: Nanoseconds per run, one tuple per round.
        summary: Statistics of the values.
        comparison: Against the first model; None for the first.
        same_model: Against the same model in the first runtime; None in the first runtime.
        story: What edgebig's runtime did with it; None where another ran it, or kernels cannot run at all.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    build_ns: int
    first_run_ns: int
    warmup_runs: int
    steady: bool | None
    loops: int
    values: tuple[tuple[float, ...], ...]
    summary: Summary
    comparison: Comparison | None
    runtime: str = "ort"
    same_model: Comparison | None = None
    story: RuntimeRecord | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasurementRecord(Record):
    """Latency of one or more models, interleaved.

    Attributes:
        settings: What was run.
        environment: Where.
        models: The models, in the order given.
        warnings: What makes the numbers less certain, in words.
    """

    schema: ClassVar[str] = "edgebig.measurement"

    settings: Settings
    environment: Environment
    models: tuple[ModelMeasurement, ...]
    warnings: tuple[str, ...]

    def check_comparable(self, other: "MeasurementRecord") -> None:
        """Refuse to compare with a measurement of another machine, another setting or other input shapes.

        Software versions may differ: they are what one may want to compare.

        Raises:
            UsageError: They do not compare; the message names every difference.
        """
        mine, theirs = self._identity(), other._identity()
        differences = [f"{name}: {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        if differences:
            raise UsageError(
                f"these measurements do not compare: {'; '.join(differences)}. Measure both with one edgebig bench."
            )

    def _identity(self) -> dict[str, object]:
        machine = dataclasses.asdict(self.environment.machine)
        shapes = {name: f"{bound.dtype}{list(bound.shape)}" for name, bound in self.settings.inputs.items()}
        settings = {name: getattr(self.settings, name) for name in ("runtime", "provider", "threads")}
        return {**machine, **settings, "inputs": shapes}


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{name} is {value}; it must be at least {least}")
