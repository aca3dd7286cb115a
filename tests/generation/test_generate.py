"""generate(): every image its own key, whatever the batches, the devices, the processes, the kills and the damage."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from generating import drawing, generated, rows, weights
from jax.experimental import io_callback
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import slow
from refusals import refuses

from jaxgen import generation
from jaxgen.core import noise, progress_bar
from jaxgen.generation._fingerprint import fingerprint
from jaxgen.training import batch_sharding, data_mesh

PROGRAM = Path(__file__).parents[1] / "generating.py"
KEY = jax.random.key(7)
generate = partial(generation.generate, progress=False)


def normals(params, keys, cond):
    """Image i is params · z_i and its row of cond: one product, so that it may be asked for bit by bit."""
    x = params * noise(keys, (3,))
    return x if cond is None else jnp.column_stack([x, cond])


def expected(n, params=1.0, cond=None):
    """One image at a time, each by its own key, with no batch in sight."""
    images = np.stack([params * jax.random.normal(jax.random.fold_in(KEY, i), (3,)) for i in range(n)])
    return images if cond is None else np.column_stack([images, np.float32(cond)])


def counting(calls):
    """`normals`, noting in `calls` the first row of the cond of each batch drawn."""

    def note(first):
        calls.append(int(first))
        return np.float32(0)

    return lambda params, keys, cond: (
        normals(params, keys, cond) + io_callback(note, jax.ShapeDtypeStruct((), jnp.float32), cond[0])
    )


def names(directory):
    return sorted(path.name for path in directory.glob("*.npz"))


def log_of(path):
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()]


@pytest.mark.first_by_day
@pytest.mark.parametrize("impl", ["rbg", "threefry2x32", "unsafe_rbg"])
def test_image_i_has_the_key_that_i_is_folded_into(impl):
    """Whatever the batch; keys of another kind, which vmap draws alike, first become threefry keys."""
    key = jax.random.key(7, impl=impl)
    wanted = expected(40) if impl == "threefry2x32" else None
    for batch_size in (7, 64) if wanted is None else (1, 7, 40, 64):
        found = generate(normals, 1.0, key, 40, batch_size=batch_size)
        assert isinstance(found, np.ndarray)
        wanted = found if wanted is None else wanted
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(generate(normals, 1.0, key, 23, batch_size=7), wanted[:23])
    assert len(np.unique(wanted, axis=0)) == 40


def test_each_image_gets_its_own_row_of_cond_and_all_the_params():
    cond = {"a": np.arange(23) * 10.0, "b": jnp.arange(46.0).reshape(23, 2)}

    def draw(params, keys, cond):
        return normals(params["scale"], keys, cond["a"] + cond["b"].sum(axis=1))

    found = generate(draw, {"scale": 2.0}, KEY, 23, batch_size=5, cond=cond)
    np.testing.assert_array_equal(found, expected(23, 2.0, cond["a"] + 4 * np.arange(23) + 1))


@pytest.mark.parametrize("devices", [slow(1), 2, slow(8)])
def test_shards_draw_the_same_images_with_the_params_on_every_device(devices):
    sharding = batch_sharding(data_mesh(jax.devices()[-devices:]))
    seen = []

    def draw(params, keys, cond):
        jax.debug.inspect_array_sharding(keys, callback=lambda found: seen.append(found))
        return normals(params, keys, cond)

    found = generate(draw, jnp.float32(1), KEY, 21, batch_size=8, cond=rows(21), sharding=sharding)
    np.testing.assert_array_equal(found, expected(21, cond=rows(21)))
    assert {(len(s.device_set), s.shard_shape((8,))) for s in seen} == {(devices, (8 // devices,))}


def test_a_mesh_of_two_axes_splits_over_one_and_params_split_over_it_stay_so():
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    params = jax.device_put(jnp.ones(4), NamedSharding(mesh, PartitionSpec("model")))
    specs = []

    def draw(params, keys, cond):
        jax.debug.inspect_array_sharding(params, callback=lambda found: specs.append(found.spec))
        return normals(params.mean(), keys, cond)

    sharding = NamedSharding(mesh, PartitionSpec("data"))
    np.testing.assert_array_equal(generate(draw, params, KEY, 9, batch_size=4, sharding=sharding), expected(9))
    assert specs == [PartitionSpec("model")]


def test_networks_give_the_same_images_up_to_round_off_and_the_same_bits_at_one_batch_size(tmp_path):
    draw = drawing(tmp_path / "log")
    run = partial(generate, draw, weights(), KEY)
    whole = run(50, batch_size=8, cond=rows(50))
    assert whole.std() > 0.1
    np.testing.assert_array_equal(run(37, batch_size=8, cond=rows(37)), whole[:37])
    for options in ({"batch_size": 1}, {"batch_size": 8, "sharding": batch_sharding(data_mesh())}):
        np.testing.assert_allclose(run(50, cond=rows(50), **options), whole, atol=2e-6 * np.abs(whole).max())


def test_one_compilation_whatever_n_and_the_params(caplog):
    def draw_once(params, keys, cond):
        return normals(params, keys, cond)

    with jax.log_compiles():
        for n, params in ((50, 1.0), (7, 2.0), (16, 4.0)):
            found = generate(draw_once, np.float32(params), KEY, n, batch_size=16)
            np.testing.assert_array_equal(found, expected(n, np.float32(params)))
    assert sum("Finished XLA compilation of jit(draw_once)" in message for message in caplog.messages) == 1


def test_the_device_waits_for_neither_host_nor_disk_and_holds_two_batches(tmp_path, monkeypatch):
    """By the arrays alive at each moment, and with a disk that writes nothing before the last image is drawn."""
    module, finished, events = import_module("jaxgen.generation._generate"), threading.Event(), []
    fold_in, fsync = module._fold_in, os.fsync

    def note(event):
        # by address, for an array and its copy on the host may be one
        held = {array.unsafe_buffer_pointer() for array in jax.live_arrays() if array.shape == (4, 31, 17)}
        events.append((event, len(held)))

    def dispatching(key, numbers):
        note("dispatch")
        return fold_in(key, numbers)

    @contextmanager
    def host(*args, **options):
        def show(done, status):
            note("fetched")
            if done == 40:
                finished.set()

        yield show

    def slow_disk(descriptor):
        if not events:  # the manifest comes first
            return
        assert finished.wait(timeout=60), "drawing waited for the disk"
        fsync(descriptor)

    monkeypatch.setattr(module, "_fold_in", dispatching)
    monkeypatch.setattr(module, "progress_bar", host)
    monkeypatch.setattr(os, "fsync", slow_disk)
    generate(lambda params, keys, cond: noise(keys, (31, 17)), 0.0, KEY, 40, batch_size=4, directory=tmp_path)
    assert len(names(tmp_path)) == 10
    # each dispatch makes one more: two at most, and one is under way whenever the host is at work
    middle = [("dispatch", 1), ("fetched", 1)] * 9
    assert events == [("dispatch", 0), *middle, ("fetched", 0)]


def test_trees_of_any_dtype_go_through_the_files(tmp_path, caplog):
    def draw(params, keys, cond):
        z = noise(keys, (2,))
        narrow = {"half": z.astype(jnp.bfloat16), "eighth": z.astype(jnp.float8_e4m3fn)}
        return narrow | {"pair": (z[:, 0], (z > 0)), "signs": z[:, 0] > 0}

    alone = generate(draw, 0.0, KEY, 11, batch_size=4)
    assert alone["half"].dtype == ml_dtypes.bfloat16
    assert alone["pair"][1].dtype == bool
    generate(draw, 0.0, KEY, 7, batch_size=3, directory=tmp_path)
    for _ in range(2):
        found = generate(draw, 0.0, KEY, 11, batch_size=4, directory=tmp_path)
        assert jax.tree.structure(found) == jax.tree.structure(alone)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    assert not caplog.records  # nothing seemed damaged


def test_what_is_there_is_not_drawn_again_whatever_the_batches(tmp_path):
    calls = []
    run = partial(generate, counting(calls), 1.0, KEY, directory=tmp_path / "deep" / "er")
    truth = expected(100, cond=rows(100))

    def drawn(n, batch_size):
        calls.clear()
        np.testing.assert_array_equal(run(n, batch_size=batch_size, cond=rows(n)), truth[:n])
        return calls

    directory = tmp_path / "deep" / "er"
    assert drawn(30, 8) == [0, 8, 16, 24]
    assert names(directory)[-1] == "000000024-000000030.npz"
    before = {path: path.stat() for path in directory.iterdir()}
    assert drawn(30, 8) == []
    assert drawn(30, 7) == []
    assert drawn(20, 8) == []  # fewer: the first ones
    assert drawn(50, 8) == [24, 32, 40, 48]  # more: the rest, the image 30 as the seventh of its batch
    assert "000000030-000000032.npz" in names(directory)
    assert drawn(60, 25) == [50]
    # gaps, and a batch size to which none of them fits
    for name in ("000000008-000000016.npz", "000000030-000000032.npz", "000000048-000000050.npz"):
        (directory / name).unlink()
    assert drawn(100, 11) == [0, 11, 22, 44, 55, 66, 77, 88, 99]
    assert {"000000008-000000011.npz", "000000011-000000016.npz", "000000030-000000032.npz"} < set(names(directory))
    assert drawn(100, 3) == []
    for path, stat in before.items():
        if path.exists() and path.name[:9] not in ("000000008", "000000030"):
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_overlapping_files_are_read_once_each_image(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    truth = generate(normals, 1.0, KEY, 20, batch_size=8, directory=one)
    generate(normals, 1.0, KEY, 20, batch_size=5, directory=other)
    for name in ("000000005-000000010.npz", "000000010-000000015.npz", "000000015-000000020.npz"):
        (other / name).rename(one / name)
    (one / "000000008-000000016.npz").unlink()
    np.testing.assert_array_equal(generate(normals, 1.0, KEY, 20, batch_size=8, directory=one), truth)
    assert "000000008-000000016.npz" not in names(one)


def test_damaged_files_are_drawn_again_with_a_warning(tmp_path, caplog):
    calls = []
    run = partial(generate, counting(calls), 1.0, KEY, 20, batch_size=8, cond=rows(20), directory=tmp_path)
    truth, path = run(), tmp_path / "000000008-000000016.npz"
    data = path.read_bytes()
    at = data.index(truth[12].tobytes()) + 5
    for name, damaged in {
        "empty": b"",
        "half": data[: len(data) // 2],
        "last byte": data[:-1],
        "one bit": data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :],
        "other rows": (tmp_path / "000000016-000000020.npz").read_bytes(),
        "a picture": b"\x89PNG" * 99,
    }.items():
        path.write_bytes(damaged)
        calls.clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            np.testing.assert_array_equal(run(), truth, err_msg=name)
        assert calls == [8]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert re.search(r"000000008-000000016\.npz is damaged \(.+\): its images are drawn again", caplog.text)
        assert path.read_bytes() == data
    np.testing.assert_array_equal(run(), truth)
    assert calls == [8]


def test_a_full_disk_stops_it_and_nothing_is_lost(tmp_path, monkeypatch):
    calls, write, left = [], np.savez, [2]
    run = partial(generate, counting(calls), 1.0, KEY, 100, batch_size=10, cond=rows(100), directory=tmp_path)

    def savez(file, **arrays):
        left[0] -= 1
        if left[0] < 0:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="No space left"):
        run()
    assert names(tmp_path) == ["000000000-000000010.npz", "000000010-000000020.npz"]
    assert sorted(path.name for path in tmp_path.iterdir())[2:] == ["manifest.json"]  # no half of a file
    monkeypatch.setattr(np, "savez", write)
    calls.clear()
    np.testing.assert_array_equal(run(), expected(100, cond=rows(100)))
    assert calls == list(range(20, 100, 10))


def test_a_draw_that_fails_leaves_what_was_drawn_before(tmp_path):
    def work(first):
        if first == 30:
            raise RuntimeError("out of luck")
        return np.float32(0)

    def draw(params, keys, cond):
        return normals(params, keys, cond) + io_callback(work, jax.ShapeDtypeStruct((), jnp.float32), cond[0])

    with pytest.raises(Exception, match="out of luck"):
        generate(draw, 1.0, KEY, 60, batch_size=10, cond=rows(60), directory=tmp_path)
    # of the third batch it depends on the device whether the fourth fails before it is fetched or after
    assert names(tmp_path)[:2] == ["000000000-000000010.npz", "000000010-000000020.npz"]
    assert len(names(tmp_path)) <= 3


def test_old_leftovers_of_the_killed_are_cleared_and_young_ones_are_not(tmp_path):
    generate(normals, 1.0, KEY, 4, batch_size=4, directory=tmp_path)
    old, young = (tmp_path / f".000000004-000000008.npz.{name}.partial" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    generate(normals, 1.0, KEY, 8, batch_size=4, directory=tmp_path)
    assert not old.exists()
    assert young.exists()  # it may be the work of another call


def test_a_directory_of_other_samples_is_refused_before_anything_is_drawn(tmp_path):
    calls = []
    draw = counting(calls)
    run = partial(generate, batch_size=4, directory=tmp_path)
    run(draw, 1.0, KEY, 10, cond=rows(10))
    listing = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls.clear()

    def wider(params, keys, cond):
        return jnp.tile(draw(params, keys, cond), 2)

    def halved(params, keys, cond):
        return draw(params, keys, cond).astype(jnp.bfloat16)

    other, late = rows(12), rows(12)
    other[5], late[11] = 3, 99
    refuses(
        (r"another key \(key threefry2x32 \[0, 7\]", lambda: run(draw, 1.0, jax.random.key(8), 12, cond=rows(12))),
        ("another params", lambda: run(draw, 2.0, KEY, 12, cond=rows(12))),
        (r"another images .*float32\[4\].* there, .*float32\[8\]", lambda: run(wider, 1.0, KEY, 12, cond=rows(12))),
        (r"another images .*float32\[4\].* there, .*bfloat16\[4\]", lambda: run(halved, 1.0, KEY, 12, cond=rows(12))),
        (r"another cond .*int32\[\].* there, .*float32\[\]", lambda: run(draw, 1.0, KEY, 12, cond=rows(12) * 1.0)),
        (r"another images and cond .* \{\} given", lambda: run(normals, 1.0, KEY, 12)),
        ("holds image 5 drawn for another cond.*or take another direct", lambda: run(draw, 1.0, KEY, 12, cond=other)),
        ("holds image 5 drawn for another cond", lambda: run(draw, 1.0, KEY, 7, cond=other[:7])),
    )
    assert calls == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == listing
    # where they agree, they may go on: integers are the same in 64 bits
    run(draw, 1.0, KEY, 12, cond=late.astype(np.int64))
    assert calls == [8]
    np.testing.assert_array_equal(run(draw, 1.0, KEY, 5, cond=other[:5]), expected(5, cond=rows(5)))

    (tmp_path / "manifest.json").write_text('{"key": ')
    with pytest.raises(ValueError, match=r"manifest\.json is damaged.*take another directory"):
        run(draw, 1.0, KEY, 12, cond=late)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"holds batches but no manifest\.json"):
        run(draw, 1.0, KEY, 12, cond=late)


def test_another_draw_is_refused(tmp_path, caplog):
    """By what it computes, not by its name; what cannot be compared gives a warning."""
    shift = jnp.arange(3.0)
    run = partial(generate, params=1.0, key=KEY, n=8, batch_size=4, directory=tmp_path)
    truth = run(lambda params, keys, cond: normals(params, keys, cond) + shift)

    def same(weights, keys, labels):
        return normals(weights, keys, labels) + shift

    np.testing.assert_array_equal(run(same, batch_size=3), truth)
    for other in (
        lambda params, keys, cond: normals(params, keys, cond) - shift,
        lambda params, keys, cond: normals(params, keys, cond) + 2 * shift,
        lambda params, keys, cond: jax.lax.scan(lambda x, _: (x + 1, None), normals(params, keys, cond), length=2)[0],
        lambda params, keys, cond: jax.lax.scan(lambda x, _: (x - 1, None), normals(params, keys, cond), length=2)[0],
        lambda params, keys, cond: jax.jit(jnp.tanh)(normals(params, keys, cond)),
    ):
        with pytest.raises(ValueError, match=r"another draw: .*Continue with that one, or take another directory"):
            run(other)
    of_pairs = lambda params, keys, cond: normals(params, keys.reshape(2, -1).reshape(-1), cond)
    assert not caplog.records
    np.testing.assert_array_equal(run(of_pairs), truth)  # cannot be traced for a batch of one
    assert "cannot be compared" in caplog.text
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    drawn_by = manifest.pop("draw")
    for older in (manifest, manifest | {"draw": drawn_by | {"jax": "0.4"}}):
        path.write_text(json.dumps(older))
        caplog.clear()
        np.testing.assert_array_equal(run(other), truth)
        assert "cannot be compared" in caplog.text


def test_a_fingerprint_tells_how_an_index_out_of_range_is_read():
    x, index = jnp.arange(3.0), jnp.array([5])
    draws = [lambda x, mode=mode: x.at[index].get(mode=mode) for mode in ("clip", "promise_in_bounds", "fill")]
    assert len({fingerprint(draw, x) for draw in draws}) == 3


def test_the_bar_counts_images_from_where_the_last_call_came_to(tmp_path, capsys):
    generation.generate(normals, 1.0, KEY, 12, batch_size=4, directory=tmp_path)
    shown = capsys.readouterr().err
    assert all(words in shown for words in ("sampling", "12/12", "images/s"))
    begun = []

    @contextmanager
    def spy(first, total, **options):
        begun.append((first, total))
        with progress_bar(first, total, **options) as show:
            yield lambda done, status: (begun.append(done), show(done, status))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("jaxgen.generation._generate"), "progress_bar", spy)
        generation.generate(normals, 1.0, KEY, 23, batch_size=4, directory=tmp_path)
    assert begun == [(12, 23), 16, 20, 23]


def test_refusals(unchecked):
    def run(draw=normals, key=KEY, n=10, batch_size=4, **options):
        return lambda: generate(draw, 1.0, key, n, batch_size=batch_size, **options)

    one_key, of_cond = r"one typed key, jax\.random\.key\(seed\)", r"cond\['label'\] must have one row for each of n=10"
    one_row = r"draw must return one row per key, \(4, …\); the array.* shape \("
    split = partial(NamedSharding, data_mesh())
    refuses(
        *((one_key, run(key=key)) for key in (jax.random.PRNGKey(0), jax.random.split(KEY, 10), 3)),
        *((rf"n must be at least 1 image.*got {n}", run(n=n)) for n in (0, -1, 2**32 + 1)),
        *((f"batch_size must be at least 1 image, got {size}", run(batch_size=size)) for size in (0, -4)),
        *((of_cond, run(cond={"label": label})) for label in (rows(9), rows(11), np.float32(1))),
        (one_row, run(lambda params, keys, cond: normals(params, keys, cond)[1:])),
        (one_row, run(lambda params, keys, cond: normals(params, keys, cond).mean())),
        (one_row, run(lambda params, keys, cond: (normals(params, keys, cond), 1.0))),
        ("draw must return an array or a pytree of arrays", run(lambda params, keys, cond: None)),
        ("splits it 8 ways: take 16", run(batch_size=12, sharding=batch_sharding(data_mesh()))),
        ("only the first axis, that of examples", run(batch_size=8, sharding=split(PartitionSpec(None, "data")))),
    )


def program(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", PROGRAM, *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(child):
    out, err = child.communicate(timeout=600)
    assert child.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_killed_at_random_moments_it_draws_nothing_whole_twice_and_ends_in_the_same_bits(tmp_path):
    kills = int(os.environ.get("JAXGEN_KILLS", "20"))
    result = ended(program("kill", tmp_path, kills))
    *killed, last = result["attempts"]
    assert sum(attempt["status"] == 9 for attempt in killed) >= kills // 2
    assert last["status"] == result["whole"] == 0
    drawn, n = log_of(tmp_path / "log"), 240
    assert result["files"] == [f"{lo:09d}-{lo + 8:09d}.npz" for lo in range(0, n, 8)]
    for attempt, after in zip(killed, [*(later["before"] for later in killed[1:]), last["before"]], strict=True):
        assert set(attempt["before"]) <= set(after)  # what is whole stays
    for attempt in result["attempts"]:
        there = {int(name[:9]) for name in attempt["before"]}
        assert there.isdisjoint(first for process, first in drawn if process == attempt["process"])
    np.testing.assert_array_equal(np.load(tmp_path / "resumed.npy"), np.load(tmp_path / "whole.npy"))
    print(f"{len(killed)} kills, {last['leftovers']} half-written files, {len(drawn)} batches drawn for 60")


@pytest.mark.slow
def test_two_processes_share_the_work_and_return_the_whole(tmp_path):
    alone = generated(drawing(tmp_path / "log"), 100, 8)
    # one process came this far, at another batch size
    generated(drawing(tmp_path / "log"), 20, 20, directory=tmp_path / "images")
    (tmp_path / "log").unlink()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [program("join", tmp_path, index, port) for index in range(2)]
    results = [ended(child) for child in children]
    for one in results:
        assert "2 processes meet in a directory: give one, on a disk that all share" in one["refused"][0]
        assert "sharding must be over this process's own devices" in one["refused"][1]
        assert "params must lie on this process's own devices" in one["refused"][2]
    images = [np.load(tmp_path / f"process{index}.npy") for index in range(2)]
    np.testing.assert_array_equal(*images)
    np.testing.assert_allclose(images[0], alone, atol=2e-6 * np.abs(alone).max())
    shares = [[first for process, first in log_of(tmp_path / "log") if process == one["process"]] for one in results]
    # the batch of images 16 … 23 lacked its last four
    assert shares == [list(range(16, 100, 16)), list(range(24, 100, 16))]
