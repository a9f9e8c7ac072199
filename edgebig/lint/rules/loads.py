"""The last word on a file for onnxruntime's CPU provider: the installed one loads it, or says why not."""

from collections.abc import Iterator

from edgebig.errors import InvalidModelError, MissingDependencyError
from edgebig.graph.session import Session
from edgebig.lint.context import Context, finding
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "does-not-load"


def check(context: Context) -> Iterator[Finding]:
    """Open the model."""
    if context.target.providers[0] != "CPUExecutionProvider":
        return
    try:
        with Session(context.file or context.model, threads=1):
            return
    except MissingDependencyError:
        return  # on a machine without onnxruntime there is nobody to ask
    except InvalidModelError as e:
        yield finding(
            NAME,
            Severity.REFUSED,
            None,
            str(e).partition(": ")[2] or str(e),
            advice="repair what the other findings name; else export the model again",
        )


RULE = Rule(NAME, check, source="the installed onnxruntime")
