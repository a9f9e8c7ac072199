"""The network: MobileNetV3 at the size of 28x28 grey images, in plain torch.

Follows Howard et al., "Searching for MobileNetV3" (2019), table 2: inverted residual blocks with depthwise 3x3 and 5x5
convolutions, ReLU early and hard-swish later, squeeze-excite with a hard sigmoid, batch norm after every convolution.
Channel widths are multiples of 16, so that blocks of 16 rows divide every layer but the first.
"""

from dataclasses import dataclass

import torch
from torch import nn

CLASSES = 10
STEM_CHANNELS = 16
LAST_CHANNELS = 192
HEAD_CHANNELS = 192


@dataclass(frozen=True)
class Block:
    """One row of the network table.

    Attributes:
        kernel: side of the depthwise kernel, 3 or 5.
        hidden: channels after the expansion.
        out: channels after the projection.
        squeeze: whether the block has squeeze-excite.
        swish: hard-swish where true, ReLU otherwise.
        stride: stride of the depthwise convolution.
    """

    kernel: int
    hidden: int
    out: int
    squeeze: bool
    swish: bool
    stride: int


BLOCKS = (
    Block(kernel=3, hidden=16, out=16, squeeze=False, swish=False, stride=2),
    Block(kernel=3, hidden=48, out=32, squeeze=False, swish=False, stride=1),
    Block(kernel=5, hidden=64, out=48, squeeze=True, swish=True, stride=2),
    Block(kernel=5, hidden=192, out=48, squeeze=True, swish=True, stride=1),
    Block(kernel=5, hidden=192, out=64, squeeze=True, swish=True, stride=1),
    Block(kernel=5, hidden=192, out=64, squeeze=True, swish=True, stride=1),
)


def convolution(
    inputs: int, outputs: int, kernel: int, activation: nn.Module | None, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Make convolution, batch norm and, where given, an activation; `kernel` is odd and the padding keeps the size."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation]))


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate in [0, 1] computed from the mean of all channels.

    Args:
        channels: channels in and out; the narrow layer between has a quarter of them, rounded up to a multiple of 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = -(-channels // 64) * 16
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [batch, channels, height, width] to the same shape."""
        return x * self.gate(x)


class InvertedResidual(nn.Module):
    """Expansion 1x1, depthwise convolution, squeeze-excite, projection 1x1; a shortcut where the shapes agree.

    Args:
        inputs: channels of the input.
        block: the row of the network table.
    """

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        activation: type[nn.Module] = nn.Hardswish if block.swish else nn.ReLU
        layers: list[nn.Module] = []
        if block.hidden != inputs:
            layers.append(convolution(inputs, block.hidden, 1, activation()))
        layers.append(
            convolution(block.hidden, block.hidden, block.kernel, activation(), block.stride, groups=block.hidden)
        )
        if block.squeeze:
            layers.append(SqueezeExcite(block.hidden))
        layers.append(convolution(block.hidden, block.out, 1, None))
        self.layers = nn.Sequential(*layers)
        self.shortcut = block.stride == 1 and inputs == block.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [batch, inputs, height, width] to [batch, out, height / stride, width / stride]."""
        y = self.layers(x)
        return x + y if self.shortcut else y


class FashionMobileNet(nn.Module):
    """The whole classifier."""

    def __init__(self) -> None:
        super().__init__()
        widths = [STEM_CHANNELS, *(block.out for block in BLOCKS)]
        self.stem = convolution(1, STEM_CHANNELS, 3, nn.Hardswish())
        self.blocks = nn.Sequential(
            *(InvertedResidual(inputs, block) for inputs, block in zip(widths, BLOCKS, strict=False))
        )
        self.last = convolution(widths[-1], LAST_CHANNELS, 1, nn.Hardswish())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(
            nn.Linear(LAST_CHANNELS, HEAD_CHANNELS), nn.Hardswish(), nn.Linear(HEAD_CHANNELS, CLASSES)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Classify images.

        Args:
            image: float32 [batch, 1, 28, 28], normalised as `data.normalise` does.

        Returns:
            The logits, float32 [batch, 10].
        """
        x = self.last(self.blocks(self.stem(image)))
        return self.head(torch.flatten(self.pool(x), 1))


def build() -> nn.Module:
    """Make the network with fresh weights, in eval mode; input `image`, output `logits`."""
    return FashionMobileNet().eval()
