"""How a budget of memory is divided."""

# The tensors of one batch that are looked at may take one part in so many: those of the batch before are still there,
# and so is what onnxruntime keeps in between, the model's weights, once more in the layout of its kernels, and Python.
PARTS = 8


def tensor_budget(budget: int) -> int:
    """Bytes that the observed tensors may take at once.

    Args:
        budget: Bytes for the whole process.
    """
    return max(budget // PARTS, 1)
