"""Optimisers by name, built of optax inside the step from traced hyperparameters.

A learning rate in a closure would be a constant of the program: every trial of a sweep would compile anew.

    adamw      Adam with decoupled weight decay (arXiv:1711.05101)
    lion       the sign of a mean of gradients (arXiv:2302.06675); its rates are about a tenth of Adam's
    muon       orthogonalised momentum for matrices, Adam for the rest (arXiv:2502.16982)
    adafactor  second moments kept by rows and columns (arXiv:1804.04235)
    sgd        gradients with momentum
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float

from attnjax.config import traced_fields
from attnjax.nn.layer_names import axes_in_layer, layers_in, names_of_layers
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.train.config import TrainConfig
from attnjax.train.frozen import frozen
from attnjax.train.patterns import (
    depth_of,
    first_match,
    input_axes,
    layers_of,
    matches_of_layers,
    name_of,
)

Hyperparameters = Mapping[str, Float[Array, "..."]]

ADAMS_RMS = 0.2
"""Root mean square of Muon's updates: that of Adam's, so that learning rates of Adam fit (Moonlight)."""


def hyperparameters(config: TrainConfig) -> dict[str, Float[Array, "..."]]:
    """Returns the traced fields of a training configuration as arrays."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in traced_fields(config).items()}


def init_optimizer(params: Any, config: TrainConfig) -> optax.OptState:
    """Returns the optimiser's state: moments of at least float32, none for frozen parameters."""
    zero = {name: jnp.zeros_like(value) for name, value in hyperparameters(config).items()}
    return _transformation(zero, config).init(widened(params))


def update_params(
    params: Any,
    grads: Any,
    opt_state: optax.OptState,
    hyper: Hyperparameters,
    learning_rate: Float[Array, ""],
    config: TrainConfig,
) -> tuple[Any, optax.OptState]:
    """Returns the parameters and the optimiser's state after one update.

    params ← params − learning_rate · factor · (direction + weight_decay · params), where the optimiser makes
    the direction of gradients clipped by their global norm. Of `config` only static fields are read.
    """
    with jax.numpy_dtype_promotion("standard"):  # optax's optimisers join floats with counts of steps.
        updates, opt_state = _transformation(hyper, config).update(widened(grads), opt_state, widened(params))
    if config.rate_patterns or config.layer_decay != 1:
        layers = layers_of(params)
        updates = jax.tree_util.tree_map_with_path(
            lambda path, update: update * _rate_factor(name_of(path), update.ndim, layers, hyper, config),
            updates,
        )
    updates = jax.tree.map(lambda update: -learning_rate * update, trained_only(updates, config))
    return optax.apply_updates(params, updates), opt_state


def trained_only(grads: Any, config: TrainConfig) -> Any:
    """Returns gradients, or updates, in which those of frozen parameters are 0."""
    if not _freezes(config):
        return grads
    return jax.tree.map(lambda x, stays: jnp.zeros_like(x) if stays else x, grads, frozen(grads, config))


def widened(tree: Any) -> Any:
    """Returns copies of the arrays in at least float32, for sums that small terms are added to.

    In bfloat16 256 + 1 is 256, and what moves by less than 1/256 of itself stands still.
    """
    return jax.tree.map(lambda x: jnp.array(x, accumulation_dtype(x)), tree)


def decays(params: Any, undecayed: Sequence[str] = ()) -> Any:
    """Returns True for each parameter that weight decay applies to.

    Those are matrices, but neither biases nor a norm's scales, nor what the patterns `undecayed` choose.
    """

    def decay(path: tuple[Any, ...], leaf: Array) -> bool:
        name = name_of(path)
        is_vector = any(part.endswith(("bias", "scale")) for part in name.split("."))
        is_matrix = axes_in_layer(name, leaf.ndim) >= 2 and not is_vector
        return is_matrix and first_match(name, undecayed) is None

    return jax.tree_util.tree_map_with_path(decay, params)


