"""What families of encoders share: the names of BERT's layers, heads by what a file holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families._shared import EMBEDDING, UNGATED, layer_norm, linear, name_of, tied
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors


def read_bert(keys: Keys, **changes: Any) -> tuple[EncoderConfig, dict[str, Any]]:
    """Returns the config of an encoder with BERT's keys, and its vocabulary; `changes`: what is different."""
    keys.only("is_decoder", False)
    keys.only("add_cross_attention", False)
    keys.only("position_embedding_type", "absolute")
    keys.ignore("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers")
    keys.ignore("pooler_size_per_head", "pooler_type")  # Of multilingual BERT, for nobody.
    settings: dict[str, Any] = {
        "dim": keys.take("hidden_size"),
        "heads": keys.take("num_attention_heads"),
        "hidden": keys.take("intermediate_size"),
        "layers": keys.take("num_hidden_layers"),
        "positions": "learned",
        "max_length": keys.take("max_position_embeddings"),
        "token_types": keys.take("type_vocab_size", 2, least=0),
        "norm_placement": "post",
        "norm_eps": float(keys.take("layer_norm_eps", 1e-12, kind=float)),
        "activation": keys.choice("hidden_act", UNGATED, "gelu"),
        "embedding_scale": 1.0,
        "embedding_norm": True,
    }
    return EncoderConfig(**settings | changes), {"vocab": keys.take("vocab_size")}


def write_bert(model: Encoder) -> dict[str, Any]:
    """Returns what `read_bert` reads as the config of a model."""
    config = model.config
    return {
        "hidden_size": config.dim,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.max_length,
        "type_vocab_size": config.token_types,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": name_of(config.activation, UNGATED),
        "tie_word_embeddings": config.head != "masked_lm" or config.tie_embeddings,
        "vocab_size": model.embedding.tokens.num_embeddings,
    }


def read_labels(keys: Keys) -> int:
    """Returns the number of labels: what the config says of it, or that of their names, or 2."""
    names = keys.optional("id2label", dict)
    return int(keys.take("num_labels", len(names) if names else 2))


def write_labels(count: int) -> dict[str, Any]:
    """Returns what `read_labels` reads as so many labels."""
    names = {str(i): f"LABEL_{i}" for i in range(count)}
    return {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}


def embeddings(disk: str, *, types: bool = True) -> list[Entry]:
    """Returns the entries of tables and norm with BERT's names."""
    tables = {"word": "tokens", "position": "table"} | ({"token_type": "types"} if types else {})
    entries = [
        Entry(f"{disk}.{name}_embeddings.weight", f"embedding.{ours}.embedding")
        for name, ours in tables.items()
    ]
    return [*entries, *layer_norm(f"{disk}.LayerNorm", "embedding.norm")]


def bert_layers(disk: str, layers: int) -> list[Entry]:
    """Returns the entries of layers with BERT's names."""
    layer, entries = f"{disk}.{{i}}", []
    for name in ("query", "key", "value"):
        entries += linear(f"{layer}.attention.self.{name}", f"blocks.{{i}}.attention.{name}")
    return repeated([*entries, *bert_rest(layer)], layers)


def bert_rest(layer: str) -> list[Entry]:
    """Returns the entries of a layer {i} with BERT's names, but for queries, keys and values."""
    block = "blocks.{i}"
    entries = linear(f"{layer}.attention.output.dense", f"{block}.attention.out")
    entries += layer_norm(f"{layer}.attention.output.LayerNorm", f"{block}.attention_residual.norm")
    entries += linear(f"{layer}.intermediate.dense", f"{block}.feed_forward.up")
    entries += linear(f"{layer}.output.dense", f"{block}.feed_forward.down")
    entries += layer_norm(f"{layer}.output.LayerNorm", f"{block}.feed_forward_residual.norm")
    return entries


