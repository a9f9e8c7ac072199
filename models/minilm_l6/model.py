"""The network: all-MiniLM-L6-v2, which maps a sentence to a vector of length 1, in plain torch.

A BERT encoder (Devlin et al., 2018) of six layers, 384 wide, distilled as Wang et al., "MiniLM" (2020), and trained on
pairs of sentences as Reimers and Gurevych, "Sentence-BERT" (2019). Attention is written out, so that both of its
products are nodes of their own in the graph.
"""

import math

import torch
from torch import nn
from torch.nn import functional

WORDS = 30522
POSITIONS = 512
SEGMENTS = 2
WIDTH = 384
INNER_WIDTH = 1536
HEADS = 12
LAYERS = 6
NORM_EPSILON = 1e-12
# Added to the score of a padded position; the pretrained network was made with it.
MASKED = -10000.0


class Embeddings(nn.Module):
    """The sum of a vector for the word and one for its position, normalised.

    The network knows two segments of a text; a single sentence is all first segment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.segments = nn.Embedding(SEGMENTS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, NORM_EPSILON)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map int64 [batch, length] to float32 [batch, length, 384]."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        return self.norm(self.words(input_ids) + self.positions(positions) + self.segments.weight[0])


class Attention(nn.Module):
    """Attention of every position to every other, in twelve heads."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map [batch, length, 384] to the same shape; `mask`, [batch, 1, 1, length], is added to the scores."""
        batch, length, _ = x.shape
        query, key, value = (
            part(x).view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + mask
        mixed = torch.softmax(scores, -1) @ value
        return self.output(mixed.transpose(1, 2).reshape(batch, length, WIDTH))


class Layer(nn.Module):
    """Attention, then two linear layers with GELU between, each with a shortcut and normalised afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.attention_norm = nn.LayerNorm(WIDTH, NORM_EPSILON)
        self.widen = nn.Linear(WIDTH, INNER_WIDTH)
        self.narrow = nn.Linear(INNER_WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, NORM_EPSILON)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map [batch, length, 384] to the same shape; `mask` as `Attention` takes it."""
        x = self.attention_norm(x + self.attention(x, mask))
        return self.norm(x + self.narrow(functional.gelu(self.widen(x))))


class SentenceEncoder(nn.Module):
    """The whole encoder: embeddings, layers, the mean over the words, scaled to length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encode sentences.

        Args:
            input_ids: the words' numbers, int64 [batch, length], padded at the end; length is at most 512.
            attention_mask: 1 where there is a word and 0 where there is padding, int64 [batch, length].

        Returns:
            One vector of length 1 per sentence, float32 [batch, 384].
        """
        keep = attention_mask.to(torch.float32)
        mask = (1.0 - keep[:, None, None, :]) * MASKED
        x = self.embeddings(input_ids)
        for layer in self.layers:
            x = layer(x, mask)
        words = keep.sum(1, keepdim=True).clamp(min=1e-9)
        return functional.normalize((x * keep[..., None]).sum(1) / words, dim=1)


def build() -> nn.Module:
    """Make the network with fresh weights, in eval mode.

    Inputs `input_ids` and `attention_mask`, output `sentence_embedding`.
    """
    return SentenceEncoder().eval()
