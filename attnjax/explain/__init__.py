"""Looking inside: what a model attends to, and which tokens a number of its output comes from.

A **question** is a model, a batch of inputs, and one number of its output for each; every method takes one:

    question = ask(model, tokens, lengths=lengths, target=Target(1, "log_probability"))
    found = attribute("integrated_gradients", question, baseline=mask_id, steps=32)
    found.scores                        # [B, T]; padding has 0
    found.value, found.error            # the number, and the completeness error
    METHODS["chefer"].needs             # frozenset({"weights", "gradients"})

`attribute` compiles a method once for each shape, and refuses in one line what does not fit. **Taps** are
below it: `question.sites()` has the shape of every site by its path, `question.read("*.weights")` the arrays,
`question.value({"blocks.0.attention.heads": ablate()})` the number with edits. On a model itself that is
`model(tokens, capture=Taps(read=…, write=…)).taps`.

Beside attributions: `ablate_heads` and `patch_paths` [L, N, B], `previous_token_scores` and
`induction_scores`, `logit_lens`, the attacks `hot_flip` and `reduce_input`, and `of_masks`, a function of
masks of tokens as packages such as shap and lime call it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnjax.explain.adapters import CaptumStyle as CaptumStyle
    from attnjax.explain.adapters import of_masks as of_masks
    from attnjax.explain.attacks import Attack as Attack
    from attnjax.explain.attacks import hot_flip as hot_flip
    from attnjax.explain.attacks import reduce_input as reduce_input
    from attnjax.explain.attributions import METHODS as METHODS
    from attnjax.explain.attributions import Attribution as Attribution
    from attnjax.explain.attributions import Method as Method
    from attnjax.explain.attributions import attribute as attribute
    from attnjax.explain.heads import ablate_heads as ablate_heads
    from attnjax.explain.heads import induction_scores as induction_scores
    from attnjax.explain.heads import patch_paths as patch_paths
    from attnjax.explain.heads import previous_token_scores as previous_token_scores
    from attnjax.explain.lens import logit_lens as logit_lens
    from attnjax.explain.question import Question as Question
    from attnjax.explain.question import ask as ask
    from attnjax.explain.target import Target as Target
    from attnjax.nn.taps import Taps as Taps
    from attnjax.nn.taps import ablate as ablate
    from attnjax.nn.taps import add as add
    from attnjax.nn.taps import patch as patch
    from attnjax.nn.taps import scale as scale
    from attnjax.nn.taps import uniform as uniform
else:
    from attnjax.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
