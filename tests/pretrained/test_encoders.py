"""Encoders of texts against transformers."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.safetensors_file import Written, write_safetensors
from attnjax.pretrained.table import parameters
from attnjax.pretrained.tensors import open_tensors
from tests.daily import daily
from tests.pretrained.bugs import BIASED, BUGS, Bug, Values, every, exchanged
from tests.pretrained.peers import (
    LENGTHS,
    MASK,
    TOLERANCE,
    VOCAB,
    Case,
    Ours,
    difference,
    loaded,
    moved_left,
    of_tokens,
    saved,
    torch,
    uncaught,
)

BERT = {"intermediate_size": 40, "max_position_embeddings": 16, "layer_norm_eps": 1e-2}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "other eps": {"norm_eps": 1e-12},
    "norms before layers": {"norm_placement": "pre"},
    "tanh in GELU": {"activation": "gelu"},
    "no norm of embeddings": {"embedding_norm": False},
    "embedding scaled": {"embedding_scale": None},
}
WEIGHTS: Mapping[str, Bug] = {
    **BUGS,
    **BIASED,
    "no bias of the output": every("head.bias", np.zeros_like),
    "positions one further": every("embedding.table.embedding", lambda x: np.roll(x, 1, 0)),
}
TYPES: Mapping[str, Bug] = {"types exchanged": every("embedding.types.embedding", lambda x: x[::-1])}


DISTIL = {"hidden_dim": 40, "max_position_embeddings": 16, "dim": 24, "n_heads": 4, "n_layers": 2}
ALBERT = BERT | {"embedding_size": 10, "num_hidden_layers": 4, "num_hidden_groups": 2}
DEBERTA = BERT | {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}
CASES = {
    "bert": Case("BertForMaskedLM", BERT, SETTINGS, WEIGHTS | TYPES, every_day=True),
    "albert": Case(
        "AlbertForMaskedLM",
        ALBERT,
        SETTINGS | {"tanh in GELU": {"activation": "gelu_exact"}},
        WEIGHTS | TYPES | {"groups exchanged": exchanged("blocks.0.", "blocks.1.")},
    ),
    "distilbert": Case(
        "DistilBertForMaskedLM", DISTIL, SETTINGS | {"other eps": {"norm_eps": 1e-2}}, WEIGHTS
    ),
    "deberta-v2": Case(
        "DebertaV2ForMaskedLM",
        DEBERTA,
        SETTINGS | {"other scale": {"attention_scale": 6**-0.5}, "no distances": {"distance_buckets": None}},
        {name: bug for name, bug in WEIGHTS.items() if name != "positions one further"}
        | {
            "distances one further": every("distances.table", lambda x: np.roll(x, 1, 0)),
            "distances both ways": every("distances.table", lambda x: x[::-1]),
            "distances not normed": every("distances.norm.scale", np.ones_like),
        },
    ),
    "roberta": Case("RobertaForMaskedLM", BERT, SETTINGS, WEIGHTS | TYPES),
    "electra": Case("ElectraForMaskedLM", BERT | {"embedding_size": 10}, SETTINGS, WEIGHTS | TYPES),
}


def inputs(*, left: bool = False) -> tuple[np.ndarray, ...]:
    """Tokens, their types, and where they are; what is not among them is padding."""
    # Id 1 is the padding of RoBERTa, which places tokens by it.
    tokens, types = np.random.default_rng(1).integers(2, VOCAB, (2, *MASK.shape))
    arrays = tokens, types % 2, MASK
    return moved_left(*arrays) if left else arrays


def answers(model: Any, *, left: bool = False) -> Values:
    """What the model of transformers says; of padding NaN."""
    tokens, types, mask = inputs(left=left)
    places = np.clip(np.cumsum(mask, 1) - 1, 0, None)
    given = {"input_ids": tokens, "attention_mask": mask.astype(int), "token_type_ids": types}
    if model.config.model_type == "roberta":
        places = places + 2
    given["position_ids"] = places
    if model.config.model_type in ("distilbert", "deberta-v2"):
        del given["token_type_ids"]
    if model.config.model_type == "deberta-v2":
        del given["position_ids"]
    with torch.no_grad():
        out = model(
            **{name: torch.tensor(x) for name, x in given.items()},
            output_attentions=True,
            output_hidden_states=True,
        )
    found = {"logits": out.logits}
    found |= dict(zip(["embedding", *(f"blocks.{i}" for i in range(9))], out.hidden_states, strict=False))
    found |= {f"blocks.{i}.attention": w for i, w in enumerate(out.attentions)}
    return {name: of_tokens(x.double().numpy(), mask) for name, x in found.items()}


class OurEncoder(Ours):
    """An encoder of ours."""

    def answers(self, bug: Bug | None = None, *, left: bool = False) -> Values:
        tokens, types, mask = inputs(left=left)
        given = types if self.model.config.token_types else None
        found = self.told(bug, tokens, mask=mask, types=given)
        return {name: of_tokens(x, mask) for name, x in found.items()}


@pytest.mark.parametrize("name", daily(CASES, ["bert", "albert", "deberta-v2", "roberta"]))
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = OurEncoder(model, vocab=VOCAB), answers(theirs)
    for left in (False, True):
        size, where = difference(ours.answers(left=left), answers(theirs, left=left))
        assert size <= TOLERANCE["float32"], (left, where)
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, name, tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0


def test_bert_in_double_precision(tmp_path) -> None:
    theirs = CASES["bert"].theirs("float64")
    theirs.save_pretrained(tmp_path)
    with jax.enable_x64(True):
        size, where = difference(OurEncoder(from_pretrained(tmp_path)).answers(), answers(theirs))
    assert size <= TOLERANCE["float64"], where


ONE = BERT | {"num_hidden_layers": 1}
HEADS = {
    "BertForPreTraining": ONE,
    "BertForSequenceClassification": ONE | {"num_labels": 3},
    "BertForTokenClassification": ONE | {"num_labels": 3},
    "BertForQuestionAnswering": ONE,
    "AlbertForPreTraining": ALBERT,
    "DistilBertForSequenceClassification": DISTIL,
    "RobertaForSequenceClassification": ONE,
    "ElectraForPreTraining": ONE,
    "DebertaV2ForSequenceClassification": DEBERTA | {"num_hidden_layers": 1},
    "ElectraForSequenceClassification": ONE,
    "BertModel": ONE,
}


# One for each kind of head, and a family that is not BERT's own.
DAILY_HEADS = (
    "BertForPreTraining",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertModel",
    "RobertaForSequenceClassification",
    "ElectraForPreTraining",
)


@pytest.mark.parametrize("name", daily(HEADS, DAILY_HEADS))
def test_head(name: str, tmp_path) -> None:
    """What every other class of transformers says, and the way back bit for bit."""
    theirs = Case(name, HEADS[name]).theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    tokens, _, mask = inputs()
    with torch.no_grad():
        told = theirs(torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)))
    out = jax.jit(lambda model, tokens, lengths: model(tokens, lengths=lengths)[:4])(
        model, jnp.asarray(tokens), jnp.array(LENGTHS)
    )
    _, pooled, logits, pair = (None if x is None else of_tokens(np.asarray(x)) for x in out)
    expected = {"pooler_output": pooled, "logits": logits, "prediction_logits": logits}
    expected |= {"seq_relationship_logits": pair, "sop_logits": pair}
    if name.endswith("QuestionAnswering"):
        expected |= {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
    if name == "ElectraForPreTraining":
        expected["logits"] = logits[..., 0]
    for key in expected.keys() & told.keys():
        np.testing.assert_allclose(
            np.where(np.isnan(expected[key]), 0, expected[key] - told[key].numpy()), 0, atol=1e-4, err_msg=key
        )
    assert expected.keys() & told.keys()
    save_pretrained(model, tmp_path / "ours")
    before, after = (open_tensors(tmp_path / folder) for folder in ("theirs", "ours"))
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
    model.origin = None  # As one of ours that a family is to be found for.
    save_pretrained(model, tmp_path / "own", family=theirs.config.model_type)
    own = open_tensors(tmp_path / "own")
    if name == "BertModel":  # transformers reads both.
        own = {k.removeprefix("bert."): x for k, x in own.items()}
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in own.items()}
    assert from_pretrained(tmp_path / "own").config.filled() == model.config.filled()


def test_names_of_norms_in_older_files(tmp_path) -> None:
    theirs = Case("BertForPreTraining", ONE).theirs()
    theirs.save_pretrained(tmp_path / "new")
    new = {name: np.array(x) for name, x in open_tensors(tmp_path / "new").items()}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text((tmp_path / "new" / "config.json").read_text())
    names = {
        name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") for name in new
    }
    written = [Written(names[name], x.dtype, x.shape, lambda x=x: x) for name, x in new.items()]
    write_safetensors(tmp_path / "old" / "model.safetensors", written)
    old = from_pretrained(tmp_path / "old")
    for name, param in parameters(from_pretrained(tmp_path / "new")).items():
        np.testing.assert_array_equal(parameters(old)[name][...], param[...])
    save_pretrained(old, tmp_path / "again")
    assert open_tensors(tmp_path / "again").keys() == set(names.values())