def _transformation(hyper: Hyperparameters, config: TrainConfig) -> optax.GradientTransformation:
    whole = optax.chain(
        optax.clip_by_global_norm(hyper["clip_norm"]),
        _DIRECTIONS[config.optimizer](hyper),
        optax.add_decayed_weights(
            hyper["weight_decay"], mask=lambda params: decays(params, config.undecayed)
        ),
    )
    if not _freezes(config):
        return whole
    return optax.masked(whole, lambda params: jax.tree.map(lambda stays: not stays, frozen(params, config)))


def _freezes(config: TrainConfig) -> bool:
    return bool(config.frozen) or config.adapter.kind != "none"


def _rate_factor(
    name: str, axes: int, layers: int, hyper: Hyperparameters, config: TrainConfig
) -> Array | float:
    """Returns the factor of a parameter with so many axes: one, or one for each layer that it holds."""

    def common(found: list[Any]) -> Any:
        return found[0] if len(set(found)) == 1 else np.reshape(found, (-1, *[1] * (axes - 1)))

    own: Array | float = 1.0
    places = matches_of_layers(name, config.rate_patterns)
    if any(place is not None for place in places):
        factors = jnp.append(hyper["rate_factors"], 1.0)  # The last is that of layers without a pattern.
        own = factors[common([-1 if place is None else place for place in places])]
    if config.layer_decay == 1:
        return own
    above = common([layers + 1 - depth_of(one, layers) for one in names_of_layers(name)])
    return own * hyper["layer_decay"] ** above


def _adafactor(hyper: Hyperparameters) -> optax.GradientTransformation:
    return _each_layer(
        optax.chain(
            optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms()
        )
    )


def _each_layer(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the transformation that treats each layer of a stacked array as an array by itself."""
    mapped = optax.GradientTransformation(jax.vmap(inner.init), jax.vmap(inner.update))

    def whole(params: Any) -> optax.GradientTransformation:
        counts = jax.tree_util.tree_map_with_path(lambda path, _: len(layers_in(name_of(path)) or ()), params)
        found = sorted(set(jax.tree.leaves(counts)) - {0})
        masks = [jax.tree.map(lambda count, n=n: count == n, counts) for n in (0, *found)]
        own = [inner, *[mapped] * len(found)]
        return optax.chain(*map(optax.masked, own, masks)) if found else inner

    return optax.GradientTransformation(
        lambda params: whole(params).init(params),
        lambda updates, state, params: whole(params).update(updates, state, params),
    )


def _muon(hyper: Hyperparameters) -> optax.GradientTransformation:
    both = optax.contrib.muon(
        1.0,
        beta=hyper["beta1"],
        adam_b1=hyper["beta1"],
        adam_b2=hyper["beta2"],
        muon_weight_dimension_numbers=_matrix_axes,
        consistent_rms=ADAMS_RMS,
    )
    return optax.chain(both, optax.scale(-1.0))  # optax's includes the sign of a descent.


def _matrix_axes(params: Any) -> Any:
    """Returns how Muon sees each parameter as a matrix; None for those that Adam updates."""

    def axes(path: tuple[Any, ...], leaf: Array) -> Any:
        parts = name_of(path).split(".")
        own = axes_in_layer(".".join(parts), leaf.ndim)
        if own < 2 or parts[-1] != "kernel" or parts[0] == "output":
            return None
        inputs = input_axes(".".join(parts), own)
        every = tuple(range(leaf.ndim))[leaf.ndim - own :]
        return optax.contrib.MuonDimensionNumbers(every[:inputs], every[inputs:])

    return jax.tree_util.tree_map_with_path(axes, params)


_DIRECTIONS: Mapping[str, Callable[[Hyperparameters], optax.GradientTransformation]] = {
    "adamw": lambda hyper: optax.scale_by_adam(hyper["beta1"], hyper["beta2"]),
    "lion": lambda hyper: optax.scale_by_lion(hyper["beta1"], hyper["beta2"]),
    "muon": _muon,
    "adafactor": _adafactor,
    "sgd": lambda hyper: optax.trace(hyper["beta1"]),
}
