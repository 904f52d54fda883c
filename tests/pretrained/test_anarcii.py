"""Real weights of an encoder-decoder: numbers of antibodies by anarcii, against the package's own code."""

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import Transformer, TransformerConfig, generate
from attnjax.nn import Capture
from attnjax.pretrained import Entry
from attnjax.pretrained.copying import filled
from attnjax.pretrained.table import joined, parameters, repeated, rows
from tests.pretrained.assets import asset

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")

LETTERS = {letter: i + 4 for i, letter in enumerate("ACDEFGHIKLMNPQRSTVWXY")}
PAD, START, END = 0, 1, 2
CHAINS = [
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAKDYW",
    "DIQMTQSPSSLSASVGDRVTITCRASQSISSYLNWYQQKPGKAPKLLIYAASSLQSGVPSRFSGSGSGTDFTLTISSLQPEDFATYYCQQSYSTPLTFGGGTKVEIK",
]
"""A human heavy chain and a light one."""


def linear(disk: str, ours: str) -> list[Entry]:
    return [Entry(f"{disk}.weight", f"{ours}.kernel"), Entry(f"{disk}.bias", f"{ours}.bias")]


def attention(disk: str, ours: str, dim: int) -> list[Entry]:
    """The three projections in one matrix, as torch's own layer has them."""
    names = ("query", "key", "value")
    entries = rows(f"{disk}.in_proj_weight", {f"{ours}.{name}.kernel": dim for name in names}, dim)
    entries += [
        Entry(
            f"{disk}.in_proj_bias",
            f"{ours}.{name}.bias",
            lambda x, i=i: x[i * dim : (i + 1) * dim],
            (3 * dim,),
        )
        for i, name in enumerate(names)
    ]
    return entries + linear(f"{disk}.out_proj", f"{ours}.out")


def norm(disk: str, ours: str) -> list[Entry]:
    return [Entry(f"{disk}.weight", f"{ours}.norm.scale"), Entry(f"{disk}.bias", f"{ours}.norm.bias")]


def table(config: TransformerConfig) -> list[Entry]:
    entries = linear("decoder.fc_out", "output")
    for side, embedding in (("encoder", "source_embedding"), ("decoder", "target_embedding")):
        entries.append(Entry(f"{side}.tok_embedding.weight", f"{embedding}.tokens.embedding"))
        entries.append(Entry(f"{side}.pos_embedding.weight", f"{embedding}.table.embedding"))
        disk, ours = f"{side}.layers.{{i}}", f"{side}.{{i}}"
        own, connection = ("self_attention", "self") if side == "decoder" else ("attention", "attention")
        block = attention(f"{disk}.self_attention.multihead_attn", f"{ours}.{own}", config.dim)
        block += norm(f"{disk}.self_attn_layer_norm", f"{ours}.{connection}_residual")
        if side == "decoder":
            other = f"{disk}.encoder_attention.multihead_attn"
            block += attention(other, f"{ours}.cross_attention", config.dim)
            block += norm(f"{disk}.enc_attn_layer_norm", f"{ours}.cross_residual")
        block += linear(f"{disk}.positionwise_feedforward.fc_1", f"{ours}.feed_forward.up")
        block += linear(f"{disk}.positionwise_feedforward.fc_2", f"{ours}.feed_forward.down")
        block += norm(f"{disk}.ff_layer_norm", f"{ours}.feed_forward_residual")
        entries += repeated(block, config.encoder_layers)
    return entries


