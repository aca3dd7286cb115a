"""Denoising diffusion GANs: the published chain, data ±1 whose posterior is known, and Gaussian data."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.kit.call_counting import network_calls
from jaxgen.core import per_example
from jaxgen.diffusion import Prediction, denoiser, posterior_coefficients, uniform_grid, vp
from jaxgen.gan import ddgan, ddgan_process, denoising_pairs
from jaxgen.generation import generate
from jaxgen.samplers import ddpm, sample

PROCESS, TIMES = ddgan_process(), uniform_grid(4)
N, SHARE = 20_000, 0.3  # the share of x0 = 1
KEYS = jax.random.split(jax.random.key(0), N)
ALPHA_BAR = np.array([1, 0.52174, 0.07868, 0.003429, 4.32e-5])
C1, C2, BETA_TILDE = [1, 0.6658, 0.2692, 0.0578], [0, 0.2016, 0.1930, 0.1119], [0, 0.4408, 0.8842, 0.9841]


def test_the_chain_is_that_of_the_paper():
    k = np.arange(5)
    tau = 1e-3 + (1 - 1e-3) * k / 4
    exact = np.exp(-0.1 * tau - (20 - 0.1) * tau**2 / 2)
    np.testing.assert_allclose(PROCESS.alpha(k / 4) ** 2, exact / exact[0], rtol=1e-5)
    np.testing.assert_allclose(exact / exact[0], ALPHA_BAR, rtol=2e-3)
    np.testing.assert_allclose(1 - exact[1:] / exact[:-1], [0.4783, 0.8492, 0.9564, 0.9874], atol=5e-5)
    found = posterior_coefficients(PROCESS, k[:-1] / 4, k[1:] / 4)
    np.testing.assert_allclose(found.coef_x0, C1, atol=6e-5)
    np.testing.assert_allclose(found.coef_xt, C2, atol=6e-5)
    np.testing.assert_allclose(found.variance, BETA_TILDE, atol=6e-5)
    assert ddgan_process(2, minimum=0.0).steps == 2


def posterior_of_one(x, t):
    """P(x0 = 1 | x_t) of data that are 1 in a given share and −1 otherwise."""
    alpha_bar = per_example(jnp.asarray(ALPHA_BAR)[jnp.round(4 * t).astype(int)], x)
    return jax.nn.sigmoid(2 * jnp.sqrt(alpha_bar) * x / (1 - alpha_bar) + np.log(SHARE / (1 - SHARE)))


def draw_sign(x, t, z):
    return jnp.where(jax.scipy.stats.norm.cdf(z) < posterior_of_one(x, t), 1.0, -1.0)


def posterior_mean(x, t, z):
    return 2 * posterior_of_one(x, t) - 1


def noised_signs():
    """Draws of q(x_1)."""
    sign, eps = jax.random.split(jax.random.key(1))
    x0 = jnp.where(jax.random.bernoulli(sign, SHARE, (N, 1)), 1.0, -1.0)
    return np.sqrt(ALPHA_BAR[4]) * x0 + np.sqrt(1 - ALPHA_BAR[4]) * jax.random.normal(eps, (N, 1))


def deviations(x, k):
    """By how many standard errors the first four moments of x miss those of q(x_{k/4}); no error if x is constant."""
    a, v = np.sqrt(ALPHA_BAR[k]), 1 - ALPHA_BAR[k]
    odd = 2 * SHARE - 1
    exact = [odd * a, a**2 + v, odd * (a**3 + 3 * a * v), a**4 + 6 * a**2 * v + 3 * v**2]
    powers = np.asarray(x, np.float64).ravel()[:, None] ** np.arange(1, 5)
    error = np.maximum(powers.std(0), 1e-3) / np.sqrt(len(powers))
    return np.abs(powers.mean(0) - exact) / error


def test_four_steps_of_the_exact_posterior_draw_the_data_and_steps_of_its_mean_do_not():
    def path(network):
        denoise = denoiser(PROCESS, network, predicts="x0")
        run = lambda keys, start: sample(keys, PROCESS, denoise, ddgan(1), TIMES, (1,), start=start, trajectory=True)
        return np.asarray(jax.jit(run)(KEYS, noised_signs()))

    exact, mean = path(draw_sign), path(posterior_mean)
    for i in range(5):
        # ᾱ in the references has four digits, which moves the moments by less than a standard error
        assert deviations(exact[i], 4 - i).max() < 5
    assert set(np.unique(exact[-1])) == {-1.0, 1.0}
    # the mean's variance is too small on the way, and its last samples are no data
    assert deviations(mean[3], 1).max() > 20
    assert deviations(mean[-1], 0).max() > 50
    assert np.mean(np.abs(mean[-1]) < 0.95) > 0.1


@pytest.mark.parametrize(("k", "x_t"), [(2, 0.3), pytest.param(3, -0.5, marks=pytest.mark.slow)])
def test_the_reverse_kernel_has_two_modes(k, x_t):
    """x_s | x_t is the mixture N(±c₁ + c₂ x_t, β̃).

    Kolmogorov's distance of N draws from their law exceeds 1.95/√N once in 1000 times.
    """
    denoise = denoiser(PROCESS, draw_sign, predicts="x0")
    x = sample(KEYS, PROCESS, denoise, ddgan(1), np.array([k, k - 1]) / 4, (1,), start=jnp.full((N, 1), x_t))
    x = np.sort(np.ravel(x))
    p = 1 / (1 + np.exp(-2 * np.sqrt(ALPHA_BAR[k]) * x_t / (1 - ALPHA_BAR[k])) * (1 - SHARE) / SHARE)
    c1, c2, std = C1[k - 1], C2[k - 1], np.sqrt(BETA_TILDE[k - 1])
    cdf = jax.scipy.stats.norm.cdf
    law = p * cdf((x - c2 * x_t - c1) / std) + (1 - p) * cdf((x - c2 * x_t + c1) / std)
    assert np.abs(np.arange(1, N + 1) / N - law).max() < 1.95 / np.sqrt(N)


WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=(9, 6)), jnp.float32)


def mixing(x, t, z):
    """A network that mixes all of an example's entries, its time and its latent."""
    return jnp.tanh(jnp.concatenate([x.reshape(-1, 6), z, t[:, None]], -1) @ WEIGHTS).reshape(x.shape)


