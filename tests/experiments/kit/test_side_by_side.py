"""Networks and games side by side: each is as it would be alone, on one core and on several."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec
from some_exercise import SOME

from experiments.kit import adversarial, training
from experiments.kit.adversarial import train_game
from experiments.kit.config import TrainingConfig
from experiments.kit.run import begin
from experiments.kit.side_by_side import copy_of, initial, losses_of, objectives_of
from experiments.kit.training import train_network
from jaxgen.gan import adaptive_diffusion, adversarial_objectives, non_saturating, scheduled
from jaxgen.gan import r1 as r1_penalty

COPIES, BATCH = 4, 6
DATA = np.random.default_rng(0).normal(size=(40, COPIES, 2)).astype(np.float32)
CONFIG = TrainingConfig(preset="smoke", progress=False, ema=0.5, batch_size=BATCH)


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


@pytest.mark.parametrize("role", ["generator", "critic"])
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


def test_the_cores_share_the_copies_and_change_nothing(tmp_path, monkeypatch):
    """Of networks and of games; what each core holds is its own copies."""
    layouts, train_with_checkpoints = [], training.train_with_checkpoints

    def seen(run, name, step, state, batches, **how):
        layouts.append({getattr(leaf.sharding, "spec", None) for leaf in jax.tree.leaves(state) if leaf.ndim})
        return train_with_checkpoints(run, name, step, state, batches, **how)

    for module in (training, adversarial):
        monkeypatch.setattr(module, "train_with_checkpoints", seen)
    loss = losses_of(lambda key, params, batch: jnp.sum((batch[0] - params) ** 2, -1), COPIES)
    optimizers = optax.adam(0.05), optax.adam(0.05)
    objectives, how, found = objectives_of(OBJECTIVES, COPIES), {"seed": 0, "steps": 5, "copies": COPIES}, []
    for cores in (1, 4):
        run = begin(SOME, replace(CONFIG, runs=tmp_path / str(cores), cores=cores), [])
        game = train_game(run, "game", objectives, players(), (DATA,), optimizers=optimizers, **how)
        net = train_network(
            run, "net", jnp.zeros((COPIES, 2)), loss, (DATA,), held_out_loss=lambda p: jnp.sum(p**2), clip=0, **how
        )
        found.append((game.generator, game.critic, net.averaged))
    assert layouts == [{None}, {None}, {PartitionSpec("data")}, {PartitionSpec("data")}]
    assert not np.allclose(found[0][0], players()[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *found)
