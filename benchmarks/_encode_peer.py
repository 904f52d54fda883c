"""Texts to vectors by PyTorch, in the process of `TorchPeer`, from a folder of sentence-transformers."""

import json
from pathlib import Path
from typing import Any

BATCH = 32
"""Texts of a batch of sentence-transformers, unless it is told another."""


def encoding(spec: dict[str, Any]) -> Any:
    """Returns a function that encodes the texts of a JSON file as one of three cases does.

    Its first result is written as the file `vectors`. Cases: "transformers" fills up all texts to the
    longest, "sorted" sorts them by length and computes 32 together, "sentence-transformers" is that itself.
    """
    import numpy as np

    texts = json.loads(Path(spec["texts"]).read_text())
    if spec["case"] == "sentence-transformers":
        encode = _sentence_transformers(spec["folder"])
    else:
        encode = _transformers(spec["folder"], len(texts) if spec["case"] == "transformers" else BATCH)
    np.save(spec["vectors"], encode(texts))
    return lambda: encode(texts)


def _sentence_transformers(folder: str) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    return lambda texts: model.encode(texts, batch_size=BATCH, show_progress_bar=False)


def _transformers(folder: str, batch: int) -> Any:
    import numpy as np
    import torch
    import transformers

    most = json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Any:
        found = np.zeros((len(texts), model.config.hidden_size), np.float32)
        places = list(range(len(texts)))
        if batch < len(texts):
            places.sort(key=lambda place: -len(texts[place]))
        for start in range(0, len(texts), batch):
            own = places[start : start + batch]
            given = [texts[place] for place in own]
            read = tokenizer(given, padding=True, truncation=True, max_length=most, return_tensors="pt")
            states = model(**read).last_hidden_state
            present = read["attention_mask"][..., None].to(states.dtype)
            mean = (states * present).sum(1) / present.sum(1)
            found[own] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found

    return encode
