"""Guidance against classes of Gaussian data, where every score, classifier and guided density is known."""

import chex
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY
from oracles import PROCESSES, nightly, slow, snap
from refusals import refuses
from scipy.stats import multivariate_normal

from jaxgen import diffusion
from jaxgen.diffusion import Prediction, denoiser, dynamic_threshold, guidance, log_likelihood, vp
from jaxgen.samplers import ode_decode, sample, sample_ode, sample_sde

classifier, classifier_free, drop_condition = guidance.classifier, guidance.classifier_free, guidance.drop_condition

MEANS = np.array([[1.0, -0.5], [-0.8, 0.6]])
ANGLES, SPREADS = np.array([0.5, -0.9]), np.array([[0.36, 0.09], [0.16, 0.49]])
AXES = np.stack([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in ANGLES])
COVARIANCES = np.einsum("kij,kj,klj->kil", AXES, SPREADS, AXES)
WEIGHTS, NULL = np.array([0.3, 0.7]), 2
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
LABELS = jnp.array([0, 1, 1, 0, 1])
every_process = pytest.mark.parametrize("name", [n if n == "zero_snr" else slow(n) for n in PROCESSES])


def log_joint(process, x, t):
    """log P(class) p_t(x | class) of x (B, 2) at t (B,) -> (B, 2)."""
    alpha, variance = process.alpha(t)[:, None, None], process.variance(t)[:, None, None]
    along = jnp.einsum("bki,kij->bkj", x[:, None] - alpha * MEANS, AXES)
    spread = alpha**2 * SPREADS + variance
    return np.log(WEIGHTS) - 0.5 * jnp.sum(along**2 / spread + jnp.log(2 * jnp.pi * spread), -1)


def log_density(process, x, t, label):
    """log p_t(x | label), that of all data for the null label."""
    joint = log_joint(process, x, t)
    of_class = jnp.take_along_axis(joint - jnp.log(WEIGHTS), jnp.minimum(label, 1)[:, None], 1)[:, 0]
    return jnp.where(label == NULL, jax.nn.logsumexp(joint, -1), of_class)


def network(process):
    """The exact score of a label's data."""
    return lambda x, t, label: jax.grad(lambda x: log_density(process, x, t, label).sum())(x)


def model(process, **options):
    return denoiser(process, network(process), predicts="score", **options)


def log_prob(process, label):
    """The exact time-dependent classifier."""
    return lambda x, t: jax.nn.log_softmax(log_joint(process, x, t))[jnp.arange(len(x)), label]


def wanted(process, label, scale):
    """The denoiser of p_t(x)^(1−w) p_t(x | y)^w, by autodiff of its density."""

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, x.shape[:1])

        def total(x):
            every = log_density(process, x, t, jnp.full(len(x), NULL))
            return jnp.sum((1 - scale) * every + scale * log_density(process, x, t, jnp.broadcast_to(label, len(x))))

        score, alpha, sigma = jax.grad(total)(x), process.alpha(t)[:, None], process.sigma(t)[:, None]
        return Prediction((x + sigma**2 * score) / alpha, -sigma * score)

    return denoise


def assert_consistent(process, x, t, prediction, atol=1e-5):
    t = jnp.broadcast_to(t, len(x)).reshape((-1,) + (1,) * (x.ndim - 1))
    both = process.alpha(t) * prediction.x0 + process.sigma(t) * prediction.eps
    np.testing.assert_allclose(both, x, atol=atol)


# -- classifier-free -----------------------------------------------------------------------------------------------


