import functools
import signal
import threading
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen.data import Batches
from jaxgen.training import (
    Checkpoints,
    Diverged,
    History,
    Interrupted,
    create_state,
    fit,
    loop,
    make_train_step,
    stop_on_signals,
)
from jaxgen.training.finite import first_nonfinite

OPTIMIZER = optax.sgd(0.1)
fit = functools.partial(fit, progress=False)


class Count(flax.struct.PyTreeNode):
    """The smallest state: it counts, and remembers which batches it saw."""

    step: Any
    seen: Any = flax.struct.field(default_factory=lambda: jnp.zeros(40, jnp.int32))


def start(step=0):
    return Count(jnp.int32(step))


@jax.jit
def count(state, batch):
    return Count(state.step + 1, state.seen.at[batch].add(1)), {"loss": 1.0 / (state.step + 1)}


def identity(n):
    return n


WINDOWED = Batches(np.arange(40), 1)
WINDOWED.indices = lambda step: np.array([step])


def test_every_step_gets_its_batch(tmp_path):
    result = fit(count, start(), identity, steps=17)
    np.testing.assert_array_equal(result.state.seen, np.arange(40) < 17)
    result = fit(count, start(5), identity, steps=17)
    np.testing.assert_array_equal(result.state.seen, (np.arange(40) < 17) & (np.arange(40) >= 5))


def test_logs_evaluates_and_saves_at_its_intervals(tmp_path):
    rows = []
    with Checkpoints(tmp_path / "c", keep=9) as checkpoints:
        _, history = fit(
            count,
            start(),
            identity,
            steps=17,
            checkpoints=checkpoints,
            checkpoint_every=6,
            log=tmp_path / "m.jsonl",
            log_every=5,
            evaluate=lambda state: {"seen": state.seen.sum()},
            evaluate_every=10,
            on_log=lambda step, row: rows.append((step, row)),
        )
        assert checkpoints.steps == [6, 12, 17]
    steps, values = history["loss"]
    assert steps.tolist() == [5, 10, 15, 17]
    np.testing.assert_allclose(values, 1 / steps, rtol=1e-7)
    np.testing.assert_array_equal(history["eval/seen"], [[10, 17], [10, 17]])
    assert rows == [(row["step"], row) for row in history.rows]
    assert History.read(tmp_path / "m.jsonl") == history


@pytest.mark.parametrize("steps_per_call", [8, *map(slow, (2, 5, 100))])
def test_several_steps_in_a_call_are_the_same_steps(tmp_path, steps_per_call):
    calls = []

    def run(name, **how):
        with Checkpoints(tmp_path / name, keep=9) as checkpoints:
            result = fit(
                count, start(3), WINDOWED, steps=37, checkpoints=checkpoints, checkpoint_every=12, log_every=5,
                evaluate=lambda state: {"seen": state.seen.sum()}, evaluate_every=9, **how,
            )  # fmt: skip
            return result, checkpoints.steps

    (one, history), saved = run("one")
    window = WINDOWED.window
    WINDOWED.window = lambda step, n, length: calls.append((step, n)) or window(step, n, length)
    (several, histories), saves = run("several", steps_per_call=steps_per_call)
    WINDOWED.window = window
    chex.assert_trees_all_equal(several, one)
    assert histories == history
    assert saves == saved
    # every step once, and no call across a border of the log, the evaluations or the checkpoints
    assert [step for first, n in calls for step in range(first, first + n)] == list(range(3, 37))
    assert max(n for _, n in calls) == min(steps_per_call, 5)
    borders = {*range(0, 37, 5), *range(0, 37, 9), *range(0, 37, 12)}
    assert not any(first < border < first + n for first, n in calls for border in borders)


