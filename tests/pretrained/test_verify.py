"""`attnjax pretrained`: what it shows, and the layer that it blames."""

import pytest

from attnjax.pretrained import verify
from attnjax.pretrained.folder import from_pretrained
from tests.pretrained.test_folder import configure, folder  # noqa: F401


def test_show_has_every_tensor(folder, attnjax) -> None:  # noqa: F811
    code, out, err = attnjax("pretrained", "show", str(folder))
    assert (code, err) == (0, "")
    assert "llama: LanguageModel" in out
    assert "blocks.{i}.attention.query.kernel            model.layers.{i}.self_attn.q_proj.weight" in out
    configure(folder, magic=1)
    code, out, err = attnjax("pretrained", "show", str(folder))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "magic = 1" in err


def test_verify_names_the_first_layer_that_differs(folder, attnjax, monkeypatch) -> None:  # noqa: F811
    pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")
    code, out, _ = attnjax("pretrained", "verify", str(folder))
    assert code == 0, out
    assert "equal to transformers" in out

    def spoiled(*arguments, **options):
        model = from_pretrained(*arguments, **options)
        kernel = model.blocks[0].feed_forward.up.kernel
        kernel[...] = kernel[...] * 1.01
        return model

    monkeypatch.setattr(verify, "from_pretrained", spoiled)
    code, out, _ = attnjax("pretrained", "verify", str(folder), "--boosted")
    assert code == 1
    assert (
        "norm is the first that differs" in out
    )  # Of the last layer transformers has the normed vectors only.
    assert "blocks.0.attention" in out.partition("differs first")[0]
    configure(folder, architectures=["NoSuchModel"])
    code, _, err = attnjax("pretrained", "verify", str(folder))
    assert code == 2
    assert "which transformers lacks" in err
