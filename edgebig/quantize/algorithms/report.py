"""What an accuracy algorithm did, and what it was worth."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AlgorithmReport:
    """One algorithm.

    Attributes:
        algorithm: Its name, as on the command line.
        kept: Whether the model has it.
        where: What it changed, in words, one entry per place; empty where it found nothing to do.
        skipped: Places it left alone, with the reason.
        loss_before: Loss of the quantized model on held-out samples without it; None where it was not measured.
        loss_after: The same with it.
        reason: Why it was not kept, in words; empty where it was.
    """

    algorithm: str
    kept: bool
    where: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    loss_before: float | None = None
    loss_after: float | None = None
    reason: str = ""