def test_windows_learn_what_single_steps_learn_and_are_compiled_once(caplog):
    data = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)

    def loss(key, params, batch):
        return ((batch + 0.1 * jax.random.normal(key, batch.shape)) @ params["w"] - batch.sum(-1)) ** 2

    ends = []
    for steps_per_call in (1, 8):
        optimizer = optax.adam(0.05)
        state = create_state(jax.random.key(0), {"w": jnp.zeros(3)}, optimizer)
        step, batches = make_train_step(loss, optimizer), Batches(data, 16, 1)
        with jax.log_compiles():
            ends.append(fit(step, state, batches, steps=100, log_every=10, steps_per_call=steps_per_call))
    for name in ("step", "scanned_steps"):
        assert sum(f"Finished XLA compilation of jit({name})" in message for message in caplog.messages) == 1
    for of in ("params", "opt_state", "ema"):
        chex.assert_trees_all_close(getattr(ends[1].state, of), getattr(ends[0].state, of), rtol=1e-5)
    np.testing.assert_allclose(ends[1].history["loss"][1], ends[0].history["loss"][1], rtol=1e-4)
    assert ends[0].history["loss"][1][-1] < 0.1


def test_metrics_may_be_parts_of_a_donated_state():
    step = jax.jit(lambda s, b: (count(s, b)[0], {"loss": s.step}), donate_argnums=0)
    _, history = fit(step, start(), identity, steps=30, log_every=4, evaluate=lambda s: {"n": s.step}, evaluate_every=4)
    np.testing.assert_array_equal(history["loss"][1], history["loss"][0] - 1)
    np.testing.assert_array_equal(*history["eval/n"])


def test_a_metric_that_went_with_the_state_is_named_where_it_was_noticed():
    donating = jax.jit(lambda s: Count(s.step + 1, s.seen / (s.step != 4)), donate_argnums=0)

    def step(state, batch):
        state = donating(state)
        return state, {"loss": state.seen}

    assert fit(step, Count(jnp.int32(9), jnp.float32(1.0)), identity, steps=40, log_every=20).state.step == 40
    with pytest.raises(Diverged, match="loss is inf at step 6"):
        fit(step, Count(jnp.int32(0), jnp.float32(1.0)), identity, steps=30, log_every=2)


def test_divergence_is_noticed_though_no_log_point_is_near(monkeypatch):
    monkeypatch.setattr(loop, "_RECENT_CALLS", 20)

    def step(state, batch):
        state, metrics = count(state, batch)
        return state, {"loss": jnp.where(state.step >= 27, jnp.nan, metrics["loss"])}

    with pytest.raises(Diverged, match=r"loss is nan at step 27\."):
        fit(step, start(), identity, steps=1000, log_every=500)


class Scalar:
    """A scalar on a pretended device, which notes when the host asks for it."""

    shape = ()

    def __init__(self, step, events):
        self.step, self.events = step, events

    def __array__(self, dtype=None, copy=None):
        self.events.append(("fetch", self.step))
        return np.asarray(float(self.step), dtype)

    def block_until_ready(self):
        self.events.append(("wait", self.step))
        return self


