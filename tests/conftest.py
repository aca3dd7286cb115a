"""Eight CPU devices stand in for an accelerator host, so pmap and sharding are tested everywhere."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
