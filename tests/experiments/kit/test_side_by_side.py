"""Networks and games side by side: each is as it would be alone."""

import jax
import jax.numpy as jnp
import numpy as np
from oracles import nightly

from experiments.kit.side_by_side import copy_of, initial, objectives_of
from jaxgen.gan import adaptive_diffusion, adversarial_objectives, non_saturating, scheduled
from jaxgen.gan import r1 as r1_penalty

COPIES, BATCH = 4, 6
DATA = np.random.default_rng(0).normal(size=(40, COPIES, 2)).astype(np.float32)


def fakes(key, params, x):
    return params + jax.random.normal(key, x.shape)


def critic(params, x, t):
    return jnp.tanh(x @ params) + t


OBJECTIVES = adversarial_objectives(
    fakes,
    critic,
    non_saturating(),
    noise=adaptive_diffusion(draws=4, max_steps=20, interval=1, kimg=0.01),
    penalties={"r1": scheduled(lambda update: r1_penalty(0.1 / (1 + update)))},
)


def players():
    keys = jax.random.split(jax.random.key(0), COPIES)
    return initial(lambda key: tuple(jax.random.normal(key, (2, 2))), keys)


@nightly("role", ["generator", "critic"])
def test_a_copy_has_the_losses_the_gradient_and_the_carry_that_it_has_alone(role):
    """The mean over copies divides the gradient of each by their number."""
    both, key, batch = players(), jax.random.key(1), jnp.asarray(DATA[:BATCH])
    own, other = both if role == "generator" else both[::-1]
    together, alone = (getattr(of, role) for of in (objectives_of(OBJECTIVES, COPIES), OBJECTIVES))
    carry = objectives_of(OBJECTIVES, COPIES).carry

    def mean(loss, key, own, other, batch, carry):
        losses, _, carry = loss(key, own, other, batch, **carry)
        return losses.mean(), (losses, carry)

    slope = jax.grad(mean, 2, has_aux=True)
    gradient, (losses, carried) = slope(together, key, own, other, batch, carry)
    for i, own_key in enumerate(jax.random.split(key, COPIES)):
        one = slope(alone, own_key, own[i], other[i], batch[:, i], OBJECTIVES.carry)
        expected, (losses_alone, carried_alone) = one
        np.testing.assert_allclose(COPIES * gradient[i], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(losses.reshape(COPIES, BATCH)[i], losses_alone, rtol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, copy_of(carried, i), carried_alone)
