"""Projection and resampling against the exact law of their chains, derived anew in numpy, and their documented bias."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY
from gaussian_law import conditional, correlated, exact, law, matrix
from oracles import PROCESSES, gaussian_denoiser, nightly

from experiments.kit.call_counting import network_calls
from jaxgen.core import noise
from jaxgen.diffusion import inverse, subset_grid, uniform_grid, vp
from jaxgen.samplers import Sampler, ddim, ddpm, langevin_corrector, predictor_corrector, repaint, replacement, sample

STAY = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
PAIR, SEEN = np.array([[1.0, 0.8], [0.8, 1.0]]), inverse.mask(jnp.array([1, 0]))


def grid(process, n):
    return uniform_grid(n) if process.steps is None else subset_grid(process.steps, n)


def chain(process, times, mean, covariance, a, y, repeats=1, variance="fixed_small"):
    """Mean and covariance of the ancestral chain with replacement on data N(mean, covariance), in numpy float64.

    A step is x -> M x + b + noise with the coefficients of Ho et al. 2020, eq. 7; then A x becomes alpha_s y + sigma_s
    A z; to repeat it, x -> ratio x + noise of the forward chain.
    """
    d, c = len(mean), np.trace(a @ a.T) / len(a)
    eye, inside = np.eye(d), a.T @ a / c
    m, v = np.zeros(d), float(process.prior_std) ** 2 * np.eye(d)
    for t, s in pairwise(times):
        alpha_t, alpha_s = float(process.alpha(t)), float(process.alpha(s))
        var_t, var_s = float(process.variance(t)), float(process.variance(s))
        ratio = alpha_t / alpha_s
        beta = var_t - ratio**2 * var_s
        gain = alpha_t * covariance @ np.linalg.inv(alpha_t**2 * covariance + var_t * eye)
        coef_x0 = alpha_s * beta / var_t
        step, shift = ratio * var_s / var_t * eye + coef_x0 * gain, coef_x0 * (mean - alpha_t * gain @ mean)
        added = beta if variance == "fixed_large" and s > 0 else beta * var_s / var_t
        for again in range(repeats if s > 0 else 1):
            if again:
                m, v = ratio * m, ratio**2 * v + beta * eye
            m, v = step @ m + shift, step @ v @ step.T + added * eye
            last = var_s if s > 0 else 0.0
            m = (eye - inside) @ m + alpha_s * a.T @ y / c
            v = (eye - inside) @ v @ (eye - inside) + last * inside
    return m, v


MASK, GREY = (inverse.mask(jnp.array([1, 0, 1])), (3,)), (inverse.grayscale(), (2, 3))


@nightly(
    ("name", "operator", "shape"), [("vp", *GREY), ("ve", *MASK), ("zero_snr", *MASK)], ids=["grey", "mask", "table"]
)
def test_the_chain_has_the_law_of_its_formulas(name, operator, shape):
    with jax.enable_x64(True):
        process, d = PROCESSES[name], int(np.prod(shape))
        mean, covariance = correlated(d)
        y = operator(jnp.asarray(np.random.default_rng(1).normal(size=(1, *shape))))
        times = grid(process, 12)
        denoise = exact(process, mean, covariance)
        prior = float(process.prior_std) ** 2 * np.eye(d)
        a, wanted = matrix(operator, shape), np.asarray(y).reshape(-1)
        a, wanted = a[np.any(a != 0, 1)], wanted[np.any(a != 0, 1)]

        def events(x):
            return x.reshape(-1, *shape)

        class Flat:
            """The sampler on vectors, as the law wants them; its draws keep the event's order."""

            init = staticmethod(lambda x: None)

            def __init__(self, sampler):
                self.sampler = sampler

            def step(self, key, process, denoise, t, s, x, carry):
                x, carry = self.sampler.step(key, process, denoise, t, s, events(x), carry)
                return x.reshape(1, -1), carry

        for repeats, variance in ((1, "fixed_small"), (3, "fixed_large")):
            sampler = Flat(repaint(replacement(ddpm(variance), operator, y), repeats))
            found = law(sampler, process, denoise, times, np.zeros(d), prior, draws=3 * repeats)
            for ours, theirs in zip(
                found, chain(process, times, mean, covariance, a, wanted, repeats, variance), strict=True
            ):
                np.testing.assert_allclose(ours, theirs, atol=2e-6, rtol=1e-5)


