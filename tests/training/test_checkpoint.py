import gc
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jaxtyping import PyTree
from oracles import slow

from jaxgen.training import (
    CheckpointMismatch,
    Checkpoints,
    DirectoryInUse,
    TrainState,
    checkpoint,
    create_state,
    data_mesh,
    place,
    replicated,
)

# orbax's readers complain of a damaged file once more when they are collected: here, and not in some later test
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OPTIMIZER = optax.adamw(1e-3)


@pytest.fixture(autouse=True)
def collect():
    yield
    gc.collect()


def state_at(step, width=3, optimizer=OPTIMIZER):
    params = {"dense": {"kernel": jnp.arange(2.0 * width).reshape(2, width) * jnp.pi, "bias": jnp.ones(width) / 3}}
    state = create_state(jax.random.fold_in(jax.random.key(5), step), params, optimizer)
    return state.replace(step=jnp.int32(step), ema=jax.tree.map(lambda x: x / (step + 7), state.ema))


def saved(directory, *steps, state_at=state_at, **options):
    """Save the states of these steps."""
    with Checkpoints(directory, **options) as checkpoints:
        for step in steps:
            checkpoints.save(state_at(step))


def bits(tree):
    """Arrays as bytes, so that equal means equal bit for bit, type for type."""
    raw = lambda x: np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
    return jax.tree.map(lambda x: (str(x.dtype), x.shape, raw(x).tobytes()), tree)


def test_restores_bit_for_bit(tmp_path):
    state = state_at(12)
    state = state.replace(
        params={
            **state.params,
            "half": jnp.bfloat16([1.1, -0.0, jnp.nan]),
            "nested": (jnp.int8([3]), [jnp.bool_(True)], {}, None),
            "keys": jax.random.split(jax.random.key(0, impl="rbg"), 3),
            "tiny": jnp.float32(1e-45),
        }
    )
    with Checkpoints(tmp_path / "new" / "run") as checkpoints:
        checkpoints.save(state)
    zeros = state.replace(step=jnp.int32(0), key=jax.random.key(99))
    restored = Checkpoints(tmp_path / "new" / "run").restore(zeros)
    assert isinstance(restored, TrainState)
    assert bits(restored) == bits(state)
    assert isinstance(restored.params["nested"], tuple)
    # the key is a key again
    np.testing.assert_array_equal(jax.random.uniform(restored.key, 3), jax.random.uniform(state.key, 3))


def test_save_does_not_wait_and_does_not_see_later_steps(tmp_path):
    advance = jax.jit(lambda s: s.replace(step=s.step + 1, params=s.params + 1), donate_argnums=0)
    big = TrainState(jnp.int32(1), jnp.zeros(5_000_000), None, None, None)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(big)
        for _ in range(10):  # into the very buffers that are being written
            big = advance(big)
        jax.block_until_ready(big)
        restored = checkpoints.restore(big)
    assert restored.step == 1
    np.testing.assert_array_equal(restored.params, 0)
    np.testing.assert_array_equal(big.params, 10)


def test_plain_numbers_come_back_as_arrays(tmp_path):
    state = TrainState(step=4, params={"scale": 2.5, "table": np.arange(3)}, opt_state=None, ema=None, key=None)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        restored = checkpoints.restore(state)
    assert restored.step == 4
    assert restored.params["scale"] == 2.5
    np.testing.assert_array_equal(restored.params["table"], np.arange(3))


def test_keeps_the_newest(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step is None
        for step in (1, 5, 10, 11):
            checkpoints.save(state_at(step))
        checkpoints.wait()
        assert checkpoints.steps == [10, 11]
        assert checkpoints.latest_step == 11
        assert checkpoints.restore(state_at(0)).step == 11
        assert checkpoints.restore(state_at(0), step=10).step == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "10", "11"]


def test_saving_a_step_twice_keeps_the_first(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(3))
        checkpoints.save(state_at(3).replace(key=jax.random.key(0)))
        assert bits(checkpoints.restore(state_at(0))) == bits(state_at(3))


