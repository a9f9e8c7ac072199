"""Small modules to export, as a user's own file has them."""

import torch
from torch import nn
from torch.nn import functional


class ConvNet(nn.Module):
    """Convolution, batch norm, depthwise convolution, pooling: float32 [batch, 3, 8, 8] to logits [batch, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.first(image)))
        x = functional.hardswish(self.depthwise(x)) + x
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Encoder(nn.Module):
    """One attention layer with a mask, pooled: int64 [batch, length] twice to a dict of float32 and int64."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.norm = nn.LayerNorm(16)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.words(ids)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 4 + (1.0 - mask[:, None, :].float()) * -1e4
        x = self.norm(x + torch.softmax(scores, -1) @ self.value(x))
        keep = mask[..., None].float()
        pooled = (x * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
        return {"embedding": functional.normalize(pooled, dim=1), "longest": mask.sum(1)}


class Difference(nn.Module):
    """Two inputs of one shape that must not be mixed up."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left - 2 * right


class ValueBranch(nn.Module):
    """Takes another way where the values say so."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return self.layer(x)
        return -self.layer(x)


class SizeBranch(nn.Module):
    """Takes another way for large batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * 2 if x.shape[0] > 10 else self.layer(x)


class Unrolled(nn.Module):
    """A Python loop over the length: every exporter fixes it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layer(x[:, i]) for i in range(x.shape[1])], 1)


class Positions(nn.Module):
    """A table of seven positions: no other length exists."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table


class Random(nn.Module):
    """Never answers alike."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(1)


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.words(ids))


def conv_net() -> nn.Module:
    torch.manual_seed(0)
    net = ConvNet()
    # Statistics as training leaves them: fresh ones would make batch norm nearly an identity.
    with torch.no_grad():
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
    return net


def encoder() -> nn.Module:
    torch.manual_seed(1)
    return Encoder()


def difference() -> nn.Module:
    return Difference()


def value_branch() -> nn.Module:
    torch.manual_seed(2)
    return ValueBranch()


def random() -> nn.Module:
    return Random()


def broken() -> nn.Module:
    raise RuntimeError("no such checkpoint")


def no_module() -> str:
    return "a text"
