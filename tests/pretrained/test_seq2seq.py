"""Encoder-decoders against transformers."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.verify import first_of, verify
from tests.daily import daily
from tests.pretrained import peers
from tests.pretrained.bugs import Bug, Values, every, exchanged, turned
from tests.pretrained.peers import (
    LONGEST,
    MASK,
    TOLERANCE,
    VOCAB,
    Ours,
    difference,
    loaded,
    moved_left,
    saved,
    torch,
    uncaught,
)

TARGET_LENGTHS = (2, 4, 3)
SIZES = {
    "vocab_size": VOCAB,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
T5 = {"vocab_size": VOCAB, "d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 2, "num_heads": 4}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "other eps": {"norm_eps": 1e-2},
}
POST = SETTINGS | {"norms before layers": {"norm_placement": "pre"}}
WEIGHTS: Mapping[str, Bug] = {
    "heads reversed": every("encoder.0.attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("cross_attention.query.kernel", turned),
    "key and value exchanged": exchanged("cross_attention.key.kernel", "cross_attention.value.kernel"),
    "wrong scale": every("self_attention.query.kernel", lambda x: 1.1 * x),
    "norms exchanged": exchanged("self_residual.norm.scale", "cross_residual.norm.scale"),
    "attention exchanged": exchanged("self_attention.out.kernel", "cross_attention.out.kernel"),
}
BIASED: Mapping[str, Bug] = {
    "no bias of queries": every("attention.query.bias", np.zeros_like),
    "no bias of the output": every("output_bias", np.zeros_like),
}


@dataclasses.dataclass(frozen=True)
class Case(peers.Case):
    """A family of encoder-decoders."""

    moves: bool = False
    """True where transformers takes padding on the left for what it is: its positions are relative."""
    sizes: ClassVar[Mapping[str, Any]] = {}

    def theirs(self, dtype: str = "float32") -> Any:
        model = super().theirs(dtype)
        if hasattr(model, "final_logits_bias"):
            drawn = np.random.default_rng(3).normal(size=tuple(model.final_logits_bias.shape))
            model.final_logits_bias.copy_(torch.tensor(drawn))
        if self.model == "MarianMTModel":
            for side in (model.model.encoder, model.model.decoder):  # Sinusoids are no parameters.
                side.embed_positions.weight.data.copy_(side.embed_positions.create_weight())
        return model


CASES = {
    "marian": Case(
        "MarianMTModel",
        SIZES | {"scale_embedding": True, "activation_function": "swish"},
        POST
        | {
            "sines and cosines in turn": {"positions": "sinusoidal"},
            "embedding not scaled": {"embedding_scale": 1.0},
            "other activation": {"activation": "relu"},
        },
        WEIGHTS | BIASED,
        every_day=True,
    ),
    "marian of two vocabularies": Case(
        "MarianMTModel",
        SIZES | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": VOCAB},
        {},
        {"vocabularies exchanged": exchanged("source_embedding.", "target_embedding.")},
    ),
    "bart": Case(
        "BartForConditionalGeneration",
        SIZES,
        POST | {"tanh in GELU": {"activation": "gelu"}, "no norm of embeddings": {"embedding_norm": False}},
        WEIGHTS | BIASED | {"positions one further": every("table.embedding", lambda x: np.roll(x, 1, 0))},
    ),
    "whisper": Case(
        "WhisperForConditionalGeneration",
        {name: x for name, x in SIZES.items() if name != "max_position_embeddings"}
        | {
            "num_mel_bins": 6,
            "max_source_positions": LONGEST,
            "max_target_positions": 6,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "begin_suppress_tokens": None,
        },
        SETTINGS | {"tanh in GELU": {"activation": "gelu"}, "norms after layers": {"norm_placement": "post"}},
        WEIGHTS
        | {
            "no bias of queries": every("attention.query.bias", np.zeros_like),
            "taps reversed": every("second.kernel", lambda x: x[::-1]),
            "no positions of frames": every("source_embedding.positions", np.zeros_like),
        },
    ),
    "t5": Case(
        "T5ForConditionalGeneration",
        T5 | {"num_decoder_layers": 1},
        SETTINGS
        | {
            "scores scaled": {"attention_scale": None},
            "logits not scaled": {"tied_scale": 1.0},
            "embedding scaled": {"embedding_scale": None},
        },
        WEIGHTS | {"buckets reversed": every("score.table", lambda x: x[::-1])},
        moves=True,
    ),
    "t5 1.1": Case(
        "T5ForConditionalGeneration",
        T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        {"tanh not in GELU": {"activation": "geglu_exact"}},
        {"gate and up exchanged": exchanged("gate.kernel", "up.kernel")},
        moves=True,
    ),
}


def inputs(frames: bool = False, *, left: bool = False) -> tuple[np.ndarray, ...]:
    """Sources, where they are, and targets."""
    draw = np.random.default_rng(1)
    source, target = draw.integers(0, VOCAB, MASK.shape), draw.integers(0, VOCAB, (3, max(TARGET_LENGTHS)))
    if frames:  # Whisper always reads as many, silence among them.
        return draw.normal(size=(3, 2 * LONGEST, 6)).astype("float32"), np.ones_like(MASK), target
    return (*(moved_left(source, MASK) if left else (source, MASK)), target)


def answers(model: Any, *, left: bool = False) -> Values:
    """What the model of transformers says; of padding NaN."""
    source, mask, target = inputs(model.config.model_type == "whisper", left=left)
    if source.ndim == 3:
        given = {"input_features": torch.tensor(source.swapaxes(1, 2))}
    else:
        given = {"input_ids": torch.tensor(source), "attention_mask": torch.tensor(mask.astype(int))}
    padded = np.arange(target.shape[1]) < np.array(TARGET_LENGTHS)[:, None]
    with torch.no_grad():
        out = model(
            **given,
            decoder_input_ids=torch.tensor(target),
            decoder_attention_mask=torch.tensor(padded.astype(int)),
            output_attentions=True,
            output_hidden_states=True,
        )
    found = {"logits": out.logits}
    normed = model.config.model_type in ("t5", "whisper")
    for side, name in (("encoder", "source_embedding"), ("decoder", "target_embedding")):
        hidden = out[f"{side}_hidden_states"]
        layers = len(hidden) - 1
        names = [name, *(f"{side}.{i}" for i in range(layers))]
        names[-1] = f"{side}_norm" if normed else names[-1]
        found |= dict(zip(names, hidden, strict=True))
    found |= {f"encoder.{i}.attention": w for i, w in enumerate(out.encoder_attentions)}
    found |= {f"decoder.{i}.self_attention": w for i, w in enumerate(out.decoder_attentions)}
    found |= {f"decoder.{i}.cross_attention": w for i, w in enumerate(out.cross_attentions)}
    return {name: of_tokens(name, x.double().numpy(), mask) for name, x in found.items()}


def of_tokens(name: str, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The rows of tokens of the source or the target; those of padding are NaN."""
    if not name.startswith(("encoder", "source")):
        mask = np.arange(max(TARGET_LENGTHS)) < np.array(TARGET_LENGTHS)[:, None]
    return peers.of_tokens(x, mask)


class Pair(Ours):
    """An encoder-decoder of ours."""

    def answers(self, bug: Bug | None = None, *, left: bool = False) -> Values:
        given = inputs(self.model.config.frames is not None, left=left)
        return {name: of_tokens(name, x, given[1]) for name, x in self.told(bug, *given).items()}


@pytest.mark.parametrize("name", daily(CASES, ["marian", "whisper", "t5"]))
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    source = VOCAB if model.config.frames is None else None
    ours, expected = Pair(model, source_vocab=source, target_vocab=VOCAB), answers(theirs)
    found = ours.answers()
    size, where = difference(found, expected)
    assert size <= TOLERANCE["float32"], where
    left = ours.answers(left=True)
    if case.moves:
        size, where = difference(left, answers(theirs, left=True))
    else:
        size, where = difference({"logits": left["logits"]}, {"logits": found["logits"]})
    assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, name.split()[0], tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0
    if name == "whisper" and peers.EVERYTHING:  # Its source is no tokens.
        assert first_of(verify(as_it_came)) is None