def errors(n, repeats, variance):
    """Mean and variance of the second number of the documented setting, of which the first is seen to be 1."""
    with jax.enable_x64(True):
        found = chain(vp(), uniform_grid(n), np.zeros(2), PAIR, np.eye(2)[:1], np.ones(1), repeats, variance)
    return found[0][1], found[1][1, 1]


@pytest.mark.slow
def test_the_bias_is_what_the_notes_say():
    exact_mean, exact_covariance = conditional(np.zeros(2), PAIR, np.eye(2)[:1], np.ones(1))
    np.testing.assert_allclose([exact_mean[1], exact_covariance[1, 1]], [0.8, 0.36])
    documented = {
        (100, 1, "fixed_large"): (0.49, 0.51), (1000, 1, "fixed_large"): (0.50, 0.50),
        (100, 5, "fixed_large"): (0.73, 0.39), (100, 20, "fixed_large"): (0.78, 0.37),
        (100, 5, "fixed_small"): (0.73, 0.32), (100, 20, "fixed_small"): (0.78, 0.27),
    }  # fmt: skip
    for setting, stated in documented.items():
        np.testing.assert_allclose(errors(*setting), stated, atol=0.0051, err_msg=str(setting))


@pytest.mark.slow
def test_the_bias_of_pigdm_is_what_its_docstring_says():
    """The isotropic one's: the chain's law exactly, against numpy's (the Jacobian's is exact, in test_inverse)."""
    process, n = vp(), 1000
    with jax.enable_x64(True):
        data, y = exact(process, np.zeros(2), PAIR), jnp.array([1.0, 0.0])
        found = law(
            ddpm("fixed_large"), process, inverse.pigdm(process, data, SEEN, y), uniform_grid(n), np.zeros(2), np.eye(2)
        )
        alpha, var = (np.asarray(f(uniform_grid(n)), np.float64) for f in (process.alpha, process.variance))
    m, v, seen = np.zeros(2), np.eye(2), np.diag([1.0, 0])
    for i in range(n):
        gain = alpha[i] * PAIR @ np.linalg.inv(alpha[i] ** 2 * PAIR + var[i] * np.eye(2))
        pull = (alpha[i] ** 2 + var[i]) / alpha[i] * gain @ seen  # gain sigma²/(alpha r²), of y − x̂0
        beta = var[i] - (alpha[i] / alpha[i + 1]) ** 2 * var[i + 1]
        coef_x0 = alpha[i + 1] * beta / var[i]
        step = alpha[i] / alpha[i + 1] * var[i + 1] / var[i] * np.eye(2) + coef_x0 * (gain - pull @ gain)
        m = step @ m + coef_x0 * pull @ [1, 0]
        v = step @ v @ step.T + (beta if i < n - 1 else 0) * np.eye(2)
    for ours, theirs in zip(found, (m, v), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose([*m, v[1, 1], v[0, 0]], [1, 0.76, 0.38, 0], atol=0.0051)
    exactly = conditional(np.zeros(2), PAIR, np.eye(2)[:1], np.ones(1))
    assert abs(m[1] - exactly[0][1]) > 0.03


@pytest.mark.slow
def test_samples_have_the_law_of_the_chain_and_the_bias_falls_with_repeats():
    """By Monte Carlo, so that it is the driver's keys that draw: noises of a step that were one would show."""
    process, n, keys = vp(), 50, jax.random.split(jax.random.key(0), 20_000)
    denoise, times = exact(process, np.zeros(2), PAIR), uniform_grid(n)
    mean_errors = []
    for repeats in (1, 4):
        sampler = repaint(replacement(ddpm("fixed_large"), SEEN, jnp.array([1.0, 0.0])), repeats)
        x = np.asarray(jax.jit(lambda keys, s=sampler: sample(keys, process, denoise, s, times, (2,)))(keys))
        mean, variance = errors(n, repeats, "fixed_large")
        np.testing.assert_array_equal(x[:, 0], 1)
        assert abs(x[:, 1].mean() - mean) < 4 * np.sqrt(variance / len(x))
        assert abs(x[:, 1].var() / variance - 1) < 4 * np.sqrt(2 / len(x))
        mean_errors.append(abs(x[:, 1].mean() - 0.8))
    assert mean_errors[1] < 0.4 * mean_errors[0]


@nightly("name", ["ve", "vp", "cosine", "edm", "zero_snr"])
def test_every_sampler_returns_the_observation(name):
    """A mask of ones returns y to the last digit, grayscale its grey; the sampler's own draws stay what they were."""
    process = PROCESSES[name]
    samplers = ANY | CONTINUOUS_ONLY if process.steps is None else ANY
    keys, times = jax.random.split(jax.random.key(0), 3), grid(process, 4)
    y = jax.random.normal(jax.random.key(1), (3, 2, 3))
    denoise = gaussian_denoiser(process, 0.1, 0.5)

    named = samplers if name == "vp" else {k: samplers[k] for k in ("ddpm_large", "dpmpp_2m")}
    few = ("ddpm_large", "heun_churn", "dpmpp_2m", "predictor_corrector")

    @jax.jit
    def run(keys, y):
        draw = lambda sampler: sample(keys, process, denoise, sampler, times, (2, 3))
        whole = {k: draw(replacement(sampler, inverse.mask(True), y)) for k, sampler in named.items()}
        greyed = {
            k: draw(replacement(named[k], inverse.grayscale(), inverse.grayscale()(y))) for k in few if k in named
        }
        unchanged = {
            k: (draw(replacement(named[k], inverse.mask(False), y)), draw(named[k])) for k in few if k in named
        }
        return whole, greyed, unchanged

    whole, greyed, unchanged = run(keys, y)
    for sampler in whole:
        np.testing.assert_array_equal(whole[sampler], y, err_msg=sampler)
    for sampler in greyed:
        np.testing.assert_allclose(
            inverse.grayscale()(greyed[sampler]), inverse.grayscale()(y), atol=1e-5, err_msg=sampler
        )
        np.testing.assert_allclose(*unchanged[sampler], atol=1e-4, err_msg=sampler)


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    "operator", [inverse.mask(jnp.arange(48).reshape(4, 4, 3) % 3 > 0), inverse.grayscale(), inverse.average_pool(2)]
)
def test_only_the_observed_part_moves_and_it_has_the_noise_of_s(operator):
    """The projector is orthogonal: x' − x lies in the range of Aᵀ, and A x' ~ N(alpha_s y, sigma_s² A Aᵀ)."""
    process, n, shape = vp(), 4000, (4, 4, 3)
    keys = jax.random.split(jax.random.key(0), n)
    x0 = jax.random.normal(jax.random.key(1), (1, *shape))
    y = operator(x0)[0]
    x = jax.random.normal(jax.random.key(2), (n, *shape))
    s = jnp.float32(0.4)
    after, _ = replacement(STAY, operator, y).step(keys, process, None, jnp.float32(0.5), s, x, None)
    a = matrix(operator, shape)
    move = np.asarray(after - x).reshape(n, -1)
    project = np.linalg.pinv(a) @ a
    np.testing.assert_allclose(move @ project, move, atol=1e-5)
    seen = np.asarray(after).reshape(n, -1) @ a.T
    alpha, sigma = float(process.alpha(s)), float(process.sigma(s))
    spread = sigma * np.sqrt(np.diag(a @ a.T))
    assert np.all(np.abs(seen.mean(0) - alpha * np.asarray(y).reshape(-1)) <= 5 * spread / np.sqrt(n) + 1e-6)
    np.testing.assert_allclose(seen.std(0), spread, rtol=5 / np.sqrt(2 * n), atol=1e-6)


