"""The types that a checker sees of the public face, in a file of a user of the installed package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USER = """
import attnjax as aj
import jax
import jax.numpy as jnp
from attnjax import linear, models, nn
from flax import nnx

x = jnp.ones((2, 4, 2, 8))
flag = bool(x.ndim)
reveal_type(aj.causal() & ~aj.prefix(2))  # Mask
reveal_type(aj.softcap(2.0))  # Score
reveal_type(aj.entmax(1.5))  # Normalizer
score = aj.softcap(2.0) >> aj.alibi(aj.alibi_slopes(2))
reveal_type(aj.attention(x, x, x, mask=aj.causal(), score=score, normalizer=aj.softmax()))  # Array
reveal_type(aj.attention(x, x, x, return_lse=True))  # tuple[Array, Array]
reveal_type(aj.attention(x, x, x, normalize=False))  # tuple[Array, Array, Array]
reveal_type(aj.attention(x, x, x, return_lse=flag))  # Array | tuple[Array, ...]
reveal_type(aj.attention_weights(x, x, rows=[0]))  # Array
reveal_type(aj.merge_attention([x], [x]))  # tuple[Array, Array]
reveal_type(aj.plan_attention(x, x, x))  # AttentionPlan
reveal_type(aj.plan_attention(x, x, x).visited)  # int | None
reveal_type(aj.linear_attention(x, x, x, chunk_size=2))  # Array
reveal_type(aj.linear_attention(x, x, x, return_state=True))  # tuple[Array, Array]
reveal_type(aj.rope(x, jnp.arange(4), scaling=aj.LinearScaling(2.0)))  # Array
reveal_type(linear.gla(x, x, x, decay=x))  # Array
reveal_type(linear.mamba2(x, x, x, dt=x[..., 0], rate=-x[0, 0, :, 0], lengths=3))  # Array
reveal_type(linear.mesa(x, x, x, decay=x, strength=x, ridge=x, return_state=True)[0])  # Array
layer = nn.Attention(8, 2, rngs=nnx.Rngs(0))
reveal_type(layer)  # Attention
reveal_type(layer(x).out)  # Array
reveal_type(models.LanguageModelConfig())  # LanguageModelConfig
model = models.Transformer(models.TransformerConfig(), 8, 8, rngs=nnx.Rngs(0))
decoded = models.generate(model, x, x, bos=1, eos=2, pad=0, max_length=3)
reveal_type(decoded.tokens)  # Array
aj.atention  # error
models.LanguageModl  # error
aj.attention(x, x, x, maks=aj.causal())  # error
aj.attention(x, x, x, mask=3)  # error
aj.plan_attention(x, x, x, score="alibi")  # error
aj.linear_attention(x, x, x, decay="fast")  # error
linear.gla("x", x, x, decay=x)  # error
linear.retention(x, x, x, scale="small")  # error
linear.gla(x, x, x)  # error
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What mypy says of each line of the user's file, without the packages' names."""
    file = tmp_path_factory.mktemp("user") / "user.py"
    file.write_text(USER)
    # What a user gets by default, but for two options of the repository, which change no type that is asked
    # for here: with them the cache of the repository has all of jax and attnjax.
    same = ["--check-untyped-defs", "--ignore-missing-imports"]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file=",
        "--cache-dir",
        ROOT / ".mypy_cache",
        *same,
        file,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines: dict[int, str] = {}
    for number, text in re.findall(r"user\.py:(\d+): (?:error|note): (.*)", done.stdout):
        lines[int(number)] = lines.get(int(number), "") + re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
    assert lines, done.stdout + done.stderr
    return lines


@pytest.mark.parametrize("number", [n for n, line in enumerate(USER.splitlines(), 1) if "  # " in line])
def test_a_checker_sees_the_type_or_the_error(said, number):
    line = USER.splitlines()[number - 1]
    expected = line.rpartition("  # ")[2]
    found = said.get(number, "nothing")
    if expected == "error":
        assert "Revealed" not in found
        assert found != "nothing"
    else:
        assert "Any" not in found
        assert f'Revealed type is "{expected}' in found
