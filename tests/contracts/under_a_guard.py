"""Every engine, mask, score, normaliser and member, traced where no transfer to a device is allowed.

python -m tests.contracts.under_a_guard [ENGINE…]: nothing ran before, whose constants JAX might find again.
"""

import sys

import jax
import numpy as np

import attnjax as aj
from attnjax.ops.positions import alibi_slopes
from tests.ops.linear.member_cases import MEMBERS, call, draw

B, T, N, H = 2, 64, 4, 20
LONG = 1024
IDS = np.arange(T, dtype=np.int32) // 10
LENGTHS = np.array([64, 40], np.int32)
TABLE = np.tri(T, dtype=bool)
MASKS = {
    "causal": lambda: aj.causal(),
    "causal, traced offset": lambda: aj.causal(jax.numpy.asarray(LENGTHS)),
    "sliding_window": lambda: aj.sliding_window(9, 2, 1),
    "prefix": lambda: aj.causal() | aj.prefix(5),
    "lengths": lambda: aj.lengths(T, LENGTHS),
    "lengths, known": lambda: aj.lengths(50, 60),
    "segments": lambda: aj.segments(IDS),
    "block_diagonal": lambda: aj.block_diagonal(16),
    "chunked_causal": lambda: aj.chunked_causal(16),
    "dilated": lambda: ~aj.dilated(3),
    "global_tokens": lambda: aj.global_tokens([1, 40]),
    "global_tokens, array": lambda: aj.global_tokens(LENGTHS),
    "random_blocks": lambda: aj.random_blocks(jax.random.key(0), 8, 2),
    "neighborhood": lambda: aj.neighborhood((8, 8), 3),
    "dense": lambda: aj.dense(TABLE),
    "array": lambda: TABLE,
    "predicate": lambda: aj.causal() & aj.predicate(lambda b, h, i, j: i - j < 9 * (h + 1)),
    "predicate, closed": lambda: aj.predicate(lambda b, h, i, j: (jax.numpy.asarray(IDS)[i] == IDS).any()),
}
SCORES = {
    "alibi": lambda: aj.alibi(alibi_slopes(N)),
    "softcap": lambda: aj.softcap(4.0),
    "relative_bias": lambda: aj.relative_bias(jax.numpy.zeros((8, N))),
    "forget_gate": lambda: aj.forget_gate(-jax.numpy.ones((B, T, N))),
    "pair_bias": lambda: aj.pair_bias(np.ones((T, T), np.float32)),
    "score_fn": lambda: aj.score_fn(lambda s, b, h, i, j, w: s * w + i, 0.5),
}
NORMALIZERS = {
    "softmax": lambda: aj.softmax(np.ones(N, np.float32)),
    "sigmoid": lambda: aj.sigmoid(-1.0),
    "sparsemax": lambda: aj.sparsemax(),
    "entmax": lambda: aj.entmax(1.4),
}


def on_device(case):
    return case._replace(tokens=jax.device_put(case.tokens), parameters=jax.device_put(case.parameters))


def tried(name, x, **make):
    """The gradient of a call, through every stage before XLA's."""
    print(name, flush=True)  # The last name says what failed.

    def loss(x):
        return aj.attention(x, x, x, **{n: f() if callable(f) else f for n, f in make.items()}).sum()

    jax.jit(jax.grad(loss)).lower(x)


def main() -> None:
    x, long = (jax.device_put(np.ones(s, np.float32)) for s in ((B, T, N, H), (1, LONG, 1, 2)))
    members = {name: on_device(draw(name)) for name in MEMBERS}
    with jax.transfer_guard("disallow"):
        for engine in sys.argv[1:] or ("blockwise", "reference"):
            for name, mask in MASKS.items():
                tried(f"{engine}: {name}", x, mask=mask, implementation=engine)
            for name, score in SCORES.items():
                tried(f"{engine}: {name}", x, score=score, mask=aj.causal(), implementation=engine)
            for name in ("softmax", "sigmoid"):
                tried(f"{engine}: {name}", x, normalizer=NORMALIZERS[name], implementation=engine)
        for name, normalizer in NORMALIZERS.items():
            tried(name, x, normalizer=normalizer, mask=aj.causal())
        for name, options in {"long": {}, "long, a band": {"mask": aj.sliding_window(64, 0)}}.items():
            tried(name, long, **options)
        for name, case in members.items():
            print(name, flush=True)

            def member(tokens, parameters, name=name, case=case):
                return call(name, case._replace(tokens=tokens, parameters=parameters))

            jax.eval_shape(member, case.tokens, case.parameters)


if __name__ == "__main__":
    main()