@pytest.mark.slow
def test_the_noise_of_the_projection_is_no_other():
    """Not the sampler's own of that step, not another step's, not the noise that resampling adds, not a neighbour's."""
    keys, drawn, entered = jax.random.split(jax.random.key(0), 2), [], []

    def spy(key, process, denoise, t, s, x, carry):
        drawn.append(noise(key, x.shape[1:]))
        entered.append(x)
        return x, carry

    process, times = vp(), np.array([0.9, 0.6, 0.3])
    inner = Sampler(spy)
    with jax.disable_jit():
        sampler = repaint(replacement(inner, inverse.mask(True), jnp.zeros(200)), 3)
        path = sample(keys, process, lambda x, t: None, sampler, times, (200,), trajectory=True)
    assert len(drawn) == 6
    # what a repeat begins with is noise of its own, nearly; what a step ends with is the projection's
    again = [entered[i] for i in (1, 2, 4, 5)]
    every = np.concatenate([np.reshape(part, (-1, 200)) for part in (drawn, again, path)])
    assert len(every) == 12 + 8 + 6
    assert np.abs(np.corrcoef(every) - np.eye(26)).max() < 0.5


def test_a_repeat_begins_at_the_noise_of_t_again():
    """With a sampler that stays where it is, two passes are x + the forward noise of s -> t."""
    process, n = vp(), 20_000
    keys, x = jax.random.split(jax.random.key(0), n), jnp.ones((n, 1))
    t, s = jnp.float32(0.6), jnp.float32(0.5)
    after, _ = repaint(STAY, 2).step(keys, process, None, t, s, x, None)
    ratio = float(process.alpha(t) / process.alpha(s))
    variance = float(process.variance(t)) - ratio**2 * float(process.variance(s))
    assert abs(after.mean() - ratio) < 5 * np.sqrt(variance / n)
    np.testing.assert_allclose(after.var(), variance, rtol=5 * np.sqrt(2 / n))
    last, _ = repaint(STAY, 5).step(keys, process, None, t, jnp.float32(0.0), x, None)
    np.testing.assert_array_equal(last, x)  # the step to clean data is taken once
    assert repaint(STAY, 1) is STAY