def test_the_host_never_waits_for_the_newest_step():
    events = []

    def step(state, batch):
        events.append(("step", batch + 1))
        return Count(state.step + 1), {"loss": Scalar(batch + 1, events)}

    _, history = fit(step, start(), identity, steps=40, log_every=10)
    assert history["loss"][1].tolist() == [10, 20, 30, 40]
    newest, fetched = 0, []
    for event, n in events:
        newest = n if event == "step" else newest
        if event == "fetch" and newest < 40:
            fetched.append((newest, n))
        if event == "wait":
            assert newest - n == 8  # behind by a few steps: the device always has work, the queue stays short
    assert fetched == [(20, 10), (30, 20)]  # a log point late, and nothing in between


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C as at a terminal: what runs in the background is often begun without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def signalling(number):
    """Batches, the seventh of which brings a signal."""

    def batches(n):
        if n == 6:
            signal.raise_signal(number)
        return n

    return batches


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(tmp_path, number, capfd):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(
            Interrupted, match=rf"{number.name} at step 7 of 20, saved in {tmp_path}; --resume"
        ) as stopped:
            fit(count, start(), signalling(number), steps=20, checkpoints=checkpoints, log_every=5)
        assert checkpoints.latest_step == 7
        assert checkpoints.restore(start()).seen.sum() == 7
    assert "Stopping after this step" in capfd.readouterr().err
    assert stopped.value.result.state.step == 7
    assert stopped.value.result.history["loss"][0].tolist() == [5]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_among_calls_of_ten_steps_leaves_the_run_that_was_never_stopped(tmp_path):
    """Also where the checkpoints of the stopped run cut its calls short."""
    optimizer = optax.adam(0.05)

    def loss(key, params, batch):
        return ((batch + 0.1 * jax.random.normal(key, batch.shape)) @ params["w"] - batch.sum(-1)) ** 2

    def stop(step, row):
        if step == 20:
            signal.raise_signal(signal.SIGTERM)

    def begin():
        return create_state(jax.random.key(0), {"w": jnp.zeros(3)}, optimizer)

    step, data = make_train_step(loss, optimizer), np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    train = functools.partial(fit, step, batches=Batches(data, 16, 1), steps=60, steps_per_call=10, log_every=10)
    whole = train(begin()).state
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(Interrupted) as stopped:
            train(begin(), checkpoints=checkpoints, checkpoint_every=7, on_log=stop)
        assert 20 <= checkpoints.latest_step == stopped.value.result.state.step <= 40
        resumed = train(checkpoints.restore(begin()), checkpoints=checkpoints).state
    chex.assert_trees_all_equal(resumed.params, whole.params)
    chex.assert_trees_all_equal(resumed.ema, whole.ema)


def test_a_signal_during_the_last_save_is_not_lost(tmp_path):
    class Signalled(Checkpoints):
        def save(self, state):
            super().save(state)
            signal.raise_signal(signal.SIGTERM)

    with Signalled(tmp_path) as checkpoints, pytest.raises(Interrupted, match="SIGTERM at step 7 of 7, saved"):
        fit(count, start(), identity, steps=7, checkpoints=checkpoints)
    assert checkpoints.latest_step == 7


def test_a_signal_without_checkpoints_still_hands_over_the_state():
    with pytest.raises(Interrupted, match="SIGINT at step 7 of 20, not saved") as stopped:
        fit(count, start(), signalling(signal.SIGINT), steps=20)
    assert stopped.value.result.state.step == 7


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_aborts_at_once(tmp_path, first):
    before, passed = signal.getsignal(signal.SIGINT), []

    def batches(n):
        if n == 6:
            for number in (first, signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(number)
                passed.append(number)
        return n

    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(KeyboardInterrupt) as stopped:
            fit(count, start(), batches, steps=20, checkpoints=checkpoints)
        assert not isinstance(stopped.value, Interrupted)
        assert passed == [first, signal.SIGTERM]  # a repeated SIGTERM is still polite
        assert checkpoints.latest_step is None
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored():
    def batches(n):
        signal.raise_signal(signal.SIGINT)
        return n

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert fit(count, start(), batches, steps=3).state.step == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_to_the_main_thread_stops_trainings_in_others():
    begun, stopped = threading.Event(), []

    def train():
        with pytest.raises(Interrupted, match="SIGTERM at step") as error:
            fit(count, start(), lambda n: begun.set() or n % 20, steps=10**6)
        stopped.append(error.value.result.state.step)

    with stop_on_signals() as stop:
        others = [threading.Thread(target=train) for _ in range(2)]
        for thread in others:
            thread.start()
        begun.wait(30)
        signal.raise_signal(signal.SIGTERM)
        for thread in others:
            thread.join(30)
    assert stop.received == signal.SIGTERM
    assert len(stopped) == 2
    assert 0 < max(stopped) < 10**6


def test_other_threads_leave_the_handlers_alone():
    before, seen, results = signal.getsignal(signal.SIGINT), [], []

    def batches(n):
        seen.append(signal.getsignal(signal.SIGINT))
        return n

    thread = threading.Thread(target=lambda: results.append(fit(count, start(), batches, steps=3)))
    thread.start()
    thread.join()
    assert results[0].state.step == 3
    assert seen == [before] * 3


@pytest.mark.parametrize(
    ("bad_from", "reported", "good", "steps_per_call"),
    [(8, 8, 6, 1), (12, 12, 9, 4), (1, 1, None, 1), slow(13, 13, 12, 1), slow(8, 8, 6, 4), slow(13, 13, 12, 4)],
)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, bad_from, reported, good, steps_per_call):
    def step(state, batch):
        state, metrics = count(state, batch)
        return state, {"loss": jnp.where(state.step >= bad_from, jnp.inf, metrics["loss"])}

    saved = f"The last good checkpoint is of step {good}, in {tmp_path}" if good else "Nothing good was saved"
    message = rf"loss is inf at step {reported}\. {saved}"
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(Diverged, match=message) as stopped:
            fit(
                step, start(), WINDOWED if steps_per_call > 1 else identity, steps=40, steps_per_call=steps_per_call,
                checkpoints=checkpoints, checkpoint_every=3, log_every=100,
            )  # fmt: skip
        assert checkpoints.latest_step == good
    assert isinstance(stopped.value, FloatingPointError)