def draw(params, keys, cond):
    return sample(keys, PROCESS, denoiser(PROCESS, mixing, predicts="x0"), ddgan(2), TIMES, (2, 3))


def test_a_sample_depends_on_its_own_key_alone(tmp_path):
    keys = KEYS[:12]
    run = jax.jit(lambda keys: draw(None, keys, None))
    whole = run(keys)
    np.testing.assert_allclose(np.concatenate([run(keys[:6]), run(keys[6:])]), whole, atol=1e-6)
    assert np.abs(whole[:6] - whole[6:]).max((1, 2)).min() > 1e-2
    drawn = generate(draw, {}, jax.random.key(3), 7, batch_size=3, directory=tmp_path, progress=False)
    own = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(3), i))(jnp.arange(7))
    np.testing.assert_allclose(drawn, run(own), atol=1e-6)


def test_every_step_draws_its_own_latent_and_none_is_the_noise():
    """The latents of 4 steps and 3 samples differ from each other and from the states, which are noise too."""
    seen = []

    def network(x, t, z):
        jax.debug.callback(lambda z: seen.append(np.asarray(z)), z)
        return z

    x = sample(KEYS[:3], PROCESS, denoiser(PROCESS, network, predicts="x0"), ddgan(5), TIMES, (5,), trajectory=True)
    jax.effects_barrier()
    latents = np.stack(seen)
    assert latents.shape == (4, 3, 5)
    np.testing.assert_array_equal(np.asarray(x[-1]), latents[-1])  # the last sample is what G returned
    draws = np.concatenate([latents.reshape(12, 5), np.asarray(x[:4]).reshape(12, 5)])
    assert np.abs(np.corrcoef(draws) - np.eye(24)).max() < 0.995
    assert len(np.unique(draws.round(5))) == draws.size


