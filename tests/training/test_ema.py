import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxgen.training import power_ema, power_gamma, update_ema, warmup_ema

T = 40


def weights(ema):
    """The weight of each of T successive values in the average, and last that of the start, from one-hot vectors."""
    average = jnp.zeros(T + 1).at[T].set(1.0)
    for t in range(T):
        average = update_ema(average, jnp.zeros(T + 1).at[t].set(1.0), ema(jnp.int32(t + 1)))
    return np.asarray(average)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_warm_up_is_the_unrolled_average(decay):
    decays = np.minimum(decay, (1 + np.arange(1, T + 1)) / (10 + np.arange(1, T + 1)))
    after = np.array([np.prod(decays[t + 1 :]) for t in range(T)])
    expected = [*(1 - decays) * after, np.prod(decays)]
    np.testing.assert_allclose(weights(warmup_ema(decay)), expected, rtol=2e-6)


@pytest.mark.parametrize("gamma", [0.0, 6.94, 16.97])
def test_power_ema_weighs_by_the_power_profile(gamma):
    # each step holds the part of the profile t^gamma that falls into its unit of time; the start holds none
    profile = [integrate.quad(lambda t: (t / T) ** gamma, i, i + 1, epsabs=0)[0] for i in range(T)]
    expected = np.array([*profile, 0.0]) / np.sum(profile)
    np.testing.assert_allclose(weights(power_ema(gamma)), expected, rtol=2e-5, atol=1e-9)


def test_power_ema_keeps_its_digits_late():
    n = 1_000_000
    decay = float(power_ema(6.94)(jnp.int32(n)))
    # one ulp of a float32 just under 1 is 6e-8; (1 - 1/n)^7.94 computed naively is eight times worse
    assert abs(decay - (1 - 1 / n) ** 7.94) < 6e-8


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_power_gamma_gives_the_width(width):
    # t^gamma on [0, 1] is a beta distribution
    assert stats.beta(power_gamma(width) + 1, 1).std() == pytest.approx(width, rel=1e-9)


def test_power_gamma_of_the_paper():
    assert power_gamma(0.05) == pytest.approx(16.97, abs=5e-3)
    assert power_gamma(0.10) == pytest.approx(6.94, abs=5e-3)


def test_update_keeps_dtypes_and_fixed_points():
    ema = {"w": jnp.float32([0.1, 0.7]), "count": jnp.int32(3)}
    params = {"w": jnp.bfloat16([1.0, 2.0]), "count": jnp.int32(4)}
    new = update_ema(ema, params, 0.9)
    assert new["w"].dtype == jnp.float32
    np.testing.assert_allclose(new["w"], 0.9 * np.float32([0.1, 0.7]) + 0.1 * np.float32([1, 2]), rtol=1e-6)
    assert new["count"] == 4
    np.testing.assert_array_equal(update_ema(ema, ema, 0.999)["w"], ema["w"])


@pytest.mark.parametrize(
    ("make", "value"),
    [(warmup_ema, 1.0), (warmup_ema, -0.1), (power_ema, -1.0), (power_gamma, 0.0), (power_gamma, 0.3)],
)
def test_refuses_values_out_of_range(make, value):
    with pytest.raises(ValueError, match=str(value)):
        make(value)
