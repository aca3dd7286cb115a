"""Diffusion transformers: the published numbers of parameters, the network written out in NumPy, and its symmetries."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import training
from jaxgen.nets import DIT_SIZES, DiT, SequenceDiT, SetDiT
from jaxgen.nets.transformer_block import MultiHeadAttention, TransformerBlock

BATCH = 4
SMALL = {"width": 16, "depth": 2, "heads": 2}
T = np.linspace(0, 1, BATCH, dtype=np.float32)
LABELS = np.array([0, 2, 1, 2])


def first_by_day(names, cases):
    return lambda test: pytest.mark.first_by_day(pytest.mark.parametrize(names, list(cases))(test))


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


IMAGES, SIGNALS, SETS = normal(BATCH, 4, 6, 3), normal(BATCH, 6, 3), normal(BATCH, 6, 3)
LENGTHS = np.array([6, 3, 5, 1])
MASK = np.arange(6) < LENGTHS[:, None]


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


@pytest.mark.parametrize(
    ("size", "patch", "parameters"),
    [
        ("S", 2, 32_963_360), ("S", 4, 32_945_024), ("B", 2, 130_512_416), ("B", 4, 130_475_648),
        ("L", 2, 458_102_816), ("XL", 2, 675_129_632),
    ],
)  # fmt: skip
def test_as_many_parameters_as_the_published_networks(size, patch, parameters):
    """Of latents 32×32×4, with learned variances, 1000 classes and null, and the table of positions counted."""
    net = DiT(**DIT_SIZES[size], patch=patch, num_classes=1000, out_channels=8, positions="learned")
    x, t = jax.ShapeDtypeStruct((1, 32, 32, 4), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, t)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


def dit_in_numpy(net, params, x, t, labels):
    """The network of Peebles & Xie in float64; rotary positions are complex numbers."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    silu = lambda h: h / (1 + np.exp(-h))
    gelu = lambda h: h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    dense = lambda h, layer: h @ layer["kernel"] + layer["bias"]

    def norm(h, shift, scale):
        h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
        return h * (1 + scale[:, None]) + shift[:, None]

    def unit(h, gain):
        return h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-6) * gain if net.qk_norm else h

    def turn(h, places):
        if not net.rotary:
            return h
        half = h.shape[-1] // 2
        angles = np.concatenate([each[:, None] / 10_000 ** (np.arange(half // 2) / (half // 2)) for each in places], 1)
        z = (h[..., :half] + 1j * h[..., half:]) * np.exp(1j * angles)
        return np.concatenate([z.real, z.imag], -1)

    def attend(h, layer):
        out, places = 0, np.divmod(np.arange(h.shape[1]), columns)
        for head in range(net.heads):
            q, k, v = (h @ layer["qkv"]["kernel"][:, i, head] + layer["qkv"]["bias"][i, head] for i in range(3))
            if net.qk_norm:
                q, k = unit(q, layer["norm_queries"]["scale"]), unit(k, layer["norm_keys"]["scale"])
            weights = np.exp(turn(q, places) @ turn(k, places).swapaxes(1, 2) / np.sqrt(q.shape[-1]))
            mixed = weights / weights.sum(-1, keepdims=True) @ v
            width = mixed.shape[-1]
            out = out + mixed @ layer["out"]["kernel"][head * width : (head + 1) * width]
        return out + layer["out"]["bias"]

    patch, (rows, columns) = net.patch, np.array(x.shape[1:3]) // net.patch
    cut = lambda i, j: (slice(None), slice(i * patch, (i + 1) * patch), slice(j * patch, (j + 1) * patch))
    places = [(i, j) for i in range(rows) for j in range(columns)]
    angles = 1000 * t[:, None].astype(np.float64) / 10_000 ** (np.arange(128) / 128)
    time, waves = p["conditions"]["time"], np.concatenate([np.cos(angles), np.sin(angles)], -1)
    embedding = (
        dense(silu(dense(waves, time["Dense_0"])), time["Dense_1"]) + p["conditions"]["label"]["classes"][labels]
    )
    embedding = silu(embedding)

    h = dense(np.stack([x[cut(*place)].reshape(len(x), -1) for place in places], 1), p["in"])
    if net.positions == "sincos":
        quarter = net.width // 4
        for n, (i, j) in enumerate(places):
            for part, (wave, place) in enumerate([(np.sin, j), (np.cos, j), (np.sin, i), (np.cos, i)]):
                h[:, n, part * quarter : (part + 1) * quarter] += wave(place / 10_000 ** (np.arange(quarter) / quarter))
    for level in range(net.depth):
        block = jax.tree.map(lambda leaf, level=level: leaf[level], p["blocks"])
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = np.split(dense(embedding, block["modulate"]), 6, -1)
        h = h + gate_1[:, None] * attend(norm(h, shift_1, scale_1), block["attention"])
        hidden = gelu(dense(norm(h, shift_2, scale_2), block["mlp_1"]))
        h = h + gate_2[:, None] * dense(hidden, block["mlp_2"])
    h = dense(norm(h, *np.split(dense(embedding, p["modulate"]), 2, -1)), p["out"])
    out = np.zeros((*x.shape[:3], h.shape[-1] // patch**2))
    for n, place in enumerate(places):
        out[cut(*place)] = h[:, n].reshape(len(x), patch, patch, -1)
    return out


@first_by_day(
    "settings",
    [{"rotary": True, "qk_norm": True}, {}, {"positions": "none", "rotary": True}, {"patch": 1, "out_channels": 5}],
)
def test_equals_the_definition(settings, random_params):
    net = DiT(**SMALL, num_classes=3, **settings)
    params = random_params(net, IMAGES, T)
    expected = dit_in_numpy(net, params, IMAGES, T, LABELS)
    np.testing.assert_allclose(compiled(net)(params, IMAGES, T, LABELS), expected, atol=2e-3 * np.abs(expected).max())


@first_by_day(
    ("net", "x", "channels"),
    [
        (SequenceDiT(**SMALL, patch=3, num_tokens=4, sequence_length=2), SIGNALS, 3),
        (SequenceDiT(**SMALL, vocabulary=5), LABELS[:, None], 5),
        (SetDiT(**SMALL), SETS, 3),
    ],
)
def test_output_is_zero_at_initialisation(net, x, channels, random_params, initial):
    """That of images is in the networks' contract."""
    params = {"params": random_params(net, x, T)["params"] | {"out": initial(net, "out", x, T)}}
    out = compiled(net)(params, x, T)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.zeros((*x.shape[:2], channels)))


def test_a_block_is_the_identity_at_initialisation():
    """Whatever the embedding and the text: the gates are zero, and so is what the cross-attention adds."""
    block, (tokens, embedding, text) = (
        TransformerBlock(2),
        map(jnp.asarray, (normal(2, 5, 8), normal(2, 4), normal(2, 3, 7))),
    )
    out, params = jax.jit(block.init_with_output)(jax.random.key(0, impl="rbg"), tokens, embedding, text)
    np.testing.assert_array_equal(out[0], tokens)
    assert np.abs(params["params"]["attention"]["out"]["kernel"]).max() > 0


def test_permuting_a_set_permutes_the_output(random_params):
    net, order = SetDiT(**SMALL, qk_norm=True), np.random.default_rng(3).permutation(6)
    params = random_params(net, SETS, T)
    apply = functools.partial(compiled(net), params)
    out = apply(SETS, T)
    np.testing.assert_allclose(apply(SETS[:, order], T), out[:, order], atol=1e-5 * np.abs(out).max())
    # the same parameters with positions are not equivariant
    moved, plain = (compiled(SequenceDiT(**SMALL, qk_norm=True))(params, x, T) for x in (SETS[:, order], SETS))
    assert np.abs(moved - plain[:, order]).max() > 1e-2


@first_by_day(
    ("net", "x"),
    [
        (SetDiT(**SMALL), SETS),
        (SequenceDiT(**SMALL, rotary=True), SIGNALS),
        (SequenceDiT(**SMALL, vocabulary=5), np.array([[0, 1, 2, 3, 4, 0]] * BATCH)),
    ],
)
def test_padding_influences_nothing(net, x, random_params):
    """Whatever it holds: an example is as it would be without the padding, whose output is 0."""
    params, signal = random_params(net, x, T), x.ndim == 3
    out = np.asarray(compiled(net)(params, x, T, mask=MASK))
    hidden = MASK[..., None] if signal else MASK
    other = compiled(net)(params, np.where(hidden, x, np.nan if signal else -7), T, mask=MASK)
    np.testing.assert_array_equal(other, out)
    np.testing.assert_array_equal(out[~MASK], 0)
    alone = compiled(net)(params, x[1:2, : LENGTHS[1]], T[1:2])
    np.testing.assert_allclose(out[1, : LENGTHS[1]], alone[0], atol=1e-5 * np.abs(out).max())


@pytest.mark.slow
def test_padding_has_no_part_in_the_gradient(random_params):
    net, x = SetDiT(**SMALL), np.where(MASK[..., None], SETS, np.nan)
    params = random_params(net, x, T)
    square = lambda params: jnp.square(net.apply(params, x, T, mask=MASK)).sum()
    chex.assert_tree_all_finite(jax.jit(jax.grad(square))(params))


@pytest.mark.slow
def test_a_token_that_is_half_padding_sees_its_data_alone(random_params):
    net = SequenceDiT(**SMALL, patch=2)
    params = random_params(net, SIGNALS, T)
    out = np.asarray(compiled(net)(params, SIGNALS, T, mask=MASK))
    other = compiled(net)(params, np.where(MASK[..., None], SIGNALS, np.inf), T, mask=MASK)
    np.testing.assert_array_equal(other, out)
    assert (np.abs(out[MASK]).max(-1) > 1e-3).all()


def test_rotary_positions_see_differences_alone(random_params):
    """A sequence that moves within its padding takes its output along; added sines and cosines notice the move."""
    here, there = np.arange(6) < 4, np.arange(6) >= 2
    x, reversed_x = np.zeros((2, 2, 6, 3), np.float32)
    x[0, here] = x[1, there] = SIGNALS[0, :4]
    reversed_x[0, here] = reversed_x[1, there] = SIGNALS[0, 3::-1]
    difference = {}
    for positions in ("none", "sincos"):
        net = SequenceDiT(**SMALL, rotary=True, positions=positions)
        params = random_params(net, x, T[:2])
        apply = lambda x: np.asarray(compiled(net)(params, x, np.float32(0.5), mask=np.stack([here, there])))  # noqa: B023
        out = apply(x)
        difference[positions] = np.abs(out[0, here] - out[1, there]).max() / np.abs(out).max()
        # and the order within the sequence is seen
        assert np.abs(apply(reversed_x)[0, 3::-1] - out[0, here]).max() > 1e-2 * np.abs(out).max()
    assert difference["none"] < 1e-5
    assert difference["sincos"] > 1e-2


def test_tokens_outside_the_vocabulary_give_nan_in_their_row_only(random_params):
    net, x = SequenceDiT(**SMALL, vocabulary=5), np.array([[0, 1, 2], [4, 5, 0], [-1, 0, 0], [4, 4, 4]])
    out = compiled(net)(random_params(net, x, T), x, T)
    assert out.shape == (BATCH, 3, 5)
    np.testing.assert_array_equal(np.isnan(out).any((1, 2)), [False, True, True, False])


@pytest.mark.slow
def test_learned_positions_begin_as_the_fixed_ones_and_serve_one_size(random_params):
    fixed, learned = DiT(**SMALL), DiT(**SMALL, positions="learned")
    params = random_params(fixed, IMAGES, T)
    start = jax.jit(lambda key: learned.init(key, IMAGES, T)["params"]["positions"])(jax.random.key(0))
    both = {"params": params["params"] | {"positions": start}}
    out = compiled(fixed)(params, IMAGES, T)
    np.testing.assert_allclose(compiled(learned)(both, IMAGES, T), out, atol=1e-5 * np.abs(out).max())
    with pytest.raises(ValueError, match="those of 6 tokens, got 16"):
        jax.eval_shape(learned.apply, both, jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))
    assert jax.eval_shape(fixed.apply, params, jnp.zeros((1, 8, 8, 3)), jnp.zeros(1)).shape == (1, 8, 8, 3)


@pytest.mark.slow
def test_remat_has_the_same_parameters_and_gradients_and_keeps_less(random_params):
    nets = {remat: DiT(**SMALL, num_classes=3, remat=remat) for remat in (False, True)}
    params = random_params(nets[False], IMAGES, T)
    square = lambda net: lambda params: jnp.square(net.apply(params, IMAGES, T, LABELS)).sum()
    chex.assert_trees_all_equal_shapes(params, jax.eval_shape(nets[True].init, jax.random.key(0), IMAGES, T))
    gradients = [jax.jit(jax.grad(square(net)))(params) for net in nets.values()]
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))
    chex.assert_trees_all_close(*gradients, rtol=1e-4, atol=1e-6 * largest)
    kept = {}
    for remat, net in nets.items():
        pull = jax.eval_shape(lambda params, net=net: jax.vjp(square(net), params)[1], params)
        kept[remat] = sum(leaf.size for leaf in jax.tree.leaves(pull))
    assert kept[True] < 0.7 * kept[False]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fully sharded", "data parallel"])
def test_eight_devices_have_the_losses_of_one(how):
    net, optimizer = DiT(**SMALL, num_classes=3), optax.adam(1e-2)
    x, labels = normal(8, 4, 4, 3), np.arange(8) % 3

    def loss(key, params, batch):
        noise = jax.random.normal(key, batch[0].shape)
        return jnp.square(net.apply(params, batch[0] + noise, jnp.float32(0.3), batch[1]) - noise).mean((1, 2, 3))

    params = jax.jit(net.init)(jax.random.key(0, impl="rbg"), x, jnp.float32(0))
    begin, mesh = training.create_state(jax.random.key(1), params, optimizer), training.data_mesh()
    assert mesh.size == 8

    def losses(layout):
        step, state, batch = training.make_train_step(loss, optimizer, layout=layout), begin, (x, labels)
        if layout is not None:
            state, batch = training.place(begin, layout), jax.device_put(batch, training.batch_sharding(mesh))
        found = []
        for _ in range(4):
            state, metrics = step(state, batch)
            found.append(float(metrics["loss"]))
        return found, state

    layout = training.replicated(mesh) if how == "data parallel" else training.fully_sharded(begin, mesh, min_size=16)
    many, state = losses(layout)
    begin = training.create_state(jax.random.key(1), params, optimizer)
    np.testing.assert_allclose(many, losses(None)[0], rtol=1e-5)
    assert len(set(many)) == 4
    kernel = state.params["params"]["blocks"]["mlp_1"]["kernel"]
    part = kernel.addressable_shards[0].data.size
    assert part == (kernel.size // 8 if how == "fully sharded" else kernel.size)


@pytest.mark.slow
def test_a_set_of_points_with_a_common_mean_is_denoised_as_well_as_can_be():
    """Points x_i = m + s u_i with m, u_i ~ N(0, 1) at one noise level: the posterior mean is linear and known."""
    s, alpha, sigma = 0.3, math.sqrt(0.5), math.sqrt(0.5)
    net, optimizer = SetDiT(32, 2, 2), optax.adam(optax.cosine_decay_schedule(4e-3, 800))
    sizes = jnp.array([2, 8])

    def draw(key, n):
        keys = jax.random.split(key, 4)
        x0 = jax.random.normal(keys[0], (n, 1, 1)) + s * jax.random.normal(keys[1], (n, 8, 1))
        eps = jax.random.normal(keys[2], (n, 8, 1))
        return alpha * x0 + sigma * eps, eps, jnp.arange(8) < sizes[jnp.arange(n) % 2][:, None]

    def loss(key, params, batch):
        x, eps, mask = draw(key, 256)
        error = jnp.square(net.apply(params, x, 0.5, mask=mask) - eps)[..., 0]
        return (error * mask).sum(-1) / mask.sum(-1)

    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 8, 1)), jnp.zeros(1))
    state = training.create_state(jax.random.key(1), params, optimizer)
    step = training.make_train_step(loss, optimizer)
    for _ in range(800):
        state, _ = step(state, ())
    x, eps, mask = draw(jax.random.key(2), 20_000)
    error = np.asarray(jnp.square(jax.jit(net.apply)(state.params, x, 0.5, mask=mask) - eps)[..., 0])
    for i, n in enumerate(sizes.tolist()):
        precision = np.linalg.inv(alpha**2 * (np.ones((n, n)) + s**2 * np.eye(n)) + sigma**2 * np.eye(n))
        least = 1 - sigma**2 * np.trace(precision) / n
        by_itself = 1 - sigma**2 / (alpha**2 * (1 + s**2) + sigma**2)
        found = error[i::2, :n].mean(-1)
        assert found.mean() > least - 4 * found.std() / len(found) ** 0.5
        assert found.mean() < least + 0.05 * (by_itself - least) + 4 * found.std() / len(found) ** 0.5


