"""Whisper with its tokenizer: what it writes, when words are said, and CTranslate2's format."""

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.sound import log_mel
from attnjax.models import LanguageModel, LanguageModelConfig, generate
from attnjax.models.decoding.alignment import monotonic_path
from attnjax.pretrained import ctranslate2
from attnjax.pretrained.ctranslate2 import convert_whisper
from attnjax.pretrained.speech import SpeechModel, gains, speech_model
from attnjax.pretrained.tensors import open_tensors
from tests.pretrained.tiny_whisper import CONFIG, tiny_whisper, tones


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> SpeechModel:
    return speech_model(folder)


SOUNDS = [tones(1.0), tones(0.4, hertz=900), np.random.default_rng(0).normal(size=8000) / 5]


def theirs(folder: Path) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    read = transformers.WhisperForConditionalGeneration.from_pretrained
    found, loading = read(folder, output_loading_info=True, attn_implementation="eager")
    assert not any(loading.values()), loading
    return torch, found.eval()


def test_it_writes_the_likeliest_tokens_that_may_come(folder: Path, model: SpeechModel) -> None:
    """One after another, as transformers' model ranks them; the tokens of a text are never its marks."""
    torch, peer = theirs(folder)
    room, texts = CONFIG.max_length // 2, []
    for sound in SOUNDS:
        frames = torch.tensor(log_mel(sound, 80, 100).T[None])
        tokens = list(model.prompt)
        while len(tokens) < room and tokens[-1] != model.end:
            with torch.no_grad():
                logits = peer(input_features=frames, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            logits[list(model.never)] = -torch.inf
            if len(tokens) == len(model.prompt):
                logits[list(model.not_first)] = -torch.inf
            tokens.append(int(logits.argmax()))
        said = [token for token in tokens[len(model.prompt) :] if token != model.end]
        texts.append(model.tokenizer.decode(said).strip())
    assert [found.text for found in model.transcripts(SOUNDS)] == texts
    assert len(set(texts)) > 1


def test_a_sound_says_alone_what_it_says_among_others(
    model: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = list(model.transcripts(SOUNDS, words=True))
    monkeypatch.setattr("attnjax.pretrained.speech.BATCH_CLIPS", 2)
    apart = list(model.transcripts(SOUNDS, words=True))
    assert [(one.text, one.words) for one in apart] == [(one.text, one.words) for one in together]
    assert list(model.transcripts([])) == []


def test_frames_are_for_models_that_read_them_and_have_no_padding(model: SpeechModel) -> None:
    frames, lengths = jnp.zeros((2, 100, 80)), jnp.full(2, 50)
    options = {"bos": 1, "eos": 2, "pad": 0, "max_length": 3}
    with pytest.raises(ValueError, match=r"padding 'left': frames \[2, 100, 80\] have none"):
        generate(model.model, frames, lengths, padding="left", **options)
    writer = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"inputs \[2, 100, 80\], lengths \[2\]: expected \(B, S\)"):
        generate(writer, frames, lengths, **options)


def test_words_begin_and_end_where_the_weights_say(model: SpeechModel) -> None:
    text = model.tokenizer.encode(" goodbye. thank you", special=False)
    names = model.tokenizer.names(text)
    assert "".join(names) == " goodbye. thank you"
    weights = np.full((2, len(text) + 1, 48), 1e-3)
    edges = np.linspace(0, 48, len(text) + 2).astype(int)
    for token, (begin, end) in enumerate(itertools.pairwise(edges)):
        weights[:, token, begin:end] = 1
    found = model.timed(text, weights, 48 * 320)
    assert found.text == "goodbye. thank you"
    assert [word.text for word in found.words] == ["goodbye.", "thank", "you"]
    point, thank, you = (names.index(name) for name in (".", " thank", " you"))
    seconds = [edge * 0.02 for edge in edges]
    times = [time for word in found.words for time in word[1:]]
    # The median of seven vectors moves no edge; the point is no part of the word before it.
    expected = [0, seconds[point], seconds[thank], seconds[you], seconds[you], seconds[len(text)]]
    np.testing.assert_allclose(times, expected, atol=0.021)
    assert found.pieces == (*names, "(end)")


def test_what_a_token_gives_the_silence_after_a_clip_does_not_count() -> None:
    weights = np.random.default_rng(0).random((2, 4, 20))
    np.testing.assert_allclose(gains(weights * np.array([1, 9, 0.1, 3])[:, None]), gains(weights))


def test_a_text_without_tokens_has_no_words(model: SpeechModel) -> None:
    assert model.timed([], np.ones((2, 1, 40)), 40 * 320).words == ()


def test_the_best_path_is_the_best_of_all() -> None:
    gain = np.random.default_rng(0).normal(size=(4, 5))

    def best(i: int, j: int) -> float:
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return gain[i, j] + max((best(*at) for at in before if min(at) >= 0), default=0)

    path = monotonic_path(gain)
    assert gain[tuple(path)].sum() == pytest.approx(best(3, 4))
    assert path[:, 0].tolist() == [0, 0]
    assert path[:, -1].tolist() == [3, 4]
    steps = {tuple(step) for step in np.diff(path).T.tolist()}
    assert steps <= {(0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("shape", [(3, 6, 50), (1, 9, 9), (2, 4, 3)])
def test_times_are_those_of_transformers(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
    whisper = pytest.importorskip("transformers.models.whisper.generation_whisper")
    weights = np.random.default_rng(0).dirichlet(np.full(shape[-1], 0.1), shape[:2])
    x = torch.tensor(weights)
    x = (x - x.mean(-2, keepdim=True)) / x.std(-2, keepdim=True, unbiased=False)
    expected = whisper._median_filter(x[None], 7)[0].mean(0).numpy()
    found = gains(weights)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_array_equal(monotonic_path(found), whisper._dynamic_time_warping(-expected))


@pytest.mark.parametrize(
    ("changes", "language", "message"),
    [
        ({"is_multilingual": True}, None, "language is None: .* knows several, expected one such as 'de'"),
        ({"is_multilingual": True}, "xx", "language is 'xx': .* knows several"),
        ({}, "de", "language is 'de': .* knows English alone"),
        ({"alignment_heads": [[0, 2]]}, None, r"alignment head \[\(0, 2\)\]: there are 2 layers of 2"),
    ],
)
def test_what_does_not_fit_the_model_is_told(
    changes: dict[str, Any], language: str | None, message: str, folder: Path, tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text(json.dumps(changes))
    with pytest.raises(InputError, match=message):
        speech_model(tmp_path, language=language)


def test_a_model_of_several_languages_is_told_which(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text('{"is_multilingual": true}')
    found = speech_model(tmp_path, language="de")
    marks = [found.tokenizer.id(f"<|{name}|>") for name in ("startoftranscript", "de", "transcribe")]
    assert list(found.prompt[:3]) == marks
    assert found.heads == ((1, 0), (1, 1))  # Of the upper half.
    assert all(isinstance(text.text, str) for text in found.transcripts(SOUNDS[:1]))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in open_tensors(folder).items()}


def as_ctranslate2(folder: Path, target: Path, rows: str = "qkv") -> None:
    """Writes a folder of Hugging Face's names in CTranslate2's format, as its converter does."""
    tensors, config = open_tensors(folder), json.loads((folder / "config.json").read_text())
    arrays: dict[str, np.ndarray] = {}

    def put(theirs: str, *names: str) -> None:
        for kind, other in (("weight", "gamma"), ("bias", "beta")):
            own = [tensors.get(f"model.{name}.{kind}") for name in names]
            # Keys have no bias: it is 0.
            own = [np.zeros(CONFIG.dim, np.float32) if x is None else x for x in own]
            arrays[f"{theirs}/{other if 'norm' in theirs else kind}"] = np.concatenate(own)

    for side in ("encoder", "decoder"):
        arrays[f"{side}/num_heads"] = np.array(CONFIG.heads, np.int16)
        arrays[f"{side}/position_encodings/encodings"] = tensors[f"model.{side}.embed_positions.weight"]
        put(f"{side}/layer_norm", f"{side}.layer_norm")
        for i in range(config[f"{side}_layers"]):
            layer, own = f"{side}/layer_{i}", f"{side}.layers.{i}"
            parts = [("self_attention", "self_attn", rows)]
            parts += [("attention", "encoder_attn", "")] if side == "decoder" else []
            for part, name, fused in parts:
                put(f"{layer}/{part}/layer_norm", f"{own}.{name}_layer_norm")
                groups = [*([fused] if fused else ["q", "kv"]), "out"]
                for number, group in enumerate(groups):
                    letters = [group] if group == "out" else list(group)
                    put(f"{layer}/{part}/linear_{number}", *(f"{own}.{name}.{x}_proj" for x in letters))
            put(f"{layer}/ffn/layer_norm", f"{own}.final_layer_norm")
            put(f"{layer}/ffn/linear_0", f"{own}.fc1")
            put(f"{layer}/ffn/linear_1", f"{own}.fc2")
    for name in ("conv1", "conv2"):
        put(f"encoder/{name}", f"encoder.{name}")
    arrays["decoder/embeddings/weight"] = tensors["model.decoder.embed_tokens.weight"]
    write_model(target, arrays)
    (target / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    generation = json.loads((folder / "generation_config.json").read_text())
    names = {"suppress_ids": "suppress_tokens", "suppress_ids_begin": "begin_suppress_tokens"}
    names["alignment_heads"] = "alignment_heads"
    (target / "config.json").write_text(json.dumps({ours: generation[own] for ours, own in names.items()}))


def write_model(target: Path, arrays: dict[str, np.ndarray], version: int = 6) -> None:
    """Writes model.bin."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    dtypes = ["float32", "int8", "int16", "int32", "float16"]
    parts = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(arrays))]
    for name, x in arrays.items():
        parts += [text(name), struct.pack(f"<B{x.ndim}I", x.ndim, *x.shape)]
        parts += [struct.pack("<BI", dtypes.index(x.dtype.name), x.nbytes), x.tobytes()]
    target.mkdir(exist_ok=True)
    (target / "model.bin").write_bytes(b"".join(parts))


def test_a_model_of_ctranslate2_becomes_the_folder_that_it_was(folder: Path, tmp_path: Path) -> None:
    as_ctranslate2(folder, tmp_path / "binary")
    convert_whisper(tmp_path / "binary", tmp_path / "converted")
    assert contents(tmp_path / "converted") == contents(folder)
    ours, first = speech_model(tmp_path / "converted"), speech_model(folder)
    assert ours.model.config == first.model.config
    assert ours.heads == first.heads == ((0, 1), (1, 0))
    assert (ours.never, ours.not_first) == (first.never, first.not_first)
    # Rows in another order are another model.
    as_ctranslate2(folder, tmp_path / "other", rows="vkq")
    convert_whisper(tmp_path / "other", tmp_path / "wrong")
    assert contents(tmp_path / "wrong").keys() == contents(folder).keys()
    assert contents(tmp_path / "wrong") != contents(folder)


def test_a_converted_model_computes_what_transformers_computes(folder: Path, tmp_path: Path) -> None:
    as_ctranslate2(folder, tmp_path / "binary")
    convert_whisper(tmp_path / "binary", tmp_path / "converted")
    torch, peer = theirs(tmp_path / "converted")
    ours = speech_model(tmp_path / "converted").model
    frames = np.stack([log_mel(sound, 80, 100) for sound in SOUNDS])
    tokens = np.random.default_rng(0).integers(0, 200, (len(SOUNDS), 7))
    found = ours(frames, np.full(len(SOUNDS), 50), tokens).logits
    with torch.no_grad():
        given = torch.tensor(frames.swapaxes(1, 2)), torch.tensor(tokens)
        expected = peer(input_features=given[0], decoder_input_ids=given[1]).logits.numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_conversion_that_is_cut_short_leaves_no_folder_and_can_be_made_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ctranslate2(folder, tmp_path / "binary")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(ctranslate2, "write_safetensors", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert_whisper(tmp_path / "binary", tmp_path / "converted")
    assert not (tmp_path / "converted").exists()
    convert_whisper(tmp_path / "binary", tmp_path / "converted")
    assert {file.name for file in tmp_path.iterdir()} == {"binary", "converted"}


def test_other_files_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "binary"
    as_ctranslate2(folder, source)
    whole = (source / "model.bin").read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            convert_whisper(source, tmp_path / "new")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "new").exists()

    (source / "model.bin").write_bytes(whole[:-100])
    refused("model.bin is no file of CTranslate2, or cut off at byte")
    (source / "model.bin").write_bytes(b"{}")
    refused("model.bin is no file of CTranslate2, or cut off at byte 0 of 2")
    write_model(source, {}, version=5)
    refused("model.bin is version 5, WhisperSpec: expected 6, WhisperSpec")
    write_model(source, {"decoder/embeddings/weight_scale": np.ones(3, np.float32)})
    refused(r"whole numbers \(decoder/embeddings/weight_scale\): expected float16 or float32")
    write_model(source, {})
    refused("model.bin has no encoder/position_encodings/encodings: expected all of Whisper")
    (source / "model.bin").unlink()
    refused("has no model.bin: expected a Whisper of CTranslate2")
    as_ctranslate2(folder, source)
    with pytest.raises(InputError, match="exists: expected the name of a new folder"):
        convert_whisper(source, folder)