@dataclass(frozen=True)
class Heads:
    """The heads of a family, told apart by the tensors that a file holds.

    Attributes:
      architecture: what the names of their classes in transformers begin with.
      transform: the layer before the output for masked tokens.
      transform_norm: its norm.
      bias: of that output, where it is the embedding.
      output: the output, where it is not.
      pooler: the layer over the first token; "" where the family has none without labels.
      labels: the output for labels of the text.
      label_pooler: the layer before it, where it is not the pooler.
      pooler_activation: of both.
      token_labels: the output for labels of each token.
      token_transform: the layer before that output, where there is one.
      token_output: the output after that layer.
      pair: the output for pairs of sentences.
    """

    architecture: str
    transform: str
    transform_norm: str
    bias: str
    output: str
    pooler: str = ""
    labels: str = "classifier"
    label_pooler: str = ""
    pooler_activation: str = "tanh"
    token_labels: str = "classifier"
    token_transform: str = ""
    token_output: str = ""
    pair: str = ""

    @property
    def ties(self) -> Mapping[str, str]:
        """Tensors that may be copies of others, with the parameter that both are."""
        copies = {f"{self.output}.weight": EMBEDDING, f"{self.output}.bias": "head.bias"}
        return copies | {self.bias: "head.output.bias"}

    def read(self, keys: Keys, tensors: Tensors, embedding: str, activation: str) -> dict[str, Any]:
        """Returns the settings of the heads that a file holds.

        Args:
          keys: of config.json.
          tensors: on disk.
          embedding: the tensor of the tokens.
          activation: ours, of the layer before an output.
        """
        tie = tied(keys, tensors, embedding, f"{self.output}.weight")
        found: dict[str, Any] = {"pair_head": self._holds(tensors, self.pair)}
        if self._holds(tensors, self.transform):
            found |= {"head": "masked_lm", "head_activation": activation, "tie_embeddings": tie}
        elif self._holds(tensors, "qa_outputs"):
            found["head"] = "spans"
        elif self._holds(tensors, self.labels) and self._holds(tensors, self.label_pooler or self.pooler):
            found |= {"head": "labels", "labels": read_labels(keys)}
        elif self._holds(tensors, self.token_transform):
            found |= {"head": "token_labels", "head_activation": activation, "labels": 1}
        elif self._holds(tensors, self.token_labels):
            found |= {"head": "token_labels", "labels": read_labels(keys)}
        labelled = found.get("head") == "labels" and self._holds(tensors, self.label_pooler)
        if labelled or self._holds(tensors, self.pooler):
            found["pooler"] = self.pooler_activation
        return found

    def write(self, config: EncoderConfig) -> dict[str, Any]:
        """Returns the keys that name the class in transformers."""
        names = {None: "Model", "masked_lm": "ForMaskedLM", "labels": "ForSequenceClassification"}
        names |= {"token_labels": "ForTokenClassification", "spans": "ForQuestionAnswering"}
        name = names[config.head]
        if config.pair_head or (config.head == "token_labels" and config.head_activation is not None):
            name = "ForPreTraining"
        labels = write_labels(config.labels) if config.head in ("labels", "token_labels") else {}
        return {"architectures": [self.architecture + name]} | labels

    def entries(self, config: EncoderConfig) -> list[Entry]:
        """Returns the entries of the heads of a model."""
        entries: list[Entry] = []
        if config.pooler is not None:
            labelled = config.head == "labels" and self.label_pooler
            entries += linear(self.label_pooler if labelled else self.pooler, "pooler")
        if config.pair_head:
            entries += linear(self.pair, "pair")
        if config.head == "masked_lm":
            entries += linear(self.transform, "head.transform")
            entries += layer_norm(self.transform_norm, "head.norm")
            tied = [Entry(self.bias, "head.bias")]
            return entries + (tied if config.tie_embeddings else linear(self.output, "head.output"))
        if config.head == "token_labels" and config.head_activation is not None:
            entries += linear(self.token_transform, "head.transform")
            return entries + linear(self.token_output, "head.output")
        names = {"labels": self.labels, "token_labels": self.token_labels, "spans": "qa_outputs"}
        return entries if config.head is None else entries + linear(names[config.head], "head.output")

    @staticmethod
    def _holds(tensors: Tensors, name: str) -> bool:
        return bool(name) and f"{name}.weight" in tensors


def family(
    name: str,
    read: Callable[[Keys, Tensors], tuple[EncoderConfig, dict[str, Any]]],
    write: Callable[[Encoder], dict[str, Any]],
    table: Callable[[Encoder], list[Entry]],
    heads: Heads,
) -> Family:
    """Returns a family of encoders, whose names on disk begin with its own."""
    return Family(
        name,
        read,
        write,
        table,
        Encoder,
        peer=f"{heads.architecture}Model",
        prefix=f"{name}.",
        aliases=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
        ties=heads.ties,
        ignored=(rf"{name}\.embeddings\.position_ids",),
    )
