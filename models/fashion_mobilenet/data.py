"""The data: reads Fashion-MNIST, and writes the two small files that lie beside this script.

`python data.py` makes test.npz (the first 2,000 test images with their labels) and calibration.npz (512 training images
without labels, ready as the network's input). The files in the repository were made this way.
"""

import gzip
import os
from pathlib import Path

import click
import numpy as np
from task import normalise

DEFAULT_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HERE = Path(__file__).resolve().parent
TEST_IMAGES = 2000
CALIBRATION_IMAGES = 512
CALIBRATION_SEED = 0
UNSIGNED_BYTE = 8


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped idx file of unsigned bytes.

    The format: two zero bytes, the code of the type, the number of axes, each axis as a big-endian int32, the values.

    Args:
        path: the .gz file.

    Returns:
        uint8 array of the shape that the file states.

    Raises:
        click.ClickException: the file is missing, or it is no such file.
    """
    if not path.is_file():
        raise click.ClickException(
            f"{path} is missing. Install the data set (Debian: apt install dataset-fashion-mnist), "
            "or name the folder of its four .gz files with --data."
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise click.ClickException(f"{path} cannot be read as gzip ({error}). Install the data set again.") from error
    axes = content[3] if len(content) >= 4 else 0
    shape = np.frombuffer(content[4 : 4 + 4 * axes], ">i4")
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes) if len(shape) == axes else np.empty(0, np.uint8)
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not axes or values.size != int(shape.prod()):
        raise click.ClickException(f"{path} is no complete idx file of unsigned bytes. Install the data set again.")
    return values.reshape(shape)


def load(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one half of the data set.

    Args:
        folder: where the four .gz files are.
        split: "train" (60,000 images) or "t10k" (10,000 images).

    Returns:
        The images, uint8 [n, 28, 28], and their labels, int64 [n].

    Raises:
        click.ClickException: a file is missing or damaged, or images and labels differ in number.
    """
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    if images.ndim != 3 or len(images) != len(labels):
        raise click.ClickException(f"{folder}: {split} has images {images.shape} but labels {labels.shape}.")
    return images, labels.astype(np.int64)


def calibration_indices(count: int) -> np.ndarray:
    """Draw which of `count` training images are used to calibrate; int64, sorted, without repeats."""
    generator = np.random.default_rng(CALIBRATION_SEED)
    return np.sort(generator.choice(count, CALIBRATION_IMAGES, replace=False))


def save(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed .npz whole or not at all."""
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez_compressed(partial, **arrays)
    os.replace(partial, path)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DEFAULT_FOLDER, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), default=HERE, show_default=True)
def main(data: Path, out: Path) -> None:
    """Write test.npz and calibration.npz into the folder OUT."""
    images, labels = load(data, "t10k")
    save(out / "test.npz", image=images[:TEST_IMAGES], label=labels[:TEST_IMAGES])
    images, _ = load(data, "train")
    save(out / "calibration.npz", image=normalise(images[calibration_indices(len(images))]))
    click.echo(f"wrote {out / 'test.npz'} and {out / 'calibration.npz'}")


if __name__ == "__main__":
    main()