def test_the_implementation_of_attention_is_an_option(monkeypatch):
    """It is passed on, with half-precision arrays, which cuDNN needs."""
    calls, plain = [], jax.nn.dot_product_attention

    def recorded(queries, keys, values, *, implementation, **options):
        calls.append((implementation, queries.dtype.name, keys.dtype.name, values.dtype.name))
        return plain(queries, keys, values, **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", recorded)
    for attention, dtype in (("cudnn", jnp.bfloat16), ("xla", None)):
        net = DiT(16, 2, 2, attention=attention, dtype=dtype, rotary=True, qk_norm=True)
        jax.eval_shape(net.init, jax.random.key(0), IMAGES, T)
    assert set(calls) == {("cudnn", *["bfloat16"] * 3), ("xla", *["float32"] * 3)}


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_cudnns_attention_is_lowered(masked, monkeypatch):
    """Its checks of shapes and masks are passed, without a GPU; a text of odd length is read otherwise."""
    cudnn = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{cudnn}.check_cudnn_version", lambda: 91500)
    monkeypatch.setattr(f"{cudnn}.check_compute_capability", lambda capability: True)
    settings = {"attention": "cudnn", "dtype": jnp.bfloat16, "qk_norm": True, "num_tokens": 5, "sequence_length": 3}
    net = SequenceDiT(16, 2, 2, rotary=True, **settings)
    params = jax.eval_shape(net.init, jax.random.key(0), SIGNALS, T)
    options = {"mask": MASK} if masked else {}
    gradient = jax.jit(jax.grad(lambda params: jnp.square(net.apply(params, SIGNALS, T, **options)).sum()))
    forward = "__cudnn$fmhaScaleBiasSoftmax" if masked else "__cudnn$fmhaSoftmax"
    targets = [forward, f"{forward}Backward"]
    unstable = [jax.export.DisabledSafetyCheck.custom_call(target) for target in targets]
    program = jax.export.export(gradient, platforms=("cuda",), disabled_checks=unstable)(params).mlir_module()
    assert [program.count(f"@{target}(") for target in targets] == [1, 1]


def test_attention_reads_a_sequence(random_params):
    """Cross-attention in explicit softmax, with a mask of keys."""
    net, x, sequence, mask = MultiHeadAttention(2), normal(2, 5, 8), normal(2, 4, 6), np.arange(4) < [[3], [4]]
    params = random_params(net, x, sequence)
    p = params["params"]
    expected = np.zeros((2, 5, 8)) + p["out"]["bias"]
    for b in range(2):
        for head in range(2):
            q = x[b] @ p["queries"]["kernel"][:, 0, head] + p["queries"]["bias"][0, head]
            kernel, bias = p["keys_values"]["kernel"], p["keys_values"]["bias"]
            k, v = (sequence[b, mask[b]] @ kernel[:, i, head] + bias[i, head] for i in range(2))
            weights = np.exp(q @ k.T / 2)
            expected[b] += weights / weights.sum(1, keepdims=True) @ v @ p["out"]["kernel"][4 * head : 4 * head + 4]
    np.testing.assert_allclose(jax.jit(net.apply)(params, x, sequence, mask=mask), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (lambda: DiT(16, 0, 2), IMAGES, "at least 1, got 16, 0, 2 and 4"),
        (lambda: DiT(16, 1, 3), IMAGES, "3 heads share the width equally: it must be a multiple, got 16"),
        (lambda: DiT(18, 1, 3), IMAGES, "multiple of 4, got 18"),
        (lambda: DiT(24, 1, 4, rotary=True), IMAGES, "heads whose width is a multiple of 4, got 6"),
        (lambda: DiT(**SMALL, patch=4), IMAGES, "blocks of 4×4 pixels do not fill an image of 4×6"),
        (lambda: DiT(**SMALL, positions="sine"), IMAGES, '"sincos", "learned" or "none", got \'sine\''),
        (lambda: DiT(**SMALL, attention="flash"), IMAGES, 'None, "xla" or "cudnn", got \'flash\''),
        (lambda: DiT(**SMALL, attention="cudnn"), IMAGES, "bfloat16 or float16, got dtype=None"),
        (lambda: DiT(**SMALL, attention="cudnn", dtype=jnp.float32), IMAGES, "bfloat16 or float16"),
        (
            lambda: DiT(24, 1, 2, attention="cudnn", dtype="bfloat16"),
            IMAGES,
            "heads of a width that is a multiple of 8, got 12",
        ),
        (lambda: DiT(**SMALL, num_tokens=3), IMAGES, "both num_tokens and sequence_length, got 3 and None"),
        (lambda: DiT(**SMALL, num_tokens=3, sequence_length=2, num_classes=4), IMAGES, "only one"),
        (
            lambda: DiT(**SMALL, num_tokens=3, sequence_length=2, sequence_vector=False, cross_attention=False),
            IMAGES,
            "nothing reads the text",
        ),
        (lambda: SequenceDiT(**SMALL, patch=4), SIGNALS, "pieces of 4 do not fill a sequence of length 6"),
        (lambda: SequenceDiT(**SMALL), SIGNALS[..., 0], r"signals \(batch, length, channels\), got shape \(4, 6\)"),
        (lambda: SequenceDiT(**SMALL), SIGNALS.astype(int), "floating-point signals"),
        (
            lambda: SequenceDiT(**SMALL, vocabulary=5),
            SIGNALS,
            r"integer tokens \(batch, length\), got float32 \(4, 6, 3\)",
        ),
        (lambda: SequenceDiT(**SMALL, vocabulary=5, patch=2), LABELS[:, None], "patch must be 1, got 2"),
        (lambda: SetDiT(**SMALL), IMAGES, r"sets of points \(batch, points, d\), got shape \(4, 4, 6, 3\)"),
    ],
)
def test_refusals(make, x, message, unchecked):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make().init, jax.random.key(0), x, T)


@pytest.mark.parametrize("mask", [MASK[:, :5], MASK.astype(np.float32), MASK[0]])
def test_masks_of_another_form_are_refused(mask):
    with pytest.raises(ValueError, match=r"a mask is boolean, of shape \(4, 6\), True where x holds data"):
        jax.eval_shape(SetDiT(**SMALL).init, jax.random.key(0), SETS, T, mask=mask)
