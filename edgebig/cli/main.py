"""The `edgebig` command: a group whose commands are imported only when they run."""

import difflib
import importlib
import sys
from typing import Any

import click

from edgebig import __version__
from edgebig.errors import EdgebigError

# Command -> (module, function, the line that `edgebig --help` shows). The line stands here too so that help needs no
# import; a test holds both equal.
COMMANDS: dict[str, tuple[str, str]] = {
    "export": ("edgebig.cli.export", "Export a torch module to ONNX and prove it equal."),
    "inspect": ("edgebig.cli.inspect", "Show what is in an ONNX model: ops, parameters, MACs, size."),
    "optimize": ("edgebig.cli.optimize", "Clean up an ONNX graph, outputs proven equal."),
    "prune": ("edgebig.cli.prune", "Set weights to zero in a pattern, and repair the rest."),
    "quantize": ("edgebig.cli.quantize", "Quantize a model for a target."),
    "diagnose": ("edgebig.cli.diagnose", "Find why a quantized model goes wrong, and what repairs it."),
    "lint": ("edgebig.cli.lint", "Show what a target refuses, ignores or slows down, and repair it."),
    "compress": ("edgebig.cli.compress", "Run a recipe: the whole way, step by step, resumable."),
    "evaluate": ("edgebig.cli.evaluate", "Score models on a task."),
    "compare": ("edgebig.cli.compare", "Compare two models' outputs on the same samples."),
    "bench": ("edgebig.cli.bench", "Measure latency, several models interleaved."),
    "prepare": ("edgebig.cli.prepare", "Compile and measure a model's kernels ahead of time."),
    "doctor": ("edgebig.cli.doctor", "Show what is installed, and the line that mends what is not."),
}


class _Failure(click.ClickException):
    """An error of edgebig's with its own exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown one name the nearest, and all that exist."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"unknown command {args[0]!r}.{hint} Known: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; edgebig's errors become one message and their exit code."""
        try:
            return super().invoke(ctx)
        except EdgebigError as e:
            raise _Failure(str(e), e.exit_code) from e

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgebig")
def cli() -> None:
    """Compress ONNX models and prove the result on the device.

    A torch module or an .onnx file and some unlabelled samples go in; a smaller, faster ONNX model comes out, whose
    loss is bounded and measured. Exit codes: 0 done, 1 failed, 2 usage, 3 a quality gate was missed.
    """


def main() -> None:
    """Entry point of the `edgebig` command."""
    try:
        # Outside standalone mode click returns the code that a command gave to `exit`.
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. No output was written.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
