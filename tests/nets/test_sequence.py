"""Texts as conditions: their tokens, their embeddings, and the U-Net that reads them."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly

from jaxgen.nets import UNet, sequence_tokens
from jaxgen.nets.sequence import SequenceEmbedding

LETTERS, LENGTH, BATCH = 5, 3, 4
WAYS = {
    "vector": {},
    "cross": {"sequence_vector": False, "cross_attention_levels": (-1,)},
}
make = functools.partial(UNet, channels=8, multipliers=(1,), num_tokens=LETTERS, sequence_length=LENGTH)
X = jnp.asarray(np.random.default_rng(1).standard_normal((BATCH, 4, 12, 1)), jnp.float32)
T = jnp.linspace(0, 1, BATCH)
TEXTS = jnp.array([[0, 1, 2], [4, 4, 0], [3, 2, 1], [1, 0, 3]])


class TestTokens:
    def test_null_is_none_negative_or_num_tokens(self):
        got = sequence_tokens(jnp.array([[0, 4, 5], [-1, -7, 2]], jnp.int8), 2, num_tokens=5, length=3)
        np.testing.assert_array_equal(got, [[0, 4, 5], [5, 5, 2]])
        assert got.dtype == jnp.int32
        np.testing.assert_array_equal(sequence_tokens(None, 2, num_tokens=5, length=3), np.full((2, 3), 5))

    @pytest.mark.parametrize(
        ("cond", "length", "message"),
        [
            (jnp.zeros((2, 3)), 3, "integer tokens, got float32"),
            (jnp.zeros(2, int), 3, r"a text per example, shape \(2, 3\), got \(2,\)"),
            (jnp.zeros((2, 4), int), 3, r"a text per example, shape \(2, 3\), got \(2, 4\)"),
            (jnp.zeros((1, 3), int), 3, r"a text per example, shape \(2, 3\), got \(1, 3\)"),
            (None, 0, "at least one character"),
        ],
    )
    def test_refusals(self, cond, length, message):
        with pytest.raises(ValueError, match=message):
            sequence_tokens(cond, 2, num_tokens=5, length=length)

    def test_embeddings_are_rows_of_two_tables(self):
        net = SequenceEmbedding(7, LETTERS, LENGTH)
        shapes = {"characters": (LETTERS + 1, 7), "positions": (LENGTH, 7)}
        params = {
            "params": {name: np.random.default_rng(0).random(shape, np.float32) for name, shape in shapes.items()}
        }
        tokens = np.array([[0, 4, 5], [-1, 2, 2], [6, 1, 0]])
        got = np.asarray(net.apply(params, tokens, 3))
        characters, positions = params["params"]["characters"], params["params"]["positions"]
        for row, text in enumerate([[0, 4, 5], [5, 2, 2], [None, 1, 0]]):
            for j, token in enumerate(text):
                expected = np.full(7, np.nan) if token is None else characters[token] + positions[j]
                np.testing.assert_allclose(got[row, j], expected, rtol=1e-6)


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    return request.param


@pytest.fixture(scope="module")
def net(way):
    return make(**WAYS[way])


@pytest.fixture(scope="module")
def params(net, random_params):
    return random_params(net, X, T, TEXTS)


@pytest.fixture(scope="module")
def apply(net):
    """The network, compiled once for this module: a second trace fails the test that causes it."""

    def traced(params, x, t, cond):
        return net.apply(params, x, t, cond)

    chex.clear_trace_counter()
    return jax.jit(chex.assert_max_traces(traced, n=1))


def change(first, second):
    return np.abs(first - second).max(axis=(1, 2, 3))


class TestReading:
    @pytest.mark.slow
    def test_a_null_text_is_null_however_it_is_said_and_in_its_row_only(self, params, apply):
        null, same = (apply(params, X, T, jnp.full_like(TEXTS, token)) for token in (-1, LETTERS))
        np.testing.assert_allclose(same, null, atol=1e-5)
        mixed = apply(params, X, T, TEXTS.at[1].set(-1).at[3].set(LETTERS))
        asked = apply(params, X, T, TEXTS)
        assert change(asked, null).min() > 1e-3
        for row, source in enumerate([asked, null, asked, null]):
            np.testing.assert_allclose(mixed[row], source[row], atol=1e-5)

    @pytest.mark.slow
    def test_no_text_is_null(self, net, params, apply):
        null = jax.jit(lambda x, t: net.apply(params, x, t))(X, T)
        np.testing.assert_allclose(apply(params, X, T, jnp.full_like(TEXTS, -1)), null, atol=1e-5)

    @pytest.mark.slow
    def test_every_parameter_matters(self, params, apply, check_parameters_matter):
        texts = jnp.array([[0, 1, 2], [3, 4, 0], [0, 1, 2], [-1, -1, -1]])  # all characters and null among them
        check_parameters_matter(lambda params: apply(params, X, T, texts), params)

    def test_the_null_text_has_a_value_of_its_own(self, params, apply):
        """Of all parameters, those of the null character alone move the null and no other text."""
        moved = jax.tree.map(lambda a: a, params)
        moved["params"]["text"]["characters"] = params["params"]["text"]["characters"].copy()
        moved["params"]["text"]["characters"][LETTERS] += 1.0
        texts = TEXTS.at[2].set(-1)
        differs = change(apply(moved, X, T, texts), apply(params, X, T, texts)) > 1e-4
        np.testing.assert_array_equal(differs, [False, False, True, False])

    def test_every_character_at_every_place_matters(self, params, apply):
        asked = apply(params, X, T, TEXTS)
        for j in range(LENGTH):
            for step in range(1, LETTERS):
                other = TEXTS.at[:, j].set((TEXTS[:, j] + step) % LETTERS)
                assert change(apply(params, X, T, other), asked).min() > 1e-4

    def test_permuting_tokens_with_their_positions(self, way, params, apply):
        """Attention sees a set of (character, position); the concatenation sees the order itself."""
        order = np.array([2, 0, 1])
        moved = jax.tree.map(lambda a: a, params)
        moved["params"]["text"]["positions"] = params["params"]["text"]["positions"][order]
        difference = change(apply(moved, X, T, TEXTS[:, order]), apply(params, X, T, TEXTS))
        assert difference.max() < 1e-4 if way == "cross" else difference.min() > 1e-3

    def test_one_character_may_be_left_open(self, params, apply):
        open_end, null = apply(params, X, T, TEXTS.at[:, 2].set(-1)), apply(params, X, T, jnp.full_like(TEXTS, -1))
        assert change(open_end, apply(params, X, T, TEXTS)).min() > 1e-4
        assert change(open_end, null).min() > 1e-4

    def test_a_token_beyond_null_gives_nan_in_its_row_only(self, params, apply):
        out = apply(params, X, T, TEXTS.at[2, 1].set(LETTERS + 1))
        np.testing.assert_array_equal(np.isnan(out).any(axis=(1, 2, 3)), [False, False, True, False])

    def test_examples_do_not_see_their_neighbours(self, params, apply):
        order = jnp.array([2, 0, 3, 1])
        whole = apply(params, X, T, TEXTS)
        np.testing.assert_allclose(apply(params, X[order], T[order], TEXTS[order]), whole[order], atol=1e-5)

    @pytest.mark.slow
    def test_bfloat16_is_used_and_close_to_float32(self, way, params, apply):
        half = make(**WAYS[way], dtype=jnp.bfloat16)
        full_out, half_out = apply(params, X, T, TEXTS), jax.jit(half.apply)(params, X, T, TEXTS)
        error = np.linalg.norm(half_out - full_out) / np.linalg.norm(full_out)
        assert 2**-14 < error < 2**-4

    @pytest.mark.slow
    def test_dtypes_and_numpy_inputs(self, way, net, params):
        half = make(**WAYS[way], dtype=jnp.bfloat16)
        out, variables = jax.eval_shape(half.init_with_output, jax.random.key(0), X, T, TEXTS)
        assert {leaf.dtype for leaf in jax.tree.leaves((out, variables))} == {jnp.dtype("float32")}
        numpy = [np.asarray(a) for a in (X, T, TEXTS)]
        assert jax.eval_shape(lambda params: net.apply(params, *numpy), params).shape == X.shape


@pytest.mark.slow
def test_every_parameter_learns(random_params, check_gradients):
    net = make(cross_attention_levels=(0,))
    params = random_params(net, X, T, TEXTS)
    texts = jnp.array([[0, 1, 2], [3, 4, 0], [0, 1, 2], [-1, -1, -1]])  # all characters and null among them
    gradient = check_gradients(lambda p: jnp.square(net.apply(p, X, T, texts) - X).sum(), params)
    assert (np.abs(gradient["params"]["text"]["characters"]).max(1) > 0).all()


@nightly("size", [(16, 48), (15, 47)])
def test_sizes_that_are_not_square(size, random_params):
    net = make(multipliers=(1, 2), cross_attention_levels=(0, -1))
    params = random_params(net, jnp.zeros((BATCH, 4, 4, 1)), T, TEXTS)  # one set of parameters serves all sizes
    x = jnp.zeros((BATCH, *size, 1))
    assert jax.eval_shape(net.apply, params, x, T, TEXTS).shape == x.shape


@pytest.mark.slow
def test_without_its_texts_the_network_is_the_plain_one(random_params):
    """The new options add parameters beside the old ones; with their readers at zero, nothing is changed."""
    net, plain = make(cross_attention_levels=(0,)), UNet(8, (1,))
    params = random_params(net, X, T, TEXTS)["params"]
    old = {k: v for k, v in params.items() if not k.startswith("text") and not k.endswith("cross_attention")}
    chex.assert_trees_all_equal_shapes(old, jax.eval_shape(plain.init, jax.random.key(0), X, T)["params"])
    for name in set(params) - set(old) - {"text"}:
        last = "Dense_1" if name == "text_vector" else "out"
        params[name][last] = jax.tree.map(np.zeros_like, params[name][last])
    expected = jax.jit(plain.apply)({"params": old}, X, T)
    np.testing.assert_allclose(jax.jit(net.apply)({"params": params}, X, T, TEXTS), expected, atol=1e-5)


@pytest.mark.slow
def test_cross_attention_sits_at_the_chosen_levels():
    net = UNet(8, (1, 1, 1), num_tokens=2, sequence_length=2, cross_attention_levels=(1, -1), attention_levels=())
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))["params"]
    reading = {name.removesuffix("_cross_attention") for name in params if name.endswith("_attention")}
    assert reading == {"down_1_0", "up_1_0", "up_1_1", "down_2_0", "middle_0", "up_2_0", "up_2_1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_tokens": 3}, "both num_tokens and sequence_length, got 3 and None"),
        ({"sequence_length": 3}, "both num_tokens and sequence_length"),
        ({"cross_attention_levels": (0,)}, "set num_tokens and sequence_length"),
        ({"num_tokens": 3, "sequence_length": 2, "num_classes": 4}, "only one"),
        ({"num_tokens": 3, "sequence_length": 2, "cond_dim": 4}, "only one"),
        ({"num_tokens": 3, "sequence_length": 2, "sequence_vector": False}, "nothing reads the text"),
        (
            {"num_tokens": 3, "sequence_length": 2, "cross_attention_levels": (3,)},
            r"cross_attention_levels \[3\] out of range: multipliers give levels 0 to 2",
        ),
    ],
)
def test_contradictory_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(UNet(8, **settings).init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))


@pytest.mark.parametrize(
    ("cond", "message"),
    [(TEXTS[:, :2], r"shape \(4, 3\), got \(4, 2\)"), (TEXTS.astype(float), "integer tokens, got float32")],
)
def test_texts_of_the_wrong_form_are_refused(cond, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make().init, jax.random.key(0), X, T, cond)
