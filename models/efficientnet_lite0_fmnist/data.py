"""The data: writes calibration.npz, the 200 training images after those that the head was fitted on, without labels.

The test images are those of fashion_mobilenet. The file in the repository was made this way.
"""

from pathlib import Path

import click
import numpy as np

from edgebig.data.callables import load_callable
from edgebig.files import replacing

HERE = Path(__file__).resolve().parent
# obtain.py fits the head on the images before the first of these.
FIRST, LAST = 6000, 6199


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("/usr/share/datasets/fashion-mnist"))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), default=HERE)
def main(data: Path, out: Path) -> None:
    """Write calibration.npz into the folder OUT, from Fashion-MNIST's four .gz files in the folder DATA."""
    load = load_callable(f"{HERE.parent / 'fashion_mobilenet' / 'data.py'}:load", purpose="data")
    images, _ = load(data, "train")
    with replacing(out / "calibration.npz") as partial:
        np.savez_compressed(partial, image=images[FIRST : LAST + 1, None].astype(np.float32))
    click.echo(f"wrote {out / 'calibration.npz'}")


if __name__ == "__main__":
    main()