def test_saves_of_two_threads_begin_one_after_the_other(tmp_path, monkeypatch):
    """Orbax numbers the saves of a process and reads the number again later, by then perhaps that of another save."""
    begin, under_way, most = ocp.CheckpointManager.save, [], []

    def watched(*args, **options):
        under_way.append(None)
        time.sleep(0.1)
        most.append(len(under_way))
        try:
            return begin(*args, **options)
        finally:
            under_way.pop()

    monkeypatch.setattr(ocp.CheckpointManager, "save", watched)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: saved(tmp_path / name, 1, 2), "ab"))
    assert most == [1] * 4
    assert all(bits(Checkpoints(tmp_path / name).restore(state_at(0))) == bits(state_at(2)) for name in "ab")


def test_restores_onto_other_devices(tmp_path):
    saved(tmp_path, 3)
    mesh = data_mesh()
    spread = Checkpoints(tmp_path).restore(place(state_at(0), replicated(mesh)))
    assert all(len(x.devices()) == 8 and x.is_fully_replicated for x in jax.tree.leaves(spread))
    assert bits(spread) == bits(state_at(3))
    # and from shapes alone, onto the default device
    shapes = jax.eval_shape(lambda: state_at(0))
    alone = Checkpoints(tmp_path).restore(shapes)
    assert all(x.devices() == {jax.devices()[0]} for x in jax.tree.leaves(alone))
    assert bits(alone) == bits(state_at(3))


def test_refuses_another_architecture(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(3))
        with pytest.raises(CheckpointMismatch, match="another architecture") as error:
            checkpoints.restore(state_at(0, width=4))
        assert f"{tmp_path}/3" in str(error.value)
        assert "params/dense/kernel: expected float32[2,4], found float32[2,3]" in str(error.value)
        assert "… and 2 more" in str(error.value)
        assert "configuration it was trained with" in str(error.value)

        more = state_at(0)
        more.params["head"] = jnp.zeros(2)
        with pytest.raises(ValueError, match=r"params/head: expected float32\[2\], found nothing"):
            checkpoints.restore(more)
        with pytest.raises(ValueError, match=r"opt_state/0/mu/dense/bias: expected nothing, found float32\[3\]"):
            checkpoints.restore(state_at(0, optimizer=optax.sgd(0.1)))
        half = state_at(0)
        half = half.replace(ema=jax.tree.map(lambda x: x.astype(jnp.bfloat16), half.ema))
        with pytest.raises(ValueError, match=r"ema/dense/bias: expected bfloat16\[3\], found float32\[3\]"):
            checkpoints.restore(half)
        with pytest.raises(ValueError, match=r"key: expected key<rbg>\[\], found key<fry>\[\]"):
            checkpoints.restore(state_at(0).replace(key=jax.random.key(0, impl="rbg")))


class OlderState(flax.struct.PyTreeNode):
    """A train state as it was before it had a carry."""

    step: PyTree
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    key: PyTree


def test_a_checkpoint_older_than_a_field_that_holds_nothing_is_restored(tmp_path):
    state = state_at(3)
    older = OlderState(state.step, state.params, state.opt_state, state.ema, state.key)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(older)
        for carry in (None, {}, ()):
            assert bits(checkpoints.restore(state_at(0).replace(carry=carry))) == bits(state.replace(carry=carry))
        assert bits(checkpoints.restore(older.replace(step=jnp.int32(0)))) == bits(older)
        with pytest.raises(CheckpointMismatch, match=r"carry: expected float32\[2\], found nothing"):
            checkpoints.restore(state_at(0).replace(carry=jnp.zeros(2)))