def test_divergence_is_noticed_at_log_points_and_stays_in_the_log(tmp_path):
    def step(state, batch):
        state, metrics = count(state, batch)
        return state, {**metrics, "grad_norm": jnp.where(state.step >= 8, jnp.nan, 1.0)}

    with pytest.raises(Diverged, match=r"grad_norm is nan at step 8\. Nothing good was saved") as stopped:
        fit(step, start(), identity, steps=40, log=tmp_path / "m.jsonl", log_every=5)
    steps, norms = stopped.value.history["grad_norm"]
    assert steps.tolist() == [5, 10]
    assert np.isnan(norms[1])
    np.testing.assert_array_equal(History.read(tmp_path / "m.jsonl")["grad_norm"], [steps, norms])


def test_only_the_named_metrics_must_stay_finite():
    def step(state, batch):
        state, metrics = count(state, batch)
        return state, {**metrics, "psnr": jnp.inf}

    evaluate = lambda state: {"loss": jnp.nan}
    assert fit(step, start(), identity, steps=5, log_every=1, finite=["loss"], evaluate=evaluate).state.step == 5
    with pytest.raises(Diverged, match="psnr is inf at step 1"):
        fit(step, start(), identity, steps=5, log_every=1)


def test_nothing_left_to_train(tmp_path, caplog):
    fit(count, start(), identity, steps=10, log=tmp_path / "m.jsonl", log_every=4)
    state = start(10)
    result = fit(count, state, identity, steps=10, log=tmp_path / "m.jsonl", log_every=4)
    assert result.state is state
    assert result.history["loss"][0].tolist() == [4, 8, 10]
    assert "nothing to train: the state is at step 10 already, and steps=10" in caplog.text


def test_refuses_a_directory_with_later_checkpoints(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 5, "loss": 1.0}\n')
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(start(5))
        checkpoints.wait()
        with pytest.raises(ValueError, match=r"checkpoint of step 5, later than this state's step 0: resume from it"):
            fit(count, start(), identity, steps=10, checkpoints=checkpoints, log=tmp_path / "m.jsonl")
    assert len(History.read(tmp_path / "m.jsonl").rows) == 1  # refused before anything was touched


def donated():
    state = start()
    jax.jit(lambda state: state, donate_argnums=0)(state)
    return state