def test_the_latent_is_standard_normal():
    denoise = denoiser(PROCESS, lambda x, t, z: z, predicts="x0")
    z = np.asarray(sample(KEYS, PROCESS, denoise, ddgan(1), np.array([0.25, 0.0]), (1,)))
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (4, 3, 96)]:
        assert abs(np.mean(z**power) - moment) < 5 * np.sqrt(variance / N)


def test_it_makes_one_call_a_step_and_serves_any_denoiser_with_a_condition():
    assert network_calls(ddgan(3), PROCESS, TIMES) == 4
    # without use of its latent it is DDPM, up to the key of the noise: the same mean and spread
    denoise = denoiser(PROCESS, lambda x, t, z: 0.5 * x, predicts="x0")
    one, two = (np.asarray(sample(KEYS, PROCESS, denoise, sampler, TIMES[:3], (1,))) for sampler in (ddgan(1), ddpm()))
    np.testing.assert_allclose(one.std(), two.std(), rtol=5 / np.sqrt(N))


VARIANCE, MEAN = 0.4, 0.7  # of Gaussian data, whose x0 | x_t is Gaussian


def draw_gaussian(x, t, z):
    alpha, sigma2 = per_example(PROCESS.alpha(t), x), per_example(PROCESS.variance(t), x)
    gain = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma2)
    return MEAN + gain * (x - alpha * MEAN) + jnp.sqrt(VARIANCE * (1 - gain * alpha)) * z


def test_real_pairs_have_the_joint_law_of_the_chain_and_so_do_those_of_the_exact_generator():
    """The mean, the covariance and its determinant at each of the four times, and the times themselves."""
    denoise = denoiser(PROCESS, draw_gaussian, predicts="x0")
    x0 = MEAN + np.sqrt(VARIANCE) * jax.random.normal(jax.random.key(5), (N, 1))
    pairs = jax.jit(lambda key, x0: denoising_pairs(key, PROCESS, denoise, x0, 1))(jax.random.key(6), x0)
    index = np.asarray(4 * pairs.t).round().astype(int)
    assert np.all(np.abs(np.bincount(index, minlength=5) / N - [0, *[1 / 4] * 4]) < 5 * np.sqrt(3 / 16 / N))
    for k in range(1, 5):
        rows = index == k
        count = rows.sum()
        a_s, a_t = np.sqrt(ALPHA_BAR[k - 1]), np.sqrt(ALPHA_BAR[k])
        v_s, v_t = (a**2 * VARIANCE + 1 - a**2 for a in (a_s, a_t))
        across = a_t / a_s * v_s
        exact = np.array([[v_s, across], [across, v_t]])
        for x_s in (pairs.real, pairs.fake):
            both = np.stack([np.ravel(x_s)[rows], np.ravel(pairs.x_t)[rows]])
            assert np.all(np.abs(both.mean(1) - MEAN * np.array([a_s, a_t])) < 5 * np.sqrt(np.diag(exact) / count))
            # the variance of an entry of the sample covariance is (C_ii C_jj + C_ij²)/n
            error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / count)
            assert np.all(np.abs(np.cov(both) - exact) < 5 * error)


@jax.jit
def mixing_pairs(x0):
    """Pairs of the mixing network, and the x0 that it returned for them."""
    returned, denoise = [], denoiser(PROCESS, mixing, predicts="x0")

    def spied(x, t, cond):
        returned.append(denoise(x, t, cond))
        return returned[-1]

    return denoising_pairs(jax.random.key(1), PROCESS, spied, x0, 2), returned[0].x0


DATA = jnp.asarray(np.random.default_rng(1).normal(size=(40, 2, 3)), jnp.float32)


def test_the_last_fake_is_what_the_generator_returned_and_real_at_time_zero_are_the_data():
    pairs, generated = jax.tree.map(np.asarray, mixing_pairs(DATA))
    last = pairs.t == 0.25
    assert 0 < last.sum() < 40
    np.testing.assert_array_equal(pairs.fake[last], generated[last])
    np.testing.assert_array_equal(pairs.real[last], DATA[last])
    assert np.abs(pairs.fake - generated)[~last].min() > 0