def test_missing_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist.*without --resume"):
        Checkpoints(tmp_path / "nowhere").restore(state_at(0))
    assert not (tmp_path / "nowhere").exists()  # asking makes nothing
    with pytest.raises(FileNotFoundError, match="holds none"):
        Checkpoints(tmp_path).restore(state_at(0))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(3))
        with pytest.raises(FileNotFoundError, match=r"step 4 .* steps \[3\]"):
            checkpoints.restore(state_at(0), step=4)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_parameters_are_restored_by_name_without_the_optimiser(tmp_path, caplog):
    def state(step):
        state = state_at(step)
        return state.replace(params={**state.params, "half": (jnp.bfloat16([step, 1.1]), state.key)})

    saved(tmp_path, 1, 2, state_at=state)
    found = Checkpoints(tmp_path)
    assert bits(found.restore_params()) == bits(state_at(2).ema)
    params = found.restore_params("params", step=1)
    assert bits(params) == bits({**state_at(1).params, "half": [jnp.bfloat16([1, 1.1]), state_at(1).key]})
    assert bits(found.restore_params("params/dense/bias")) == bits(state_at(2).params["dense"]["bias"])
    assert bits(found.restore_params("params/half/0")) == bits(jnp.bfloat16([2, 1.1]))
    with pytest.raises(CheckpointMismatch, match=rf"{tmp_path}/2 holds no 'weights', only \['ema', 'params'\]"):
        found.restore_params("weights")
    with pytest.raises(FileNotFoundError, match=r"step 7 .* steps \[1, 2\]"):
        found.restore_params(step=7)
    damage(tmp_path / "2")
    assert bits(Checkpoints(tmp_path).restore_params()) == bits(state_at(1).ema)
    assert f"{tmp_path}/2 cannot be read" in caplog.text


def test_a_directory_that_looks_like_a_checkpoint_is_refused_and_not_read(tmp_path):
    saved(tmp_path, 1)
    (tmp_path / "050").mkdir()
    stray = Checkpoints(tmp_path)
    assert stray.steps == [1]
    assert stray.restore(state_at(0)).step == 1
    for use in (stray.claim, lambda: stray.save(state_at(2))):
        with pytest.raises(ValueError, match=rf"{tmp_path} holds 050, which is no checkpoint .*: move it away"):
            use()


def damage(directory: Path):
    for file in directory.rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[:20])


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    saved(tmp_path, 1, 2, 3, keep=2)
    damage(tmp_path / "3")
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert bits(checkpoints.restore(state_at(0))) == bits(state_at(2))
        assert f"{tmp_path}/3 cannot be read" in caplog.text
        assert checkpoints.latest_step == 2
        assert (tmp_path / "3").exists()  # reading changes nothing
        checkpoints.save(state_at(3))  # the run reaches it again
        assert bits(checkpoints.restore(state_at(0))) == bits(state_at(3))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "2", "3", "3.damaged"]


def test_no_damaged_checkpoint_is_deleted(tmp_path):
    for _ in range(3):
        with Checkpoints(tmp_path) as checkpoints:
            if checkpoints.steps:
                checkpoints.restore(state_at(0))
            for step in (1, 2):
                checkpoints.save(state_at(step))
        damage(tmp_path / "2")
    assert {"2", "2.damaged", "2.damaged2"} <= {p.name for p in tmp_path.iterdir()}


def test_a_passing_error_is_no_damage(tmp_path, monkeypatch, caplog):
    saved(tmp_path, 1, 2)
    restore, failures = ocp.CheckpointManager.restore, [OSError(24, "Too many open files")]

    def failing(self, *args, **kwargs):
        if failures:
            raise failures.pop()
        return restore(self, *args, **kwargs)

    monkeypatch.setattr(ocp.CheckpointManager, "restore", failing)
    monkeypatch.setattr(checkpoint, "_RETRY_DELAY", 0.01)
    assert bits(Checkpoints(tmp_path).restore(state_at(0))) == bits(state_at(2))
    assert not caplog.text


def test_a_checkpoint_under_the_number_of_another_is_passed_over(tmp_path, caplog):
    saved(tmp_path, 1, 2)
    shutil.copytree(tmp_path / "1", tmp_path / "9")
    assert bits(Checkpoints(tmp_path).restore(state_at(0))) == bits(state_at(2))
    assert "9 cannot be read (it is of step 1" in caplog.text


