"""Encoder-decoders against transformers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import Transformer
from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.table import parameters
from attnjax.pretrained.tensors import open_tensors
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained.peers import (
    CAUGHT,
    LENGTHS,
    LONGEST,
    TOLERANCE,
    VOCAB,
    Bug,
    Values,
    boosted,
    difference,
    every,
    exchanged,
    state_of,
    torch,
    transformers,
    turned,
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
class Case:
    """A family: the class in transformers, fields of its config, and bugs to plant."""

    model: str
    fields: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, Bug]
    moves: bool = False
    """True where transformers takes padding on the left for what it is: its positions are relative."""

    def theirs(self) -> Any:
        made = getattr(transformers, self.model)
        config = made.config_class(**self.fields, attn_implementation="eager")
        torch.manual_seed(0)
        model = boosted(made(config)).eval()
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


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def inputs(frames: bool = False, *, left: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources, where they are, and targets."""
    draw = np.random.default_rng(1)
    source, target = draw.integers(0, VOCAB, (3, LONGEST)), draw.integers(0, VOCAB, (3, max(TARGET_LENGTHS)))
    mask = np.arange(LONGEST) < np.array(LENGTHS)[:, None]
    if frames:  # Whisper always reads as many, silence among them.
        source = draw.normal(size=(3, 2 * LONGEST, 6)).astype("float32")
        mask = np.ones_like(mask)
    elif left:
        order = np.stack([np.roll(np.arange(LONGEST), LONGEST - n) for n in LENGTHS])
        source, mask = (np.take_along_axis(x, order, 1) for x in (source, mask))
    return source, mask, target


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
    """The rows of tokens; those of padding are NaN."""
    if not name.startswith(("encoder", "source")):
        mask = np.arange(x.shape[-2]) < np.array(TARGET_LENGTHS)[:, None]
    return np.where(mask[:, :, None] if x.ndim == 3 else mask[:, None, :, None], x, np.nan)


class Ours:
    """Our model, whose program is compiled once for all its parameters and both sides of padding."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph, self.state = nnx.split(model)
        self._run = jax.jit(
            lambda state, *given: nnx.merge(self.graph, state)(*given, capture=Capture(hidden=True))
        )

    def answers(self, bug: Bug | None = None, *, left: bool = False) -> Values:
        state = self.state
        if bug is not None:
            values = {name: np.array(param[...]) for name, param in parameters(self.model).items()}
            state = state_of(self.model, bug(values))
        given = inputs(self.model.config.frames is not None, left=left)
        out = self._run(state, *map(jnp.asarray, given))
        found = {"logits": out.logits, **out.weights, **out.hidden}
        return {name: of_tokens(name, np.asarray(x, np.float64), given[1]) for name, x in found.items()}

    def with_settings(self, changes: Mapping[str, Any]) -> "Ours":
        """The same parameters in a model of another config, as far as it has them."""
        config = dataclasses.replace(self.model.config, **changes)
        assert config != self.model.config
        source = VOCAB if config.frames is None else None
        other = Transformer(config, source_vocab=source, target_vocab=VOCAB, rngs=nnx.Rngs(0))
        old = parameters(self.model)
        for name, param in parameters(other).items():
            if name in old:
                param[...] = old[name][...]
        return Ours(other)


@pytest.mark.parametrize("name", CASES)
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = Ours(model), answers(theirs)
    found = ours.answers()
    size, where = difference(found, expected)
    assert size <= TOLERANCE["float32"], where
    left = ours.answers(left=True)
    if case.moves:
        size, where = difference(left, answers(theirs, left=True))
    else:
        size, where = difference({"logits": left["logits"]}, {"logits": found["logits"]})
    assert size <= TOLERANCE["float32"], where
    planted = {bug: difference(ours.answers(plant), expected) for bug, plant in case.weights.items()}
    for bug, changes in case.settings.items():
        planted[bug] = difference(ours.with_settings(changes).answers(), expected)
    assert {bug: at for bug, at in planted.items() if not at[0] > CAUGHT} == {}
    save_pretrained(model, tmp_path / "ours")
    before, after = (open_tensors(tmp_path / folder) for folder in ("theirs", "ours"))
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
    again, loading = getattr(transformers, case.model).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading.values())
    assert difference(answers(again.eval()), expected)[0] == 0
    if name == "whisper":  # Its source is no tokens.
        assert first_of(verify(tmp_path / "ours")) is None
    model.origin = None  # As one of ours that a family is to be found for.
    save_pretrained(model, tmp_path / "own", family=name.split()[0])
    own = open_tensors(tmp_path / "own")
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in own.items()}
    assert from_pretrained(tmp_path / "own").config.filled() == model.config.filled()