def test_pairs_have_the_dtype_of_the_data():
    """Those of bfloat16 data, and what the generator is given; the last fake is still what it returned."""
    seen = []

    def network(x, t, z):
        seen.extend([x.dtype, z.dtype])
        return 0.5 * x

    denoise, x0 = denoiser(PROCESS, network, predicts="x0"), jnp.zeros((64, 1), jnp.bfloat16)
    pairs = denoising_pairs(jax.random.key(1), PROCESS, denoise, x0, 2)
    assert [x.dtype for x in (pairs.x_t, pairs.real, pairs.fake)] == [jnp.bfloat16] * 3
    assert pairs.t.dtype == jnp.float32
    assert seen == [jnp.bfloat16] * 2
    last = pairs.t == 0.25
    np.testing.assert_array_equal(pairs.fake[last], 0.5 * pairs.x_t[last])


def test_a_penalty_of_the_critic_is_one_of_x_s_alone():
    """For D = a|x_s|² + b|x_t|² + c x_s·x_t the gradient in x_s is 2a x_s + c x_t: R1 leaves x_t's own part out."""
    a, b, c = 0.3, 5.0, -0.7

    def critic(x_s, x_t, t):
        return jnp.sum(a * x_s**2 + b * x_t**2 + c * x_s * x_t, (1, 2)) * (1 + t)

    @jax.jit
    def penalised(pairs):
        judge = pairs.at_x_t(critic)
        return jnp.sum(jax.grad(lambda x: judge(x).sum())(pairs.real) ** 2, (1, 2)), judge(pairs.fake)

    pairs, _ = mixing_pairs(DATA)
    r1, logits = penalised(pairs)
    x_t, t, real, fake = map(np.asarray, pairs)
    np.testing.assert_allclose(r1, ((2 * a * real + c * x_t) ** 2).sum((1, 2)) * (1 + t) ** 2, rtol=1e-4)
    np.testing.assert_allclose(logits, critic(fake, x_t, t), rtol=1e-4)


def test_the_generators_gradient_passes_through_the_posterior():
    """x_s = c₁ x̂0 + …, so the slope of the fakes in a shift of x̂0 is c₁."""

    def fakes(shift):
        denoise = denoiser(PROCESS, lambda x, t, z: x + shift, predicts="x0")
        pairs = denoising_pairs(jax.random.key(1), PROCESS, denoise, jnp.zeros((64, 1)), 1)
        return pairs.fake, pairs.t

    slopes, t = jax.jit(jax.jacfwd(fakes, has_aux=True))(0.0)
    index = np.asarray(4 * t).round().astype(int)
    np.testing.assert_allclose(np.ravel(slopes), np.array(C1)[index - 1], atol=1e-4)


def test_refusals(unchecked):
    x0, denoise = jnp.zeros((2, 1)), denoiser(PROCESS, draw_sign, predicts="x0")
    pairs = partial(denoising_pairs, jax.random.key(0))
    for message, refused in [
        ("steps must be at least 1", lambda: ddgan_process(0)),
        (r"minimum must lie in \[0, 1\), got 1", lambda: ddgan_process(minimum=1)),
        ("beta_min <= beta_max", lambda: ddgan_process(beta_min=30.0)),
        ("latent_size must be at least 1", lambda: ddgan(0)),
        ("latent_size must be at least 1", lambda: pairs(PROCESS, denoise, x0, 0)),
        (r"take gan\.ddgan_process\(\)", lambda: pairs(vp(), denoise, x0, 1)),
        ("floating point, got int32", lambda: pairs(PROCESS, denoise, x0.astype(int), 1)),
        ("need a denoiser", lambda: pairs(PROCESS, lambda x, t: Prediction(x, x), x0, 1)),
        ("need a denoiser", lambda: sample(KEYS[:2], PROCESS, lambda x, t: Prediction(x, x), ddgan(1), TIMES, (1,))),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            refused()