def flipped(good, rng):
    data = bytearray(good)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_a_flipped_bit_is_never_restored(tmp_path, caplog, daily):
    def state(step):  # with an array so large that it gets a file of its own
        return state_at(step).replace(carry={"noise": jax.random.normal(jax.random.key(step), (5000,))})

    saved(tmp_path, 1, 2, state_at=state)
    rng, passed_over, files = random.Random(0), [], [p for p in (tmp_path / "2").rglob("*") if p.is_file()]
    for file in files:
        good = file.read_bytes()
        for _ in range(1 if daily else 5):
            file.write_bytes(flipped(good, rng))
            caplog.clear()
            restored = Checkpoints(tmp_path).restore(state(0))
            # either it did not matter or the one before it is used, with a word
            assert bits(restored) == bits(state(int(restored.step)))
            if restored.step == 1:
                assert f"{tmp_path}/2 cannot be read" in caplog.text
                passed_over.append(caplog.text)
        file.write_bytes(good)
    # what orbax sees by itself, and what only the checksums see
    assert daily or any("changed since it was written: carry/noise" in text for text in passed_over)
    assert len(passed_over) > (3 if daily else 15)


@pytest.mark.parametrize(
    ("was", "becomes"), [("float32[2,3]", "float32[2,2]"), slow("float32[3]", "float16[3]"), slow("fry", "rbg")]
)
def test_a_changed_manifest_is_damage_and_not_another_architecture(tmp_path, caplog, was, becomes):
    saved(tmp_path, 1, 2)
    manifest = tmp_path / "2" / "_CHECKPOINT_METADATA"
    manifest.write_text(manifest.read_text().replace(was, becomes, 1))
    assert bits(Checkpoints(tmp_path).restore(state_at(0))) == bits(state_at(1))
    assert f"{tmp_path}/2 cannot be read (its manifest changed since it was written)" in caplog.text


def test_a_key_read_as_numbers_is_damage(tmp_path, caplog):
    saved(tmp_path, 1, 2)
    kinds = tmp_path / "2" / "default" / "array_metadatas" / "process_0"
    assert "random_key_impl" in kinds.read_text()
    kinds.write_text(kinds.read_text().replace("random_key_impl", "random_key_imp1"))
    assert bits(Checkpoints(tmp_path).restore(state_at(0))) == bits(state_at(1))
    assert f"{tmp_path}/2 cannot be read (changed since it was written: key)" in caplog.text


def test_what_changes_on_its_way_to_the_disk_is_noticed(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(1))
        # the arrays are written as they are at step 3, under a manifest of step 2
        other = state_at(3).replace(step=jnp.int32(2))
        save = checkpoints._writer.save
        change = lambda step, args, **rest: save(step, args=type(args)(other), **rest)
        monkeypatch.setattr(checkpoints._writer, "save", change)
        checkpoints.save(state_at(2))
        checkpoints.wait()
        assert checkpoints.restore(state_at(0)).step == 1


def test_a_checkpoint_without_checksums_is_restored(tmp_path, caplog):
    saved(tmp_path, 3)
    file = tmp_path / "3" / "_CHECKPOINT_METADATA"
    metadata = json.loads(file.read_text())
    metadata["custom_metadata"] = metadata["custom_metadata"]["arrays"]  # all there was
    file.write_text(json.dumps(metadata))
    assert bits(Checkpoints(tmp_path).restore(state_at(0))) == bits(state_at(3))
    assert "checkpoint" not in caplog.text
    with pytest.raises(CheckpointMismatch, match="another architecture"):
        Checkpoints(tmp_path).restore(state_at(0, width=4))


@pytest.mark.parametrize(
    "missing", ["_CHECKPOINT_METADATA", *map(slow, ("default/_METADATA", "default/manifest.ocdbt"))]
)
def test_a_missing_file_is_damage_and_not_another_architecture(tmp_path, missing):
    saved(tmp_path, 1, 2)
    (tmp_path / "2" / missing).unlink()
    assert Checkpoints(tmp_path).restore(state_at(0)).step == 1


