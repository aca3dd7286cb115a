"""How experiments train: what their flags make of the state, the batches and the calls."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from oracles import slow

from experiments import launch, training
from experiments.config import TrainingConfig

CONFIG = TrainingConfig(preset="smoke", steps=40, batch_size=8, learning_rate=0.05, progress=False)
DATA = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)


def loss(key, params, batch):
    return ((batch[0] @ params["w"]) ** 2).mean(-1)


@pytest.fixture
def seen(monkeypatch):
    """What `fit` is given."""
    calls, fit = [], training.fit

    def spy(step, state, batches, **how):
        calls.append((jax.tree.map(lambda x: x.sharding, state), batches, how))
        return fit(step, state, batches, **how)

    monkeypatch.setattr(training, "fit", spy)
    return calls


def test_a_run_on_many_devices_has_its_directory_too(tmp_path):
    config = replace(CONFIG, runs=tmp_path, data_parallel=True)
    assert launch.begin("some", config).parent == tmp_path / "some"
    with pytest.raises(launch.BadInput, match="--batch-size 12 cannot be split over 8 devices"):
        launch.begin("some", replace(config, batch_size=12))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "state", "batch"),
    [
        slow({}, None, None),
        slow({"data_parallel": True}, PartitionSpec(), PartitionSpec("data")),
        ({"fully_sharded": True}, PartitionSpec("data"), PartitionSpec("data")),
    ],
)
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_flags_become_layouts(tmp_path, seen, flags, state, batch, steps_per_call):
    config = replace(CONFIG, steps_per_call=steps_per_call, **flags)
    params = {"w": jnp.ones((64, 64))}
    trained = training.train_network(
        config, params, loss, (DATA,), tmp_path, held_out_loss=lambda params: params["w"].sum(), seed=0
    )
    ((layout, batches, how),) = seen
    for of in (layout.params, layout.ema, layout.opt_state[1][0].mu):
        assert getattr(of["w"], "spec", None) == state
    assert getattr(batches(0)[0].sharding, "spec", None) == batch
    assert how["steps_per_call"] == steps_per_call
    # no call is cut short by the log or the evaluations
    assert how["log_every"] % steps_per_call == how["evaluate_every"] % steps_per_call == 0
    assert {len(x.devices()) for x in jax.tree.leaves((trained.params, trained.averaged))} == {1}
    assert trained.history["loss"][1][-1] < 0.8 * trained.history["loss"][1][0]
