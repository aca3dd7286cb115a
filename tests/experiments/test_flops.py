"""Operations of matrix products and convolutions: numbers by hand, and XLA's own count."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark.flops import matmul_flop
from jaxgen.nets import Conv

X = jnp.zeros((5, 8, 8, 3))


def test_a_matrix_product():
    assert matmul_flop(jnp.matmul, jnp.zeros((7, 4, 6)), jnp.zeros((7, 6, 3))) == 2 * 7 * 4 * 6 * 3


@pytest.mark.parametrize(("strides", "sites"), [(1, 64), (2, 16)])
def test_a_convolution(strides, sites):
    net = Conv(4, (3, 3), strides)
    params = net.init(jax.random.key(0), X)
    assert matmul_flop(net.apply, params, X) == 2 * 5 * sites * 9 * 3 * 4
    # the gradients in both arguments take as many products as the convolution, each
    gradient = jax.grad(lambda params, x: (net.apply(params, x) ** 2).sum(), (0, 1))
    assert matmul_flop(gradient, params, X) == 3 * matmul_flop(net.apply, params, X)


def test_loops_and_branches():
    product = lambda x: x @ x
    x, once = jnp.zeros((4, 4)), 2 * 4**3
    assert matmul_flop(lambda x: jax.lax.scan(lambda x, _: (product(x), None), x, length=6)[0], x) == 6 * once
    assert matmul_flop(lambda x: jax.lax.cond(x[0, 0] > 0, product, lambda x: product(product(x)), x), x) == 2 * once
    assert matmul_flop(jax.jit(jax.checkpoint(product)), x) == once
    with pytest.raises(ValueError, match="while loop"):
        matmul_flop(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 1, product, x), x)


@pytest.mark.parametrize("strides", [1, 2])
def test_xla_counts_the_same(strides):
    """Without padding, whose zeros XLA leaves out."""
    convolve = lambda x, kernel: jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    kernel = jnp.zeros((3, 3, 3, 4))
    counted = jax.jit(convolve).lower(X, kernel).compile().cost_analysis()["flops"]
    assert matmul_flop(convolve, X, kernel) == counted
