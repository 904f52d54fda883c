"""A config.json read key by key: what nobody has asked for, and may change behaviour, is refused by name."""

from collections.abc import Mapping
from typing import Any

from attnjax.config import InputError

HARMLESS = frozenset(
    {
        "_name_or_path", "_attn_implementation_autoset", "architectures", "auto_map", "model_type",
        "transformers_version", "torch_dtype", "dtype", "torchscript", "use_bfloat16", "pruned_heads",
        "bos_token_id", "eos_token_id", "eos_token_ids", "pad_token_id", "sep_token_id",
        "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "tokenizer_class", "prefix",
        "task_specific_params", "use_cache", "cache_implementation", "initializer_range",
        "initializer_factor", "gradient_checkpointing", "id2label", "label2id", "num_labels",
        "problem_type", "finetuning_task", "return_dict", "output_attentions", "output_hidden_states",
        "is_encoder_decoder",
        "output_past", "return_dict_in_generate", "output_scores", "attention_dropout",
        "attention_probs_dropout_prob", "hidden_dropout_prob", "hidden_dropout", "resid_pdrop",
        "embd_pdrop", "attn_pdrop", "dropout", "activation_dropout", "classifier_dropout",
        "classifier_dropout_prob", "embd_layer_dropout", "residual_dropout", "resid_dropout",
        "do_sample", "early_stopping", "max_length", "min_length", "num_beams", "num_beam_groups",
        "num_return_sequences", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
        "length_penalty", "diversity_penalty", "repetition_penalty", "temperature", "top_k", "top_p",
        "typical_p", "bad_words_ids", "remove_invalid_values", "exponential_decay_length_penalty",
        "suppress_tokens", "begin_suppress_tokens", "pretraining_tp", "chunk_size_feed_forward",
        "tf_legacy_loss", "vocab_file", "output_router_logits", "router_aux_loss_coef",
    }
)  # fmt: skip
"""Keys that say nothing of what a model computes when it is not trained: names, ids, generation, dropout."""


class Keys:
    """The keys of a config.json, which remember which of them were asked for.

    Args:
      raw: the object in the file.
      label: what an error calls it.

    Example:
      >>> keys = Keys({"hidden_size": 8, "use_cache": True, "magic": 2}, "config.json")
      >>> keys.take("hidden_size")
      8
      >>> keys.finish()
      Traceback (most recent call last):
      attnjax.config.InputError: config.json has magic = 2, which may change the model: nobody here knows it
    """

    def __init__(self, raw: Mapping[str, Any], label: str) -> None:
        self.raw = raw
        self.label = label
        self._asked: set[str] = set()

    def take(
        self,
        name: str,
        default: Any = None,
        *,
        kind: type | tuple[type, ...] | None = None,
        least: float | None = None,
    ) -> Any:
        """Returns the value of a key, or where it is not there a default.

        Args:
          name: the key.
          default: None: there is none, the key must be there.
          kind: of the value, where float takes whole numbers too; None: that of the default, else int.
          least: what a number has to be at least; None: 1 for a whole number, which is a size, else nothing.

        Raises:
          InputError: It is not there, and there is no default, or it is of another kind, or too small.
        """
        kind = kind or (type(default) if default is not None else int)
        value = self.optional(name, kind)
        if value is None:
            if default is None:
                raise InputError(f"{self.label} has no {name}")
            return default
        least = 1 if least is None and kind is int else least
        if least is not None and not value >= least:
            raise InputError(f"{self.label} has {name} = {value!r}: expected {least} or more")
        return value

    def optional(self, name: str, kind: type | tuple[type, ...]) -> Any:
        """Returns the value of a key, None where it is not there.

        Raises:
          InputError: It is of another kind.
        """
        self._asked.add(name)
        value = self.raw.get(name)
        kinds = kind if isinstance(kind, tuple) else (float, int) if kind is float else (kind,)
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if value is not None and not fits:
            raise InputError(f"{self.label} has {name} = {_short(value)}: expected {_named(kind)}")
        return value

    def nullable(self, name: str, default: Any, kind: type) -> Any:
        """Returns the value of a key, where null says None; the default where the key is not there.

        Raises:
          InputError: It is of another kind.
        """
        return self.optional(name, kind) if name in self.raw else default

    def choice(self, name: str, choices: Mapping[str, Any], default: str) -> Any:
        """Returns what a text stands for.

        Raises:
          InputError: It is none of the choices.
        """
        value = self.take(name, default, kind=str)
        if value not in choices:
            raise InputError(f"{self.label} has {name} = {value!r}: expected one of {', '.join(choices)}")
        return choices[value]

    def only(self, name: str, *values: Any) -> None:
        """Raises InputError where a key is there with none of the values, or at all where none is given."""
        self._asked.add(name)
        value = self.raw.get(name)
        if value is not None and value not in values:
            expected = " or ".join(repr(x) for x in values) or "no such key"
            shown = f"{self.label} has {name} = {_short(value)}"
            raise InputError(f"{shown}: expected {expected}, there is no other here")

    def ignore(self, *names: str) -> None:
        """Says of keys that they change nothing, in this family."""
        self._asked.update(names)

    def finish(self) -> None:
        """Raises InputError where there are keys that nobody has asked for; null and harmless ones may be."""
        strange = sorted(
            name
            for name, value in self.raw.items()
            if value is not None and name not in self._asked and name not in HARMLESS
        )
        if strange:
            listed = ", ".join(f"{name} = {_short(self.raw[name])}" for name in strange)
            raise InputError(f"{self.label} has {listed}, which may change the model: nobody here knows it")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _named(kind: Any) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(one.__name__ for one in kinds)
