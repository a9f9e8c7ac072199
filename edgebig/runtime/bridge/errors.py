"""What the bridge raises."""

from edgebig.errors import EdgebigError


class BridgeError(EdgebigError):
    """Numba kernels cannot be run inside onnxruntime: the platform, its build of onnxruntime, or a program is unfit."""
