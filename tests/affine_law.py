"""The exact law of a sampler on Gaussian data, where every step is affine in the state and in its noise."""

from unittest import mock

import jax
import jax.flatten_util
import jax.numpy as jnp


def law(sampler, process, denoise, times, mean, variance):
    """Mean and variance of x (one number) after the steps of a grid, begun at N(mean, variance); no randomness.

    The state and carry are one vector y; a step is y -> A y + b + C z, with z at most two standard normal draws. A and
    C are its Jacobians, so the covariance goes to A V Aᵀ + C Cᵀ. Each normal draw of the step is replaced by the next
    entry of z, once per trace: a step that draws in a loop would use one draw throughout, so give it a single move.
    """
    keys = jax.random.split(jax.random.key(0), 1)
    start = jnp.full((1, 1), mean, float)
    first, restore = jax.flatten_util.ravel_pytree((start, sampler.init(start)))

    def step(state, z, t, s):
        draws = iter(z)
        with mock.patch("jax.random.normal", lambda key, shape, dtype: jnp.full(shape, next(draws), dtype)):
            after = sampler.step(keys, process, denoise, t, s, *restore(state))
        return jax.flatten_util.ravel_pytree(after)[0]

    def body(moments, step_times):
        state, covariance = moments
        a, c = jax.jacfwd(step, (0, 1))(state, jnp.zeros(2), *step_times)
        return (step(state, jnp.zeros(2), *step_times), a @ covariance @ a.T + c @ c.T), None

    times = jnp.asarray(times)
    covariance = jnp.zeros((first.size, first.size)).at[0, 0].set(variance)
    (state, covariance), _ = jax.lax.scan(body, (first, covariance), (times[:-1], times[1:]))
    return state[0], covariance[0, 0]
