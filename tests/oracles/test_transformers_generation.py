"""Generation against transformers': the changes of logits, and tokens of a small Llama with one's weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.data.text.chat import chat_text
from attnjax.models import LanguageModel, LanguageModelConfig, beams, generate, greedy
from attnjax.models.decoding import logits as change
from tests.daily import daily

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")


VOCAB = 29
EARLY = beams(2, length_penalty=2.0, early=True)
EARLY_OF_THEIRS = {"num_beams": 2, "length_penalty": 2.0, "early_stopping": True}


def drawn() -> np.ndarray:
    """Flat rows, steep ones, and one in which a single token has all."""
    spread = np.array([0.1, 1.0, 3.0, 10.0, 300.0])[:, None]
    return (np.random.default_rng(0).normal(size=(5, 101)) * spread).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs", "number"),
    [
        (change.temperature, "TemperatureLogitsWarper", 0.7),
        *((change.top_k, "TopKLogitsWarper", k) for k in (1, 7, 200)),
        *((change.top_p, "TopPLogitsWarper", p) for p in (1e-6, 0.3, 0.9, 0.999, 1.0)),
        *((change.min_p, "MinPLogitsWarper", p) for p in (0.0, 0.05, 0.5, 1.0)),
    ],
)
def test_changes_are_those_of_transformers(ours: Any, theirs: str, number: Any) -> None:
    logits = drawn()
    expected = getattr(transformers, theirs)(number)(None, torch.tensor(logits)).numpy()
    given = np.asarray(ours(jnp.asarray(logits), number))
    # A share of 1 takes theirs tokens that have no probability in float32.
    left = np.isfinite(expected) | (theirs == "TopPLogitsWarper" and number == 1.0)
    np.testing.assert_array_equal(np.isfinite(given), left)
    p, q = (np.asarray(jax.nn.softmax(x, axis=-1)) for x in (given, expected))
    np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-30)


def test_the_penalty_is_that_of_transformers() -> None:
    logits = drawn()
    tokens = np.random.default_rng(1).integers(0, 101, (5, 40))
    processor = transformers.RepetitionPenaltyLogitsProcessor(1.7)
    expected = processor(torch.tensor(tokens), torch.tensor(logits)).numpy()
    seen = (tokens[:, :, None] == np.arange(101)).any(1)
    given = change.repetition_penalty(jnp.asarray(logits), jnp.asarray(seen), 1.7)
    np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def pair() -> tuple[LanguageModel, Any]:
    """A small Llama of ours, and transformers' with the same weights."""
    config = LanguageModelConfig(
        dim=16, heads=4, kv_heads=2, layers=2, hidden=24, norm="rms", activation="swiglu", bias=False
    )
    ours = LanguageModel(config, vocab=VOCAB, rngs=nnx.Rngs(0))
    state = nnx.state(ours, nnx.Param)
    nnx.update(ours, jax.tree.map(lambda leaf: 3.0 * leaf if leaf.ndim > 1 else leaf, state))
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=16,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_hidden_layers=2,
            intermediate_size=24,
            rms_norm_eps=1e-6,
            attn_implementation="eager",
        )
    ).eval()
    weights = {
        "model.embed_tokens.weight": ours.embedding.tokens.embedding[...] * 4.0,
        "lm_head.weight": ours.output.kernel[...].T,
        "model.norm.weight": ours.norm.scale[...],
    }
    for i, block in enumerate(ours.blocks):
        own, wide = block.attention, block.feed_forward
        named = {
            **{
                f"self_attn.{n}_proj": getattr(own, m).kernel[...].reshape(16, -1)
                for n, m in zip("qkv", ("query", "key", "value"), strict=True)
            },
            "self_attn.o_proj": own.out.kernel[...].reshape(-1, 16),
            **{f"mlp.{n}_proj": getattr(wide, n).kernel[...] for n in ("gate", "up", "down")},
        }
        weights |= {f"model.layers.{i}.{n}.weight": w.T for n, w in named.items()}
        weights |= {
            f"model.layers.{i}.input_layernorm.weight": block.attention_residual.norm.scale[...],
            f"model.layers.{i}.post_attention_layernorm.weight": block.feed_forward_residual.norm.scale[...],
        }
    theirs.load_state_dict({n: torch.tensor(np.asarray(w, np.float32)) for n, w in weights.items()})
    return ours, theirs


@pytest.mark.parametrize(
    ("strategy", "options"),
    daily(
        [
            (greedy(), {}),
            (greedy(repetition_penalty=1.8), {"repetition_penalty": 1.8}),
            (beams(3), {"num_beams": 3}),
            (beams(4, length_penalty=0.3), {"num_beams": 4, "length_penalty": 0.3}),
            (EARLY, EARLY_OF_THEIRS),
            (beams(3, length_penalty=-1.0), {"num_beams": 3, "length_penalty": -1.0}),
        ],
        [(greedy(), {}), (EARLY, EARLY_OF_THEIRS)],
    ),
    ids=repr,
)
def test_tokens_are_those_of_transformers(pair: Any, strategy: Any, options: dict[str, Any]) -> None:
    ours, theirs = pair
    lengths = np.array([7, 1, 4, 5, 2, 7])
    prompts = np.random.default_rng(0).integers(4, VOCAB, (6, 7))
    width, eos = 7, [2, 3, 11]
    left = np.stack(
        [
            np.roll(np.where(np.arange(width) < n, row, 0), width - n)
            for row, n in zip(prompts, lengths, strict=True)
        ]
    )
    mask = np.arange(width) >= (width - lengths)[:, None]
    common = {"max_new_tokens": 10, "eos_token_id": eos, "pad_token_id": 1, "do_sample": False}
    if "repetition_penalty" in options:  # There transformers' penalty counts padding as a token.
        prompts, left, mask, lengths = prompts[:1], left[:1], mask[:1], lengths[:1]
    with torch.no_grad():
        expected = theirs.generate(torch.tensor(left), attention_mask=torch.tensor(mask), **common, **options)
    expected = expected[:, width:].numpy()
    given = generate(
        ours, jnp.asarray(prompts), jnp.asarray(lengths), strategy=strategy, eos=eos, pad=1, max_length=10
    )
    padded = np.ones((len(prompts), 10), int)
    padded[:, : expected.shape[1]] = expected
    np.testing.assert_array_equal(given.tokens, padded)


def test_chats_are_those_of_transformers() -> None:
    """What templates in use lean on: trimmed blocks, loop controls, tojson, namespaces, string methods."""
    template = """{{ bos_token }}{% set ns = namespace(found=false) %}
    {%- for m in messages %}
        {%- if m.role == 'system' %}{% set ns.found = true %}{% continue %}{% endif %}
<|{{ m['role'] }}|>
{{ m['content'].strip() | tojson }}{{ eos_token }}
    {%- endfor %}
{% if add_generation_prompt %}
<|assistant|>{{ ns.found }}
{% endif %}"""
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": ' <a> "ö" '}]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    render = transformers.utils.chat_template_utils.render_jinja_template
    (expected,), _ = render([messages], chat_template=template, add_generation_prompt=True, **tokens)
    assert chat_text(template, messages, **tokens) == expected
