"""Two players in an experiment: what they share between seeds, what is followed, and that a stop changes nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from some_exercise import SOME

from experiments.kit import adversarial, training
from experiments.kit.adversarial import Rates, game_optimizers, train_game
from experiments.kit.config import TrainingConfig
from experiments.kit.run import begin
from jaxgen.gan import adversarial_objectives, lazy, r1, wasserstein

CONFIG = TrainingConfig(preset="smoke", batch_size=8, ema=0.0, checkpoint_every=10, progress=False)
DATA = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
RATE = 0.1


def fake(key, params, x):
    return jnp.broadcast_to(params, x.shape)


def critic(params, x):
    return x @ params


OBJECTIVES = adversarial_objectives(fake, critic, wasserstein(), penalties={"r1": lazy(r1(0.5), 2)})
OPTIMIZERS = optax.sgd(RATE), optax.sgd(RATE)


def play(run, name="game", seed=0, steps=30):
    return train_game(
        run, name, OBJECTIVES, (jnp.array([2.0, 0.0]), jnp.zeros(2)), (DATA,), seed=seed, steps=steps,
        optimizers=OPTIMIZERS, evaluate=lambda state: {"norm": jnp.linalg.norm(state.critic.params)},
    )  # fmt: skip


def test_the_players_move_as_the_game_says(tmp_path):
    """ψ ← ψ + h (mean of x − θ) − h·2·γψ every second time, then θ ← θ + hψ: Wasserstein's loss and lazy R1."""
    steps = 6
    game = play(begin(SOME, replace(CONFIG, runs=tmp_path), []), steps=steps)
    batches = training.batches_of((DATA,), 8, 0, None)
    theta, psi = np.array([2.0, 0.0]), np.zeros(2)
    for i in range(steps):
        slope = np.asarray(batches(i)[0]).mean(0) - theta - (2 * 0.5 * psi if i % 2 == 0 else 0)
        psi = psi + RATE * slope
        theta = theta + RATE * psi
    np.testing.assert_allclose(game.critic, psi, atol=1e-5)
    np.testing.assert_allclose(game.generator, theta, atol=1e-5)
    np.testing.assert_allclose(game.history["eval/norm"][1][-1], np.linalg.norm(psi), atol=1e-5)


def test_games_of_several_seeds_compile_one_step(tmp_path, monkeypatch):
    made, make = [], adversarial.make_adversarial_step
    monkeypatch.setattr(adversarial, "make_adversarial_step", lambda *args, **how: made.append(1) or make(*args, **how))
    adversarial._game_step.cache_clear()
    run = begin(SOME, replace(CONFIG, runs=tmp_path), [])
    first, second = play(run, "a", seed=0, steps=4), play(run, "b", seed=1, steps=4)
    assert len(made) == 1
    assert (first.generator != second.generator).any()


def test_stopped_in_the_middle_it_ends_as_the_game_never_stopped(tmp_path, monkeypatch):
    runs = [begin(SOME, replace(CONFIG, runs=tmp_path / name), []) for name in "ab"]
    whole, fit = play(runs[0]), training.fit

    def stopped(step, state, batches, *, on_log, **how):
        def stop(at, row):
            if at == 15:
                raise OSError("the disk is gone")

        return fit(step, state, batches, on_log=stop, **how)

    monkeypatch.setattr(training, "fit", stopped)
    with pytest.raises(OSError, match="disk is gone"):
        play(runs[1])
    monkeypatch.setattr(training, "fit", fit)
    resumed = play(runs[1])
    np.testing.assert_array_equal(resumed.generator, whole.generator)
    np.testing.assert_array_equal(resumed.critic, whole.critic)
    np.testing.assert_array_equal(resumed.history["critic/loss"], whole.history["critic/loss"])


def test_rates_rise_and_fall():
    generator, critic = game_optimizers(Rates(1e-3, 2e-3), 1000)
    for optimizer, peak in ((generator, 1e-3), (critic, 2e-3)):
        step = lambda state, _, update=optimizer.update: update(jnp.ones(()), state)[::-1]
        _, updates = jax.lax.scan(step, optimizer.init(jnp.zeros(())), length=1000)
        sizes = -np.asarray(updates)
        assert max(sizes) == pytest.approx(peak, rel=0.01)
        assert np.argmax(sizes) == pytest.approx(100, abs=2)
        assert sizes[-1] < 0.01 * peak
