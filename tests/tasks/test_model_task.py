"""What tasks with a flax model have in common."""

from functools import partial
from types import MappingProxyType

import jax
import numpy as np
from flax import nnx

from attnjax.nn import make_attention
from attnjax.nn.axes import named
from attnjax.tasks.base import Evaluation
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.rehearsal import rehearse
from attnjax.train.config import TrainConfig
from attnjax.train.state import initial_state


class Doubling(ModelTask[nnx.Linear]):
    """y = 2 x; counts how often its model is made."""

    monitor = ("error", "min")
    validation = MappingProxyType({"x": np.ones((2, 1), np.float32)})
    built = 0

    def build(self, rngs):
        self.built += 1
        return nnx.Linear(1, 1, use_bias=False, kernel_metadata=named("embed", "mlp"), rngs=rngs)

    def batch(self, step):
        return {"x": np.ones((4, 1), np.float32)}

    def loss_of(self, model, batch, *, dropout, hyper):
        loss = jax.numpy.mean((model(batch["x"]) - 2 * batch["x"]) ** 2)
        return loss, {"loss": loss, "weight": jax.numpy.float32(len(batch["x"]))}

    def validate(self, params):
        return {"error": 0.0}

    def evaluate(self, params, folder):
        return Evaluation({})


def test_a_model_is_traced_once_for_its_shapes_and_in_every_program():
    task, key = Doubling(), jax.random.key(1)
    rehearse(task, {})
    make = jax.jit(partial(initial_state, task, TrainConfig()))
    jax.eval_shape(make, key)
    params = make(key).params
    assert task.model(params).kernel.shape == (1, 1)
    assert task.logical_axes()["kernel"] == ("embed", "mlp")
    assert task.built == 1


def test_initial_parameters_are_those_of_the_model_itself():
    key = jax.random.key(3)
    model = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(key))
    made = Doubling().init(key)
    np.testing.assert_allclose(made["kernel"], model.kernel[...], rtol=1e-6)


def test_what_parameters_cost_is_added_to_the_loss():
    class Spans(Doubling):
        def build(self, rngs):
            return make_attention("adaptive_span(longest=64, start=16.0, cost=0.5)", 4, 2, rngs=rngs)

        def loss_of(self, model, batch, *, dropout, hyper):
            return jax.numpy.float32(3), {"loss": jax.numpy.float32(3), "weight": jax.numpy.float32(1)}

    task = Spans()
    params = task.init(jax.random.key(0))
    gradient, metrics = jax.grad(lambda params: task.loss(params, {}, dropout=None), has_aux=True)(params)
    np.testing.assert_allclose(task.loss(params, {}, dropout=None)[0], 3 + 0.5 * 16, rtol=1e-6)
    # 0.5·64·σ'(p) for σ(p) = 1/4, over two heads.
    slope = gradient["made"]["adaptive_span"]["logits"]
    np.testing.assert_allclose(slope, 0.5 * 64 * 0.25 * 0.75 / 2, rtol=1e-5)
    assert metrics["loss"] == 3
