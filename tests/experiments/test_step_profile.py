"""The profile of a training step: names, kinds and sums."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark import step_profile
from experiments.benchmark.step_profile import KINDS, PEER_KINDS, kind_of, operation_names, rows


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jit(step)/jvp(UNet)/up_0_0/conv_1/conv_general_dilated", "convolutions"),
        ("jit(step)/transpose(jvp(UNet))/up_0_0/conv_1/transpose", "layouts of convolutions"),
        ("jit(step)/transpose(jvp(UNet))/up_0_0/norm_0/reduce_sum", "normalization"),
        ("jit(step)/jvp(UNet)/up_0_0/jit(silu)/mul", "SiLU"),
        ("jit(step)/jvp(UNet)/middle_attention/vmap()/div", "attention"),
        ("jit(step)/jvp(UNet)/up_0_0/shortcut/dot_general", "rest of the network"),
        ("jit(step)/add", "optimiser, noise, loss"),
    ],
)
def test_operations_of_a_step_have_their_kind(name, kind):
    assert kind_of(name, KINDS) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::convolution_backward", "convolutions"),
        ("aten::native_group_norm", "normalization"),
        ("aten::silu_backward", "SiLU"),
        ("Optimizer.step#Adam.step", "optimiser, noise, loss"),
        ("aten::addmm", "rest of the network"),
    ],
)
def test_operations_of_pytorch_have_their_kind(name, kind):
    assert kind_of(name, PEER_KINDS) == kind


def test_a_compiled_program_names_where_its_operations_stem_from():
    @jax.jit
    def program(x):
        with jax.named_scope("product"):
            return x @ x

    names = operation_names(program.lower(jnp.ones((64, 64))).compile().as_text())
    assert any("product" in name and "dot_general" in name for name in names.values())


def test_the_sum_is_that_of_the_kinds():
    ours = {("convolutions", False): 3.0, ("convolutions", True): 5.0, ("SiLU", False): 1.0}
    found = {row["operations"]: row for row in rows(ours, {})}
    assert found["convolutions"] == {"operations": "convolutions", "JAX, forward": 3.0, "JAX, backward": 5.0}
    assert found["sum"] == {"operations": "sum", "JAX, forward": 4.0, "JAX, backward": 5.0}
    assert found["attention"]["JAX, forward"] == 0


def test_sizes_must_be_positive():
    with pytest.raises(SystemExit, match="all numbers must be positive"):
        step_profile.main(batch_size=0)


@pytest.mark.slow
def test_a_step_of_a_small_network_is_profiled(capsys):
    step_profile.main(features=8, multipliers=(1,), size=8, batch_size=8, steps=2, cores=1)
    printed = capsys.readouterr().out
    assert all(kind in printed for kind in KINDS)
    (total,) = [line for line in printed.splitlines() if "sum" in line]
    assert all(float(cell) > 0 for cell in total.replace("│", " ").split()[1:])
