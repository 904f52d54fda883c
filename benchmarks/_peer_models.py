"""The translator of `benchmarks/step.py` as others would write it: plain Flax NNX, and PyTorch.

Pre-norm encoder-decoder with sinusoidal positions, biases, tanh-GELU, residual dropout, and the parameter
shapes of `attnjax.models.Transformer`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.models.config import TransformerConfig


def sinusoids(length: int, dim: int) -> np.ndarray:
    """Vaswani et al. 2017, section 3.5."""
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, dim).astype(np.float32)


class FlaxBlock(nnx.Module):
    def __init__(self, config: TransformerConfig, dropout: float, *, cross: bool, rngs: nnx.Rngs) -> None:
        dim = config.dim

        def attention() -> nnx.MultiHeadAttention:
            return nnx.MultiHeadAttention(config.heads, dim, decode=False, rngs=rngs)

        self.own, self.own_norm = attention(), nnx.LayerNorm(dim, rngs=rngs)
        self.cross = attention() if cross else None
        self.cross_norm: Any = nnx.LayerNorm(dim, rngs=rngs) if cross else None
        self.up = nnx.Linear(dim, config.hidden_dim, rngs=rngs)
        self.down = nnx.Linear(config.hidden_dim, dim, rngs=rngs)
        self.norm = nnx.LayerNorm(dim, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: Any, mask: Any, memory: Any = None, memory_mask: Any = None) -> Any:
        x = x + self.dropout(self.own(self.own_norm(x), mask=mask))
        if self.cross is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), memory, mask=memory_mask))
        return x + self.dropout(self.down(jax.nn.gelu(self.up(self.norm(x)))))


class FlaxTranslator(nnx.Module):
    def __init__(
        self, config: TransformerConfig, vocabularies: tuple[int, int], dropout: float, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.source, self.target = (nnx.Embed(size, config.dim, rngs=rngs) for size in vocabularies)
        self.encoder = nnx.List(
            [FlaxBlock(config, dropout, cross=False, rngs=rngs) for _ in range(config.encoder_layers)]
        )
        self.decoder = nnx.List(
            [FlaxBlock(config, dropout, cross=True, rngs=rngs) for _ in range(config.decoder_layers)]
        )
        self.encoder_norm, self.decoder_norm = (nnx.LayerNorm(config.dim, rngs=rngs) for _ in range(2))
        self.out = nnx.Linear(config.dim, vocabularies[1], rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, source: Any, lengths: Any, target: Any) -> Any:
        seen = (jnp.arange(source.shape[1]) < lengths[:, None])[:, None, None, :]
        causal = jnp.tril(jnp.ones((target.shape[1],) * 2, bool))
        x = self._embed(self.source, source)
        for block in self.encoder:
            x = block(x, seen)
        memory, y = self.encoder_norm(x), self._embed(self.target, target)
        for block in self.decoder:
            y = block(y, causal, memory, seen)
        return self.out(self.decoder_norm(y))

    def _embed(self, table: nnx.Embed, tokens: Any) -> Any:
        return self.dropout(
            table(tokens) * self.config.dim**0.5 + sinusoids(tokens.shape[1], self.config.dim)
        )


def torch_translator(config: TransformerConfig, vocabularies: tuple[int, int], dropout: float) -> Any:
    """The same as a `torch.nn.Module` of (source, lengths, target)."""
    import torch

    class TorchTranslator(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.target = (torch.nn.Embedding(size, config.dim) for size in vocabularies)
            self.transformer = torch.nn.Transformer(
                config.dim,
                config.heads,
                config.encoder_layers,
                config.decoder_layers,
                config.hidden_dim,
                dropout,
                activation=lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
                batch_first=True,
                norm_first=True,
            )
            self.out = torch.nn.Linear(config.dim, vocabularies[1])
            self.dropout = torch.nn.Dropout(dropout)

        def forward(self, source: Any, lengths: Any, target: Any) -> Any:
            padding = torch.arange(source.shape[1]) >= lengths[:, None]
            causal = torch.triu(torch.ones(target.shape[1], target.shape[1], dtype=torch.bool), 1)
            y = self.transformer(
                self._embed(self.source, source),
                self._embed(self.target, target),
                tgt_mask=causal,
                src_key_padding_mask=padding,
                memory_key_padding_mask=padding,
                tgt_is_causal=True,
            )
            return self.out(y)

        def _embed(self, table: Any, tokens: Any) -> Any:
            places = torch.from_numpy(sinusoids(tokens.shape[1], config.dim))
            return self.dropout(table(tokens) * math.sqrt(config.dim) + places)

    return TorchTranslator()
