"""What every kernel is: a step, specialised to shapes, that turns addresses into results."""

from collections.abc import Callable
from typing import Any, Protocol


class Step(Protocol):
    """A kernel specialised to shapes: a frozen dataclass of plain values, whose `repr` is the expression that makes it.

    A generated module holds that expression, so a step's fields are all it may depend on.

    Attributes:
        operands: Names of the addresses that the built function takes, in order.
        tasks: Into how many independent parts the work is split; the parts may run at the same time on several threads.
    """

    @property
    def operands(self) -> tuple[str, ...]: ...

    @property
    def tasks(self) -> int: ...

    def build(self) -> Callable[..., Any]:
        """A jitted function `run(*addresses, task)` of one 64-bit address per operand and the task's index.

        It does part `task` of the work. It never reads or writes outside the operands' tensors, keeps no state, and
        allocates nothing but its own stack.
        """
        ...