def both(folder: Path, layers: int) -> tuple[Transformer, Any]:
    """Our model and the package's, with the weights of a file."""
    models = folder / "models" / "antibody"
    sizes = json.loads((models / f"antibody_4_{layers}_128_512.json").read_text())
    code = importlib.util.spec_from_file_location("anarcii_model", folder / "inference" / "model.py")
    assert code is not None
    assert code.loader is not None
    library = importlib.util.module_from_spec(code)
    code.loader.exec_module(library)
    dim, heads, device = sizes["HID_DIM"], sizes["HEADS"], torch.device("cpu")
    sides = [
        made(vocab, dim, layers, heads, 4 * dim, 0.0, device)
        for made, vocab in ((library.Encoder, sizes["INPUT_DIM"]), (library.Decoder, sizes["OUTPUT_DIM"]))
    ]
    theirs = library.S2S(*sides, PAD, PAD, device).eval()
    file = models / f"antibody_4_{layers}_128_512.pt"
    state = torch.load(file, map_location="cpu", weights_only=True)
    theirs.load_state_dict(state)
    config = TransformerConfig(
        dim=dim, heads=heads, hidden=4 * dim, encoder_layers=layers, decoder_layers=layers,
        positions="learned", max_length=library.seq_max_len, norm_placement="post", norm_eps=1e-5,
        activation="relu",
    )  # fmt: skip
    vocabs = {"source_vocab": sizes["INPUT_DIM"], "target_vocab": sizes["OUTPUT_DIM"]}
    ours = nnx.eval_shape(lambda: Transformer(config, **vocabs, rngs=nnx.Rngs(0)))
    tensors = {name: x.numpy() for name, x in state.items()}
    values = filled(
        joined(table(config), parameters(ours), tensors, str(file)), tensors, dtype=None, place=None
    )
    graph, shapes = nnx.split(ours)
    leaves = [(path, x.replace(values[".".join(map(str, path))])) for path, x in nnx.to_flat_state(shapes)]
    return nnx.merge(graph, nnx.from_flat_state(leaves)), theirs


def sources() -> tuple[np.ndarray, np.ndarray]:
    """The chains with their marks, padded on the right, and their lengths."""
    ids = [[START, *(LETTERS[x] for x in chain), END] for chain in CHAINS]
    lengths = np.array([len(row) for row in ids])
    return np.stack([np.pad(row, (0, lengths.max() - len(row))) for row in ids]), lengths


def written(theirs: Any, source: np.ndarray, steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The likeliest tokens, one after another, and what the layers then give for all of them at once."""
    found: dict[str, Any] = {}
    hooks = contextlib.ExitStack()
    for side in ("encoder", "decoder"):
        for i, layer in enumerate(getattr(theirs, side).layers):
            name = f"{side}.{i}"

            def told(_: Any, __: Any, out: Any, name: str = name) -> None:
                found[name] = out if isinstance(out, torch.Tensor) else out[0]

            hooks.callback(layer.register_forward_hook(told).remove)
    ids = torch.tensor(source)
    with hooks, torch.no_grad():
        mask = theirs.make_src_mask(ids)
        states = theirs.encoder(ids, mask)
        target = torch.full((len(source), 1), START)
        for _ in range(steps):
            seen = theirs.make_trg_mask(target)
            logits, _ = theirs.decoder(target, states, *seen, mask)
            target = torch.cat([target, logits[:, -1:].argmax(-1)], 1)
    return target.numpy(), {name: x.numpy() for name, x in (found | {"logits": logits}).items()}


def test_it_numbers_antibodies_as_the_package_does() -> None:
    folder = asset("anarcii==2.0.8") / "anarcii"
    source, lengths = sources()
    model, theirs = both(folder, 1)
    steps = 40
    tokens, expected = written(theirs, source, steps)
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: nnx.State, target: jax.Array) -> Any:
        made = nnx.merge(graph, state)
        return made(jnp.asarray(source), jnp.asarray(lengths), target, capture=Capture(hidden=True))

    out = run(state, jnp.asarray(tokens[:, :-1]))
    real = np.arange(source.shape[1]) < lengths[:, None]
    for name, theirs_say in expected.items():
        ours_say = np.asarray(out.logits if name == "logits" else out.hidden[name])
        given = real if name.startswith("encoder") else np.ones(theirs_say.shape[:2], bool)
        size = np.abs(ours_say - theirs_say)[given].max() / np.abs(theirs_say[given]).max()
        assert size <= 1e-5, (name, size)
    decoded = generate(
        model, jnp.asarray(source), jnp.asarray(lengths), bos=START, eos=END, pad=PAD, max_length=steps
    )
    assert decoded.tokens.tolist() == tokens[:, 1:].tolist()
    # The chain, then its places by IMGT; 10 is a gap in heavy chains of this kind.
    assert [token - 3 for token in tokens[0, 2:12]] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
