"""The exercise on discrete diffusion: a whole small run, n-gram models against counts, and its refusals."""

from dataclasses import replace

import numpy as np
from refusals import refuses
from shown import metrics_of

from experiments.discrete import ngrams
from experiments.discrete.config import Config
from experiments.discrete.data import Tokens, toy
from experiments.discrete.measure_models import distance, share_of_words
from jaxgen.data import encode_symbols


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Bits per token", "Exact value", "One categorical draw"),
        "samples-sprites.png samples-digits.png samplers.png losses.png steps.png",
    )
    assert len(metrics["bits"]) == 3
    assert len(metrics["toy"]) == 3


def test_ngrams_are_those_of_counting():
    x = np.array([[0, 1, 1, 0], [0, 1, 0, 0]])
    model = ngrams.fit(x, 1, 3)
    # Witten and Bell: 5 zeros and 3 ones of 2 kinds, mixed with the uniform law
    first = (np.array([5, 3, 0]) + 2 / 3) / 10
    np.testing.assert_allclose(model.probabilities(np.array([[2]])), first[None])  # a context that does not occur
    after_one = (np.array([2, 1, 0]) + 2 * first) / 5
    np.testing.assert_allclose(model.probabilities(np.array([[1]])), after_one[None])
    outside = (np.array([2, 0, 0]) + 1 * first) / 3
    np.testing.assert_allclose(model.probabilities(np.array([[3]])), outside[None])
    bits = -np.log2([outside[0], (np.array([1, 2, 0]) + 2 * first)[1] / 5])
    np.testing.assert_allclose(model.bits_per_token(x[:, :2]).mean, bits.mean())


def test_a_context_of_an_image_was_drawn_before_its_pixel():
    x = np.arange(12).reshape(1, 3, 4)
    context, token = ngrams.contexts(x, 4, 99)
    np.testing.assert_array_equal(token, x.reshape(-1))
    np.testing.assert_array_equal(context[5], [4, 1, 2, 0])
    np.testing.assert_array_equal(context[3], [2, 99, 99, 99])
    assert np.all((context < token[:, None]) | (context == 99))


def test_draws_of_ngrams_have_their_law():
    rng = np.random.default_rng(0)
    x = (rng.random((4000, 6)) < 0.3).astype(int)
    x[:, 1:] ^= x[:, :-1]
    drawn = ngrams.fit(x, 2, 2).draw(4000, 6, seed=1)
    tokens = Tokens(x, x, 2, None)
    assert distance(drawn, tokens) < 0.03 < 0.2 < distance(1 - drawn, tokens)


def test_words_and_distances():
    train = np.stack([encode_symbols("a known word xx")])
    samples = np.stack([encode_symbols("e known sort zz")])
    assert share_of_words(samples, train) == 0.5
    images = Tokens(None, np.zeros((2, 3, 3), int), 2, None)
    assert distance(np.zeros((1, 3, 3), int), images) == 0
    assert distance(np.ones((1, 3, 3), int), images) == 1


def test_the_enumerable_law():
    law = toy()
    np.testing.assert_allclose(law.p.sum(), 1)
    assert law.bits_per_token < law.bits_of_marginals - 0.1 < 2
    share = (law.draw(20_000, 0)[:, 0] == 0).mean()
    exact = law.p[law.x[:, 0] == 0].sum()
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)


def test_bad_flags_are_refused():
    refuses(
        ("--colours", lambda: Config(colours=300)),
        ("--draws", lambda: Config(draws=0)),
        ("--ordinal-width", lambda: Config(ordinal_width=0.0)),
        ("--images", lambda: replace(Config(), images=10)),
    )
