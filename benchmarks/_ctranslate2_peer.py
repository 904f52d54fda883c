"""A translator of ours in CTranslate2's engine, in a process of its own: answers to JSON lines.

    PYTHON benchmarks/_ctranslate2_peer.py FOLDER THREADS

FOLDER has the weights by their names here (weights.npz), the shape (config.json) and sentences as tokens
(sentences.json). A line {"beams": 5, "batch": 32, "max_length": 60} is answered by the seconds and the tokens
of all sentences. The interpreter needs ctranslate2 and NumPy, and nothing of this project.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

MARKS = ["<pad>", "<s>", "</s>", "<unk>"]
"""The first tokens; the others are called by their numbers."""


def converted(folder: Path) -> Path:
    """Writes the model as CTranslate2 reads it, and returns its folder."""
    from ctranslate2.specs import TransformerSpec, common_spec

    shape = json.loads((folder / "config.json").read_text())
    weights = dict(np.load(folder / "weights.npz"))
    spec: Any = TransformerSpec.from_config(
        (shape["encoder_layers"], shape["decoder_layers"]),
        shape["heads"],
        activation=common_spec.Activation.GELUTanh,
    )

    def norm(at: Any, name: str) -> None:
        at.gamma, at.beta = weights[f"{name}.scale"], weights[f"{name}.bias"]

    def joined(at: Any, *names: str) -> None:
        """One matrix with a row for each output, of several of ours with a row for each input."""
        kernels = [weights[f"{name}.kernel"] for name in names]
        biases = [weights[f"{name}.bias"].reshape(-1) for name in names]
        inputs = kernels[0].size // biases[0].size
        at.weight = np.concatenate([kernel.reshape(inputs, -1).T for kernel in kernels])
        at.bias = np.concatenate(biases)

    def own(at: Any, name: str) -> None:
        joined(at.linear[0], *(f"{name}.{part}" for part in ("query", "key", "value")))
        joined(at.linear[-1], f"{name}.out")

    def feed_forward(at: Any, name: str) -> None:
        norm(at.layer_norm, f"{name}_residual.norm")
        joined(at.linear_0, f"{name}.up")
        joined(at.linear_1, f"{name}.down")

    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        places = stack.position_encodings
        places.encodings = weights["positions"]
        stack.scale_embeddings = True
        norm(stack.layer_norm, f"{side}_norm")
        for number, layer in enumerate(stack.layer):
            name = f"{side}.{number}"
            attention = "attention" if side == "encoder" else "self_attention"
            residual = "attention_residual" if side == "encoder" else "self_residual"
            norm(layer.self_attention.layer_norm, f"{name}.{residual}.norm")
            own(layer.self_attention, f"{name}.{attention}")
            if side == "decoder":
                cross = layer.attention
                norm(cross.layer_norm, f"{name}.cross_residual.norm")
                joined(cross.linear[0], f"{name}.cross_attention.query")
                joined(cross.linear[1], f"{name}.cross_attention.key", f"{name}.cross_attention.value")
                joined(cross.linear[2], f"{name}.cross_attention.out")
            feed_forward(layer.ffn, f"{name}.feed_forward")
    embedding = weights["source_embedding.tokens.embedding"]
    spec.encoder.embeddings[0].weight = embedding
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    names = [str(number) for number in range(len(embedding))]
    names[: len(MARKS)] = MARKS
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.layer_norm_epsilon = shape["norm_eps"]
    spec.validate()
    place = folder / "ctranslate2"
    place.mkdir(exist_ok=True)
    spec.save(str(place))
    return place


def main() -> None:
    import ctranslate2

    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    translator = ctranslate2.Translator(
        str(converted(folder)), compute_type="float32", inter_threads=1, intra_threads=threads
    )
    sentences = [list(map(str, ids)) for ids in json.loads((folder / "sentences.json").read_text())]
    print(json.dumps({"version": ctranslate2.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start, found = time.perf_counter(), []
        for first in range(0, asked.get("count", len(sentences)), asked["batch"]):
            found += translator.translate_batch(
                sentences[first : first + asked["batch"]],
                beam_size=asked["beams"],
                length_penalty=0,
                min_decoding_length=0,
                max_decoding_length=asked["max_length"],
                suppress_sequences=[[MARKS[0]], [MARKS[1]]],
            )
        seconds = time.perf_counter() - start
        tokens = [[MARKS.index(x) if x in MARKS else int(x) for x in one.hypotheses[0]] for one in found]
        print(json.dumps({"seconds": seconds, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