def test_one_run_at_a_time(tmp_path):
    with Checkpoints(tmp_path) as first:
        first.claim()
        first.claim()
        first.save(state_at(1))
        first.wait()
        second = Checkpoints(tmp_path)
        for use in (second.claim, lambda: second.save(state_at(2))):
            with pytest.raises(DirectoryInUse, match=rf"{tmp_path} is in use by process {os.getpid()} on .* very one"):
                use()
        assert second.restore(state_at(0)).step == 1  # to read is no matter
        first.save(state_at(2))
    second.save(state_at(3))
    assert second.restore(state_at(0)).step == 3
    second.close()
    assert first.steps == [1, 2, 3]


def test_a_full_disk_is_named_and_loses_nothing(tmp_path):
    def large(step):
        return state_at(step).replace(carry=jax.random.normal(jax.random.key(step), (100_000,)))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(large(1))
        checkpoints.wait()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            checkpoints.save(large(2))
            with pytest.raises(
                OSError, match=r"could not be written \(disk /\S*: [\d.,]+ MB of [\d.,]+ MB free"
            ) as error:
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert f"checkpoint {tmp_path}/2" in str(error.value)
        assert error.value.__cause__ is error.value.__context__ is None  # no chain of tracebacks above the message
        assert f"last good checkpoint is of step 1, in {tmp_path}" in str(error.value)
        assert checkpoints.steps == [1]
        assert bits(checkpoints.restore(large(0))) == bits(large(1))


def test_an_error_says_what_is_saved(tmp_path):
    def notes(error):
        try:
            with Checkpoints(tmp_path) as checkpoints:
                checkpoints.save(state_at(3))
                raise error
        except OSError as caught:
            return getattr(caught, "__notes__", [])

    assert notes(OSError("lost the data")) == [
        f"The last good checkpoint is of step 3, in {tmp_path}: --resume continues from it"
    ]
    assert notes(OSError(f"it says {tmp_path} itself")) == []
    with pytest.raises(ZeroDivisionError) as error, Checkpoints(tmp_path / "none"):
        _ = 1 / 0
    assert error.value.__notes__ == [f"No checkpoint was completed in {tmp_path / 'none'}"]


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    saved(tmp_path, 1, 2)
    damage(tmp_path / "2")
    with pytest.raises(ValueError, match=r"no readable checkpoint .* tried steps \[2\]"):
        Checkpoints(tmp_path).restore(state_at(0), step=2)
    damage(tmp_path / "1")
    with pytest.raises(ValueError, match=r"tried steps \[1, 2\]"):
        Checkpoints(tmp_path).restore(state_at(0))


KILLED_IN_A_SAVE = """
    import os, signal, sys
    import jax, jax.numpy as jnp
    from jaxgen.training import Checkpoints, TrainState

    def state(step):
        return TrainState(jnp.int32(step), jnp.full(1000, step), None, None, jax.random.key(step))

    armed = False

    def die(event, args):
        # the last thing a save does is to rename the finished directory: die just before that
        if armed and event == "os.rename" and os.fspath(args[1]).endswith("/2"):
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints = Checkpoints(sys.argv[1])
    checkpoints.save(state(1))
    checkpoints.wait()
    sys.addaudithook(die)
    armed = True
    checkpoints.save(state(2))
    checkpoints.wait()
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_a_save(tmp_path):
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_IN_A_SAVE), str(tmp_path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert child.returncode == -9
    leftover = [p for p in tmp_path.iterdir() if p.name.startswith("2")]
    assert len(leftover) == 1

    like = TrainState(jnp.int32(0), jnp.zeros(1000, jnp.int32), None, None, jax.random.key(0))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == [1]
        restored = checkpoints.restore(like)
        assert restored.step == 1
        np.testing.assert_array_equal(restored.params, 1)
        assert leftover[0].exists()  # a reader leaves it: it might be a save in progress
        checkpoints.save(restored.replace(step=jnp.int32(3)))
        checkpoints.wait()
        assert not leftover[0].exists()
        chex.assert_trees_all_equal(checkpoints.restore(like).params, restored.params)