@pytest.mark.parametrize(
    ("step", "state", "batches", "options", "error", "message"),
    [
        *[
            (count, start, identity, {name: 0}, ValueError, f"{name} must be at least 1, got 0")
            for name in ("checkpoint_every", "log_every", "evaluate_every", "steps_per_call")
        ],
        (lambda s, b: (Count(s.step + 2), {}), start, identity, {}, ValueError, r"must add 1 .*; in 1 .* from 0 to 2"),
        (lambda s, b: (Count(s.step + 1), 0.5), start, identity, {}, TypeError, r"dict of scalars\), got float"),
        (count, lambda: {"step": 0}, identity, {}, TypeError, r"state with a \.step.*got dict"),
        (count, start, identity, {"finite": ["los"]}, ValueError, r"\['los'\]: the step has no .* only \['loss'\]"),
        (count, start, np.zeros((8, 2)), {}, TypeError, r"function of the step's number.*Batches.*got ndarray"),
        (count, start, iter([1, 2]), {}, TypeError, r"function of the step's number.*got list_iterator"),
        (count, donated, identity, {}, ValueError, r"used by an earlier step.*continue from the state that `fit` or"),
        (count, start, identity, {"steps_per_call": 4}, TypeError, r"draws its batches on the device: pass .*Batches"),
        (
            lambda s, b: (Count(s.step + 1), 0.5), start, WINDOWED, {"steps_per_call": 4}, TypeError,
            r"dict of scalars\), got",
        ),
        (
            lambda s, b: (Count(s.step + 2, s.seen), {}), start, WINDOWED, {"steps_per_call": 4}, ValueError,
            r"must add 1 to state\.step; in 4 steps it went from 0 to 8",
        ),
    ],
)  # fmt: skip
def test_refusals(step, state, batches, options, error, message, unchecked):
    with pytest.raises(error, match=message):
        fit(step, state(), batches, steps=10, **options)


def test_progress_shows_loss_and_speed(capsys):
    fit(count, start(), identity, steps=30, log_every=10, progress=True)
    shown = capsys.readouterr().err
    assert "30/30" in shown
    assert "loss 0.03333" in shown
    assert "steps/s" in shown


def square(key, params, batch):
    return (params["w"] - batch) ** 2


@pytest.mark.parametrize(("steps", "last"), [(20, 10), slow(40, 10), (5, None)])
def test_a_state_that_is_not_finite_is_never_saved_nor_handed_over(tmp_path, steps, last):
    """The update that spoils it leaves no trace in that step's own loss and gradient."""
    spoils = 19 if last else 4
    optimizer = optax.sgd(lambda n: jnp.where(n == spoils, jnp.nan, 0.1))
    step, batch = make_train_step(square, optimizer, ema=None), jnp.ones(3)
    begin = lambda: create_state(jax.random.key(0), {"w": jnp.zeros(3)}, optimizer)
    with Checkpoints(tmp_path) as checkpoints:
        message = rf"params/w is no longer finite after step {spoils + 1}. " + ("The last good" if last else "Nothing")
        with pytest.raises(Diverged, match=message):
            fit(step, begin(), lambda n: batch, steps=steps, checkpoints=checkpoints, checkpoint_every=10)
        assert checkpoints.latest_step == last
        if last:
            assert np.isfinite(checkpoints.restore(begin()).params["w"]).all()


def test_what_may_be_infinite_in_a_state():
    """An optimiser's least loss so far, before the first; not a parameter, whose next loss would be NaN for ever."""
    state = create_state(jax.random.key(0), {"w": jnp.zeros(3)}, OPTIMIZER, carry={"least": jnp.nan})
    assert first_nonfinite(state.replace(opt_state=(state.opt_state, {"least": jnp.inf}))) is None
    assert first_nonfinite(state.replace(opt_state={"least": jnp.nan})) == "opt_state/least"
    assert first_nonfinite(state.replace(params={"v": jnp.ones(2), "w": jnp.array([1, jnp.inf])})) == "params/w"
    assert first_nonfinite({"step": 3, "key": state.key, "w": np.float32(np.nan)}) == "w"
    assert first_nonfinite({"step": 3, "w": jnp.full(2, jnp.inf, jnp.bfloat16)}) is None
    assert first_nonfinite({"a/b": np.float32(np.nan), "a": {"b": 1.0}}) == "a/b"
    players = (state, state.replace(ema={"w": jnp.array([1, jnp.inf])}))
    assert first_nonfinite(players[:1]) is None
    assert first_nonfinite(players) == "1/ema/w"
