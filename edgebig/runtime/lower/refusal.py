"""Why a node is left to onnxruntime."""


class Refusal(Exception):  # noqa: N818 - not an error: the node simply runs elsewhere
    """A node cannot be lowered; the message completes the sentence "left to onnxruntime: ...".

    Attributes:
        reason: Why, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