def test_repeats_keep_the_history_of_t():
    """The carry counts the steps of the grid, not the repeats."""
    count = Sampler(
        lambda key, process, denoise, t, s, x, carry: (jnp.full_like(x, carry), carry + 1),
        lambda x: jnp.zeros((), jnp.int32),
    )
    keys = jax.random.split(jax.random.key(0), 2)
    path = sample(keys, vp(), lambda x, t: None, repaint(count, 4), uniform_grid(4), (1,), trajectory=True)
    assert path[1:, 0, 0].tolist() == [0, 1, 2, 3]


def test_calls_of_the_network():
    assert network_calls(repaint(ddpm(), 3), vp(), uniform_grid(5)) == 4 * 3 + 1


@pytest.mark.slow
def test_a_sample_depends_on_its_own_key_and_observation_alone():
    process = vp()
    mean, covariance = correlated(3)
    keys, y = jax.random.split(jax.random.key(0), 6), jax.random.normal(jax.random.key(1), (6, 3))
    seen = jax.random.bernoulli(jax.random.key(2), 0.5, (6, 3))  # a mask of one's own, traced below

    @jax.jit
    def run(keys, y, seen):
        pair = predictor_corrector(ddpm(), langevin_corrector())
        sampler = repaint(replacement(pair, inverse.mask(seen), y), 2)
        return sample(keys, process, exact(process, mean, covariance), sampler, uniform_grid(6), (3,))

    whole = run(keys, y, seen)
    np.testing.assert_allclose(whole[2:4], run(keys[2:4], y[2:4], seen[2:4]), atol=1e-5)
    np.testing.assert_array_equal(np.where(seen, whole, 0), np.where(seen, y, 0))
    assert np.abs(whole - run(jax.random.split(jax.random.key(5), 6), y, seen)).max() > 0.1
    assert whole.dtype == jnp.float32
    jax.clear_caches()  # JAX may take a program of float32 for one of float64
    with jax.enable_x64(True):
        y = jnp.ones((6, 3), jnp.float64)
        sampler = repaint(replacement(ddpm(), inverse.mask(seen), y), 2)
        denoise = exact(process, mean, covariance)
        x = sample(keys, process, denoise, sampler, uniform_grid(2), (3,), start=jnp.zeros((6, 3), jnp.float64))
        assert x.dtype == jnp.float64


@nightly("name", ["zero_snr", "cosine", "edm"])
def test_finite_from_end_to_end(name):
    process = PROCESSES[name]
    keys = jax.random.split(jax.random.key(0), 3)
    sampler = repaint(replacement(ddim(), inverse.average_pool(2), jnp.ones((2, 2, 1))), 2)
    denoise = gaussian_denoiser(process, 0.0, 0.5)
    path = sample(keys, process, denoise, sampler, grid(process, 4), (4, 4, 1), trajectory=True)
    assert np.all(np.isfinite(path))
    np.testing.assert_allclose(inverse.average_pool(2)(path[-1]), 1, atol=1e-5)


def test_refusals(unchecked):
    keys, process, y = jax.random.split(jax.random.key(0), 3), vp(), jnp.zeros((4, 4, 1))
    for message, operator in [
        (r"no multiple of the identity.*use diffusion.inverse.pigdm", inverse.blur(1.0)),
        ("must be linear", jnp.tanh),
        ("no multiple of the identity", lambda x: x + 1.0),  # affine
        (r"operator's shape \(3, 2, 2, 1\).*got \(4, 4, 1\)", inverse.average_pool(2)),
    ]:
        denoise, sampler = gaussian_denoiser(process, 0.0, 1.0), replacement(ddim(), operator, y)
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda: sample(keys, process, denoise, sampler, uniform_grid(3), (4, 4, 1)))  # noqa: B023
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        repaint(ddim(), 0)
