"""What kernels refuse."""

from edgebig.errors import EdgebigError


class KernelError(EdgebigError):
    """A kernel cannot do what its fields ask: an unknown instruction set, impossible shapes, unsafe weights."""
