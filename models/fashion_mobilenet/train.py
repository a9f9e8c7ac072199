"""Trains the network on the whole training set of Fashion-MNIST and writes weights.safetensors.

The schedule is fixed beforehand and the test set is read once, after the last step, so it selects nothing.
"""

import os
import time
import warnings
from pathlib import Path

import click
import lightning
import numpy as np
import torch
from data import DEFAULT_FOLDER, HERE, TEST_IMAGES, load
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from model import build
from safetensors.torch import save_file
from task import MEAN, STD
from torch import nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.02
WARM_UP_SHARE = 0.2
LABEL_SMOOTHING = 0.05
SHIFT = 2
SMALL_SIDE = 20
SMALL_SHARE = 2 / 3
FORMAT = torch.channels_last


def to_input(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 [n, 28, 28] to the network's input, float32 [n, 1, 28, 28]; the same numbers as `task.normalise`."""
    return ((pixels.unsqueeze(1).float() / 255 - MEAN) / STD).contiguous(memory_format=FORMAT)


def augment(pixels: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images, and shift each by up to SHIFT pixels each way; uint8 [n, height, width] in and out."""
    count, height, width = pixels.shape
    mirror = torch.rand(count, 1, 1) < 0.5
    padded = functional.pad(torch.where(mirror, pixels.flip(2), pixels), (SHIFT,) * 4)
    rows = torch.randint(2 * SHIFT + 1, (count, 1, 1)) + torch.arange(height).view(1, -1, 1)
    columns = torch.randint(2 * SHIFT + 1, (count, 1, 1)) + torch.arange(width).view(1, 1, -1)
    return padded[torch.arange(count).view(-1, 1, 1), rows, columns]


class Classifier(lightning.LightningModule):
    """The training step: cross entropy with smoothed labels, AdamW, one cycle of the learning rate.

    Args:
        net: maps float32 [n, 1, 28, 28] to logits [n, 10].
        epochs: how often the training set is gone through.
    """

    def __init__(self, net: nn.Module, epochs: int) -> None:
        super().__init__()
        self.net = net
        self.epochs = epochs

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Give the loss of one batch: uint8 images [n, 28, 28] and int64 labels [n]."""
        pixels, labels = batch
        image = to_input(augment(pixels))
        # Small images first: an epoch costs less than half, and the last third at full size makes up for it.
        if self.current_epoch < SMALL_SHARE * self.epochs:
            image = functional.interpolate(image, SMALL_SIDE, mode="bilinear", antialias=True)
        logits = self.net(image)
        loss = functional.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Print one line, so that a log file shows how far the training is."""
        loss = float(self.trainer.callback_metrics["loss_epoch"])
        click.echo(f"epoch {self.current_epoch + 1} of {self.epochs}: loss {loss:.4f}")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Give the optimizer, and the schedule that moves after every step."""
        optimizer = torch.optim.AdamW(self.parameters(), weight_decay=WEIGHT_DECAY)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, steps, pct_start=WARM_UP_SHARE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(net: nn.Module, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    """Train `net` in place on uint8 images [n, 28, 28] and int64 labels [n]."""
    dataset = TensorDataset(torch.from_numpy(images.copy()), torch.from_numpy(labels))
    # Whole batches are picked from memory at once: a loader that fetches image by image costs more than the training.
    batches = BatchSampler(RandomSampler(dataset), BATCH, drop_last=len(dataset) > BATCH)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(net, epochs), DataLoader(dataset, sampler=batches, batch_size=None))


def correct(net: nn.Module, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell which of uint8 images [n, 28, 28] the network names right; bool [n]."""
    net.eval()
    with torch.inference_mode():
        guesses = [net(to_input(part)).argmax(1) for part in torch.from_numpy(images.copy()).split(500)]
    return torch.cat(guesses).numpy() == labels


def save(net: nn.Module, path: Path) -> None:
    """Write the weights whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, partial)
    os.replace(partial, path)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DEFAULT_FOLDER, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=HERE / "weights.safetensors")
@click.option("--epochs", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(data: Path, out: Path, epochs: int, threads: int, seed: int) -> None:
    """Train, write the weights to OUT, and print the accuracy on the test images."""
    torch.set_num_threads(threads)
    lightning.seed_everything(seed)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    train_set, test_set = load(data, "train"), load(data, "t10k")
    net = build().train().to(memory_format=FORMAT)
    start = time.monotonic()
    train(net, train_set[0], train_set[1], epochs)
    click.echo(f"trained {epochs} epochs in {time.monotonic() - start:.0f} s")
    hits = correct(net, *test_set)
    save(net, out)
    click.echo(f"test accuracy {hits.mean():.4f} on {len(hits)} images")
    click.echo(f"test accuracy {hits[:TEST_IMAGES].mean():.4f} on the first {len(hits[:TEST_IMAGES])} images")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