@every_process
def test_the_guided_score_is_that_of_a_product_of_densities(name):
    """p(x)^(1−w) p(x | y)^w of two Gaussians is a Gaussian of precision (1−w) Λ_u + w Λ_c, here in numpy."""
    with jax.enable_x64(True):
        process, rng = PROCESSES[name], np.random.default_rng(0)
        x, scales = rng.normal(size=(5, 2)), np.array([0.0, 0.5, 1.0, 2.0, 7.5])
        t = float(snap(process, 0.4))
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))

        def exact(x, t, label):
            means, covariances = jnp.asarray(MEANS), jnp.asarray(COVARIANCES)
            total = alpha**2 * covariances[label] + sigma**2 * jnp.eye(2)
            return sigma * jnp.linalg.solve(total, (x - alpha * means[label])[..., None])[..., 0]

        guided = jax.jit(classifier_free(process, denoiser(process, exact), 0, 1, jnp.asarray(scales)))(x, t)
        precisions = np.linalg.inv(alpha**2 * COVARIANCES + sigma**2 * np.eye(2))
        for b, w in enumerate(scales):
            precision = w * precisions[0] + (1 - w) * precisions[1]
            pull = alpha * (w * precisions[0] @ MEANS[0] + (1 - w) * precisions[1] @ MEANS[1])
            score = pull - precision @ x[b]
            np.testing.assert_allclose(guided.eps[b], -sigma * score, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(guided.x0[b], (x[b] + sigma**2 * score) / alpha, rtol=1e-8, atol=1e-10)
        assert guided.x0.dtype == jnp.float64


def test_one_call_of_a_stacked_batch():
    calls = []

    def spy(x, t, cond):
        calls.append((x, t, cond))
        return x

    vectors, t = jnp.arange(15.0).reshape(5, 3), jnp.linspace(0.1, 0.9, 5)
    cond = {"label": 1, "vector": vectors, "labels": LABELS}
    null = {"label": -1, "vector": jnp.zeros(3), "labels": jnp.full(5, 2)}
    classifier_free(vp(), denoiser(vp(), spy), cond, null, 3.0)(X, t)
    assert len(calls) == 1
    x, times, seen = calls[0]
    np.testing.assert_array_equal(x, np.concatenate([X, X]))
    np.testing.assert_array_equal(times, np.concatenate([t, t]))
    np.testing.assert_array_equal(seen["label"], [1] * 5 + [-1] * 5)
    np.testing.assert_array_equal(seen["vector"], np.concatenate([vectors, np.zeros((5, 3))]))
    np.testing.assert_array_equal(seen["labels"], np.concatenate([LABELS, [2] * 5]))
    assert seen["labels"].dtype == LABELS.dtype
    classifier_free(vp(), denoiser(vp(), spy), cond, null, 3.0)(X, t, cond=cond | {"label": 7})
    np.testing.assert_array_equal(calls[-1][2]["label"], [7] * 5 + [-1] * 5)


@pytest.mark.parametrize("name", ["vp", slow("ve"), slow("linear")])
def test_the_interval_is_one_of_noise_levels(name):
    process = PROCESSES[name]
    denoise = denoiser(process, lambda x, t, label: jnp.tanh(x + label[:, None]))
    t = np.array([snap(process, t) for t in (0.05, 0.2, 0.45, 0.7, 0.95)], np.float32)
    levels = np.float64(process.sigma(t)) / np.float64(process.alpha(t))
    low, high = np.sqrt(levels[0] * levels[1]), np.sqrt(levels[2] * levels[3])
    by = jax.jit(lambda *i: classifier_free(process, denoise, LABELS, NULL, 4.0, interval=i, rescale=0.5)(X, t)[:2])
    whole, alone = by(0.0, np.inf), denoise(X, t, cond=LABELS)[:2]
    assert np.all(np.abs(whole[1] - alone[1]).max(-1) > 1e-3)  # guidance does something at each level
    cases = ((low, high), [0, 1, 1, 0, 0]), ((0.0, high), [1, 1, 1, 0, 0]), ((low, np.inf), [0, 1, 1, 1, 1])
    for interval, inside in cases:
        for ours, guided, plain in zip(by(*interval), whole, alone, strict=True):
            expected = np.where(np.array(inside)[:, None] == 1, guided, plain)
            np.testing.assert_allclose(ours, expected, rtol=3e-4, atol=3e-4)


def test_the_interval_is_open_below_and_closed_above():
    """sigma/alpha is 1 exactly at t = 1/2 of the rectified flow; Kynkäänniemi et al.'s interval is (low, high]."""
    process = PROCESSES["rectified_flow"]
    denoise = denoiser(process, lambda x, t, label: jnp.tanh(x + label[:, None]))
    guided = jax.jit(lambda *ends: classifier_free(process, denoise, LABELS, NULL, 4.0, interval=ends)(X, 0.5).eps)
    assert process.log_snr(0.5) == 0
    np.testing.assert_allclose(guided(1.0, 2.0), denoise(X, 0.5, cond=LABELS).eps, rtol=1e-5)
    inside = guided(0.5, 2.0)
    np.testing.assert_array_equal(guided(0.5, 1.0), inside)
    assert np.abs(inside - guided(1.0, 2.0)).max() > 0.1


def test_rescale_brings_the_std_back():
    """Lin et al. 2024, §3.4, on events of some size."""
    process = vp()
    x, t = jax.random.normal(jax.random.key(1), (3, 4, 4, 2)), jnp.array([0.1, 0.5, 0.9])
    answer = lambda x, t, cond: jnp.sin(3 * x + cond[:, None, None, None])
    denoise = denoiser(process, answer, predicts="x0")
    free = jax.jit(classifier_free(process, denoise, 1.0, 0.0, 5.0))(x, t)
    alone = np.asarray(denoise(x, t, cond=jnp.ones(3)).x0, np.float64).reshape(3, -1)
    plain = np.asarray(free.x0, np.float64).reshape(3, -1)
    rescaled_by = jax.jit(lambda share: classifier_free(process, denoise, 1.0, 0.0, 5.0, rescale=share)(x, t))
    for share in (0.3, 1.0):
        rescaled = plain * (alone.std(-1) / plain.std(-1))[:, None]
        expected = share * rescaled + (1 - share) * plain
        found = rescaled_by(share)
        np.testing.assert_allclose(found.x0.reshape(3, -1), expected, rtol=2e-5, atol=1e-5)
        assert_consistent(process, x, t, found)
    np.testing.assert_allclose(found.x0.reshape(3, -1).std(-1), alone.std(-1), rtol=1e-5)
    assert np.all(plain.std(-1) > 1.5 * alone.std(-1))
    # one number has no std: it is left alone, and its derivative is finite
    one = classifier_free(process, denoiser(process, lambda x, t, c: x * c[:, None]), 1.0, 0.5, 3.0, rescale=1.0)
    np.testing.assert_allclose(one(X[:, :1], 0.5).eps, 2 * X[:, :1], rtol=1e-4, atol=1e-6)
    assert np.all(np.isfinite(jax.jit(jax.jacrev(lambda x: one(x, 0.5).x0))(X[:, :1])))


@pytest.mark.slow
def test_clip_bounds_what_is_guided():
    process, t = vp(), jnp.linspace(0.1, 0.9, 5)
    inner, every = model(process, clip=1.0), model(process, clip=1.0, cond=jnp.full(5, NULL))

    @jax.jit
    def run():
        free = lambda denoise, clip=None: classifier_free(process, denoise, LABELS, NULL, 6.0, clip=clip)(X, t)
        by_classifier = lambda clip: classifier(process, every, log_prob(process, LABELS), 6.0, clip=clip)(X, t)
        bounded = [way for clip in (1.0, dynamic_threshold(0.9)) for way in (free(inner, clip), by_classifier(clip))]
        return free(inner).x0, bounded, free(model(process)).x0, free(model(process), 1.0).x0

    inside, bounded, plain, clipped = run()
    assert np.max(np.abs(inside)) > 1.5
    for found in bounded:
        assert np.max(np.abs(found.x0)) <= 1
        assert_consistent(process, X, t, found)
    np.testing.assert_allclose(clipped, np.clip(plain, -1, 1), atol=1e-6)


def test_the_learned_variance_is_the_conditional_one():
    answer = lambda x, t, cond: jnp.concatenate([x, jnp.broadcast_to(cond[:, None], x.shape)], -1)
    denoise = denoiser(vp(), answer, learned_variance=True, cond=jnp.ones(5))
    found = classifier_free(vp(), denoise, 0.5, -1.0, 3.0)(X, 0.5)
    np.testing.assert_allclose(found.variance_interpolation, np.full(X.shape, 0.75))
    found = classifier(vp(), denoise, lambda x, t: x.sum(-1))(X, 0.5, cond=0.5 * jnp.ones(5))
    np.testing.assert_allclose(found.variance_interpolation, np.full(X.shape, 0.75))


@pytest.mark.slow
@every_process
def test_finite_and_consistent_at_both_ends(name):
    process = PROCESSES[name]
    denoise = denoiser(process, lambda x, t, cond: jnp.tanh(x + cond[:, None]), predicts="v")
    for guided in (
        classifier_free(process, denoise, LABELS, NULL, 4.0),
        classifier_free(process, denoise, LABELS, NULL, 4.0, interval=(0.0, np.inf), rescale=0.7, clip=1.0),
        classifier(process, lambda x, t: denoise(x, t, cond=LABELS), lambda x, t: jnp.sin(x).sum(-1), 4.0),
    ):
        both = jax.jit(lambda t, guided=guided: jax.jvp(lambda x: guided(x, t)[:2], (X,), (X,)))
        for t in (0.0, 1.0):
            found, slopes = both(t)
            assert all(np.all(np.isfinite(part)) for part in (*found, *slopes))
            if process.sigma(t) > 0:
                scale = float(jnp.maximum(1, process.sigma(t) ** 2))
                assert_consistent(process, X, t, Prediction(*found), 2e-5 * scale)


# -- classifier ----------------------------------------------------------------------------------------------------


@every_process
def test_classifier_guidance_is_classifier_free_where_both_are_exact(name):
    """∇ log p(y | x_t) = ∇ log p(x_t | y) − ∇ log p(x_t), so the two agree at any scale (Ho & Salimans 2022, §3)."""
    with jax.enable_x64(True):
        process, x = PROCESSES[name], jnp.asarray(X, jnp.float64)
        scales = jnp.array([0.0, 0.5, 1.0, 2.0, 5.0])
        everything = model(process, cond=jnp.full(5, NULL))

        @jax.jit
        def run(t):
            gradient = jax.grad(lambda x: log_prob(process, LABELS)(x, t).sum())(x)
            moved = everything(x, t).x0 + scales[:, None] * (process.variance(t) / process.alpha(t))[:, None] * gradient
            by_classifier = classifier(process, everything, log_prob(process, LABELS), scales)(x, t)
            free = classifier_free(process, model(process), LABELS, NULL, scales)(x, t)
            return wanted(process, LABELS, scales)(x, t)[:2], by_classifier[:2], free[:2], moved

        tolerance = 1e-9 if process.steps is None else 1e-6  # the tables are of float32
        for t in (snap(process, 0.05), snap(process, 0.6)):
            expected, by_classifier, free, moved = run(jnp.full(5, float(t)))
            np.testing.assert_allclose(by_classifier[0], moved, rtol=tolerance, atol=tolerance)
            for found in (by_classifier, free):
                for ours, theirs in zip(found, expected, strict=True):
                    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_the_classifier_sees_a_time_per_example():
    def answer(x, t):
        assert t.shape == (5,)
        return t * x.sum(-1)

    plain = denoiser(vp(), lambda x, t, cond: x)
    t = jnp.linspace(0.1, 0.9, 5)
    found = classifier(vp(), plain, answer, 2.0)(X, t)
    np.testing.assert_allclose(found.eps, X - 2 * (vp().sigma(t) * t)[:, None], rtol=1e-5)
    found = classifier(vp(), plain, answer, 2.0)(X, 0.5)
    np.testing.assert_allclose(found.eps, X - vp().sigma(0.5), rtol=1e-5)


# -- under every sampler and solver --------------------------------------------------------------------------------


def both_ways(process, scale):
    every = model(process, cond=jnp.full(5, NULL))
    return (
        classifier_free(process, model(process), LABELS, NULL, scale),
        classifier(process, every, log_prob(process, LABELS), scale),
    )


@nightly("name", ["vp", "linear"])
def test_every_sampler_is_guided(name):
    process = PROCESSES[name]
    samplers = (
        ANY | CONTINUOUS_ONLY if process.steps is None else {k: ANY[k] for k in ("ddpm_large", "heun", "dpmpp_2m")}
    )
    times = diffusion.log_snr_grid(process, 12) if process.steps is None else diffusion.subset_grid(process.steps, 12)
    keys = jax.random.split(jax.random.key(3), 5)

    @jax.jit
    def run(keys, scale):
        ways = [wanted(process, LABELS, scale), *both_ways(process, scale)]

        def all_by(way):  # a program for each sampler, not for each denoiser too
            denoise = lambda x, t: Prediction(*jax.lax.switch(way, [lambda d=d: d(x, t)[:2] for d in ways]))
            return {k: sample(keys, process, denoise, s, times, (2,)) for k, s in samplers.items()}

        return jax.lax.map(all_by, jnp.arange(3))

    for sampler, (expected, *found) in run(keys, 2.5).items():
        for x in found:
            np.testing.assert_allclose(x, expected, rtol=5e-3, atol=5e-3, err_msg=sampler)


@pytest.mark.slow
def test_the_solvers_are_guided():
    process, keys = vp(), jax.random.split(jax.random.key(3), 5)

    @jax.jit
    def run(keys, scale):
        ways = (wanted(process, LABELS, scale), *both_ways(process, scale))
        ode = [sample_ode(keys, process, way, (2,)).x for way in ways]
        sde = [sample_sde(keys, process, way, (2,), steps=50).x for way in ways[:2]]
        # the guided denoiser takes a new condition from the solver, split over samples that have their own steps
        own = ode_decode(process, ways[1], process.prior_std * X, cond=1 - LABELS, per_sample=True).x
        other = ode_decode(process, wanted(process, 1 - LABELS, scale), process.prior_std * X).x
        limited = classifier_free(process, model(process), LABELS, NULL, scale, interval=(0.2, 2.0))
        return ode, sde, own, other, sample_ode(keys, process, limited, (2,)).x

    (expected, *found), sde, own, other, limited = run(keys, 2.5)
    for x in found:
        np.testing.assert_allclose(x, expected, atol=1e-3)
    np.testing.assert_allclose(*sde, atol=5e-3)
    np.testing.assert_allclose(own, other, atol=1e-3)
    assert np.all(np.isfinite(limited))
    assert np.abs(limited - expected).max() > 1e-2


@nightly("name", ["vp", "rectified_flow"])
def test_likelihood_of_the_guided_flow(name):
    """At scale 1 it is the class's density in closed form; at others, that of the closed-form guided score."""
    process = PROCESSES[name]
    x = jnp.asarray(MEANS[np.asarray(LABELS)] + 0.4 * np.asarray(X), jnp.float32)
    options = {"controller": diffrax.PIDController(rtol=1e-5, atol=1e-5), "t_min": 1e-4, "t_max": 0.9999}

    @jax.jit
    def run(x, scale):
        found = [log_likelihood(process, d, x, **options).log_density for d in both_ways(process, scale)]
        return found, log_likelihood(process, wanted(process, LABELS, scale), x, **options).log_density

    found, _ = run(x, 1.0)
    t_min = 1e-4
    alpha, variance = float(process.alpha(t_min)), float(process.variance(t_min))
    exact = [
        multivariate_normal.logpdf(x[b], alpha * MEANS[k], alpha**2 * COVARIANCES[k] + variance * np.eye(2))
        for b, k in enumerate(LABELS)
    ]
    for ours in found:
        np.testing.assert_allclose(ours, exact, atol=0.03)  # q_1 is not quite the prior
    found, expected = run(x, 2.0)
    assert np.abs(expected - np.array(exact)).max() > 0.1
    for ours in found:
        np.testing.assert_allclose(ours, expected, atol=2e-3)


# -- as a citizen of JAX -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_number_may_be_traced():
    def run(scale, share, low, probability):
        guided = classifier_free(vp(), model(vp()), LABELS, NULL, scale, rescale=share, interval=(low, 5.0))
        return guided(X, 0.5)[:2], drop_condition(jax.random.key(0), LABELS, NULL, probability)

    chex.assert_trees_all_close(jax.jit(run)(7.5, 0.7, 0.01, 0.1), run(7.5, 0.7, 0.01, 0.1), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_row_knows_nothing_of_the_others():
    process, t = vp(), jnp.linspace(0.1, 0.9, 5)
    scale = jnp.linspace(0.0, 4.0, 5)

    @jax.jit
    def run(rows):
        label = LABELS[rows]
        options = {"rescale": 0.7, "clip": dynamic_threshold(0.9)}
        free = classifier_free(process, model(process), label, NULL, scale[rows], **options)
        every = model(process, cond=jnp.full(len(rows), NULL))
        by_classifier = classifier(process, every, log_prob(process, label), scale[rows])
        return free(X[rows], t[rows])[:2] + by_classifier(X[rows], t[rows])[:2]

    rows = jnp.array([3, 1])
    for part, whole in zip(run(rows), run(jnp.arange(5)), strict=True):
        np.testing.assert_allclose(part, whole[rows], rtol=1e-5, atol=1e-6)


def test_half_precision_networks_are_guided_in_float32():
    denoise = denoiser(vp(), lambda x, t, cond: (x + cond[:, None]).astype(jnp.bfloat16))
    found = classifier_free(vp(), denoise, 1.0, 0.0, 7.5)(X, 0.5)
    assert found.x0.dtype == found.eps.dtype == jnp.float32


# -- training ------------------------------------------------------------------------------------------------------


def test_conditions_are_dropped_per_example_and_together():
    n, probability = 20_000, 0.2
    cond = {"label": jnp.arange(n) % 5, "vector": jnp.ones((n, 2, 3), jnp.float16)}
    null = {"label": 5, "vector": jnp.zeros((2, 3))}
    drop = jax.jit(drop_condition)
    found = drop(jax.random.key(0), cond, null, probability)
    dropped = np.asarray(found["label"]) == 5
    assert abs(dropped.mean() - probability) < 5 * np.sqrt(probability * (1 - probability) / n)
    np.testing.assert_array_equal(found["label"][~dropped], cond["label"][~dropped])
    np.testing.assert_array_equal(found["vector"], np.where(dropped[:, None, None], 0, 1) * np.ones((1, 2, 3)))
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(lambda leaf: leaf.dtype, cond)
    # examples are drawn on their own: neighbours are dropped together as chance has it
    both = (dropped[1:] & dropped[:-1]).mean()
    assert abs(both - probability**2) < 5 * np.sqrt(probability**2 / n) * 1.5
    for probability, expected in ((0.0, cond["label"]), (1.0, np.full(n, 5))):
        np.testing.assert_array_equal(drop(jax.random.key(1), cond, null, probability)["label"], expected)
    assert np.any(np.asarray(drop(jax.random.key(2), cond, null, 0.2)["label"] == 5) != dropped)


def test_refusals(unchecked):
    process = vp()
    denoise = model(process)
    guided = lambda cond=LABELS, null=NULL, scale=2.0, **options: classifier_free(
        process, denoise, cond, null, scale, **options
    )
    refuses(
        (r"null must be the same pytree.*num_classes", lambda: guided(null=None)),
        ("null must be the same pytree", lambda: guided()(X, 0.5, cond={"label": LABELS})),
        (r"shape \(\) or \(5, \.\.\.\)", lambda: guided(LABELS[:3])(X, 0.5)),
        (r"scale must have shape \(\) or \(5,\)", lambda: guided(scale=jnp.ones(2))(X, 0.5)),
        ("0 <= low < high", lambda: guided(interval=(2.0, 1.0))),
        ("0 <= low < high", lambda: guided(interval=(-1.0, 1.0))),
        (r"0 <= low < high, got \(0.2,\)", lambda: guided(interval=(0.2,))),
        ("0 <= low < high, got 0.2", lambda: guided(interval=0.2)),
        ("no condition to guide towards", lambda: guided(None, None)),
        ("no condition to guide towards or to drop", lambda: drop_condition(jax.random.key(0), {}, {}, 0.1)),
        (
            "null -1 does not fit cond's dtype uint8",
            lambda: drop_condition(jax.random.key(0), LABELS.astype(jnp.uint8), -1, 0.1),
        ),
        ("null 0.5 does not fit", lambda: drop_condition(jax.random.key(0), LABELS, 0.5, 0.1)),
        (
            "null 100000.0 does not fit cond's dtype float16",
            lambda: drop_condition(jax.random.key(0), X.astype(jnp.float16), 1e5, 0.1),
        ),
        (r"rescale must lie in \[0, 1\]", lambda: guided(rescale=1.5)),
        ("clip must be positive", lambda: guided(clip=-1.0)),
        (r"times lie in \[0, 1\]", lambda: guided()(X, 500.0)),
        ("one number per example", lambda: classifier(process, denoise, lambda x, t: x)(X, 0.5)),
        (r"scale must have shape \(\) or \(5,\)", lambda: classifier(process, denoise, None, jnp.ones(2))(X, 0.5)),
        (r"probability must lie in \[0, 1\]", lambda: drop_condition(jax.random.key(0), LABELS, NULL, 1.5)),
        ("null must be the same pytree", lambda: drop_condition(jax.random.key(0), {"a": LABELS}, NULL, 0.1)),
        (r"arrays \(B, \.\.\.\)", lambda: drop_condition(jax.random.key(0), 3, NULL, 0.1)),
        (r"arrays \(B, \.\.\.\)", lambda: drop_condition(jax.random.key(0), [X, X[:2]], [0.0, 0.0], 0.1)),
    )
