"""The network: EfficientNet-Lite0 as a classifier of Fashion-MNIST's raw pixels, in plain torch.

EfficientNet-Lite0 is the B0 network of Tan and Le, "EfficientNet" (2019), table 1, without squeeze-excite, with ReLU6
for swish, and with a stem and a last layer of fixed width. Its pretrained weights come from TensorFlow, whose "SAME"
padding is uneven where the stride is 2. The 28x28 grey image is enlarged to 96x96 and given to all three colours.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

CLASSES = 10
SIDE = 96
STEM_CHANNELS = 32
FEATURES = 1280
NORM_EPSILON = 1e-3
# The pretrained network takes (pixel - 127) / 128.
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0


@dataclass(frozen=True)
class Stage:
    """One row of the network table.

    Attributes:
        repeats: blocks in the stage.
        kernel: side of the depthwise kernel, 3 or 5.
        stride: stride of the stage's first block; the others have 1.
        expansion: how many times as many channels a block has inside.
        out: channels after each block.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    out: int


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, out=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, out=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, out=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, out=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, out=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, out=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, out=320),
)


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Make convolution, batch norm and, where asked for, ReLU6, with TensorFlow's "SAME" padding.

    The padding of a stride of 2 is the one for images of even height and width: one column less at the left than at
    the right, which a convolution cannot have itself.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride == 2:
        layers["pad"] = nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2) * 2)
    layers["convolution"] = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(outputs, NORM_EPSILON)
    if activation:
        layers["activation"] = nn.ReLU6()
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """Expansion 1x1, depthwise convolution, projection 1x1; a shortcut where the shapes agree.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the depthwise kernel.
        stride: 1 or 2.
        expansion: how many times as many channels there are inside; 1 leaves the expansion out.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = convolution(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.project = convolution(inner, outputs, 1, activation=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [batch, inputs, height, width] to [batch, outputs, height / stride, width / stride]."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


def stage_blocks() -> list[InvertedResidual]:
    """Make the blocks of all stages, one after the other."""
    blocks: list[InvertedResidual] = []
    channels = STEM_CHANNELS
    for stage in STAGES:
        for index in range(stage.repeats):
            stride = stage.stride if index == 0 else 1
            blocks.append(InvertedResidual(channels, stage.out, stage.kernel, stride, stage.expansion))
            channels = stage.out
    return blocks


class EfficientNetLite0(nn.Module):
    """The whole classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.Sequential(*stage_blocks())
        self.last = convolution(STAGES[-1].out, FEATURES, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(FEATURES, CLASSES)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Map raw pixels, float32 [batch, 1, 28, 28], to what the head judges, float32 [batch, 1280]."""
        scaled = (image - PIXEL_MEAN) / PIXEL_SCALE
        large = functional.interpolate(scaled, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        x = self.last(self.blocks(self.stem(large.expand(-1, 3, -1, -1))))
        return torch.flatten(self.pool(x), 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Classify images.

        Args:
            image: raw pixels from 0 to 255, float32 [batch, 1, 28, 28].

        Returns:
            The logits, float32 [batch, 10].
        """
        return self.head(self.features(image))


def build() -> nn.Module:
    """Make the network with fresh weights, in eval mode; input `image`, output `logits`."""
    return EfficientNetLite0().eval()
