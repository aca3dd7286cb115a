"""Kill, starve and damage training runs at random moments, and show that nothing they had completed is lost.

usage: faults.py [--kills 200] [--seed 0] [--jobs 2] [--adversarial] [--only FAULT ...]

A run (victim.py) is a chain of processes, each stopped by one fault and followed by one that resumes. After each fault
the newest completed checkpoint must be the one that is resumed from, bit for bit; at its end the chain must have the
last state and the metrics.jsonl of a run that was never stopped, bit for bit. A checkpoint counts as completed once
the library says so, or once its directory has been seen from outside.

Every process is forked from one that has imported jax but not started it (and has a single thread), and finds its
compiled programs in a cache, filled beforehand: it saves the imports and the compilation, nothing else.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a thread less at the fork

import argparse
import collections
import importlib.util
import json
import multiprocessing
import random
import re
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

_spec = importlib.util.spec_from_file_location("victim", Path(__file__).with_name("victim.py"))
victim = importlib.util.module_from_spec(_spec)
sys.modules["victim"] = victim
_spec.loader.exec_module(victim)

ADVERSARIAL = "--adversarial" in sys.argv  # whether the runs train two players
TICK = 0.002
PATIENCE = 60.0  # seconds of looking on, not of the clock: the machine may stand still
SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Lost(AssertionError):
    """A fault did what it must not."""


def require(condition, message):
    if not condition:
        raise Lost(message)


class Process:
    """One process of a run, and what is seen of it from outside."""

    def __init__(self, directory, options=None):
        self.directory = directory
        self.text = ""
        self.status = None
        self.seen = set()
        self.waited = 0.0
        for _ in range(500):  # a thread may take a while to end
            if single := len(os.listdir("/proc/self/task")) == 1:
                break
            time.sleep(TICK)
        threads = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
        require(single, f"a fork of several threads is not safe: {threads}")
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jax warns of forks once it is imported, threads or not
            self.pid = os.fork()
        if self.pid == 0:
            _child(directory, replace(options or victim.Options(), adversarial=ADVERSARIAL), write)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(write)

    def look(self):
        """Read what it wrote, and which checkpoints there are; whether it still runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        while self._pipe is not None and select.select([self._pipe], [], [], 0)[0]:
            got = os.read(self._pipe, 1 << 16)
            if not got:
                break
            self.text += got.decode(errors="replace")
        self.seen |= committed(self.directory)
        return self.status is None

    def until(self, condition):
        """Look on until the condition holds or the process has ended; whether it still runs."""
        while self.look() and not condition():
            time.sleep(TICK)
            self.waited += TICK
            if self.waited > PATIENCE:
                os.kill(self.pid, signal.SIGKILL)
                self.until(lambda: False)
                raise Lost(f"hung:\n{self.text[-3000:]}")
        return self.status is None

    def stay(self, seconds):
        due = self.waited + seconds
        return self.until(lambda: self.waited >= due)

    def end(self):
        self.until(lambda: False)
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        return self.status

    def send(self, number):
        if self.look():
            os.kill(self.pid, number)
            return True
        return False

    def reported(self, word):
        return [line.split()[2:] for line in re.findall(rf"^@ {word} .*$", self.text, re.MULTILINE)]

    @property
    def began(self):
        """Where it resumed: (step, digest), None as long as it has not."""
        found = self.reported("from")
        return (int(found[0][0]), found[0][1]) if found else None

    @property
    def called_complete(self):
        return {int(step) for (step,) in self.reported("completed")}

    @property
    def completed(self):
        return self.seen | self.called_complete


def _child(directory, options, out):
    try:
        try:
            os.dup2(out, 1)
            os.dup2(out, 2)
            victim.restore_signals()
            code = victim.main(directory, options)
        except KeyboardInterrupt:
            traceback.print_exc()
            code = victim.ABORTED
        except BaseException:
            traceback.print_exc()
            code = victim.FAILED
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def committed(directory):
    try:
        return {int(name) for name in os.listdir(directory / "checkpoints") if name.isdigit()}
    except FileNotFoundError:
        return set()


def half_written(directory):
    try:
        return {name for name in os.listdir(directory / "checkpoints") if "tmp" in name}
    except FileNotFoundError:
        return set()


@dataclass
class Reference:
    """The run that was never stopped."""

    digests: dict  # of the state after each step
    metrics: bytes
    final: str
    seconds: float  # from the first step to the end


@dataclass
class Tally:
    """What became of one kind of fault."""

    times: int = 0
    completed: int = 0
    torn: int = 0
    lost: int = 0
    resumed: int = 0
    problems: list = field(default_factory=list)


@dataclass
class Run:
    """A chain of processes in one directory, from the first start to the last step."""

    directory: Path
    reference: Reference
    rng: random.Random
    floor: int | None = None  # the newest step that must not be lost
    damaged: dict = field(default_factory=dict)  # step: the directory's inode, to tell it from a later one
    finished: bool = False
    process: Process | None = None

    def start(self, options=None):
        """A process that has resumed where it must, or has ended before it could."""
        self.process = Process(self.directory, options)
        return self.process

    def intact(self):
        """The steps on disk that no fault has touched."""
        place = self.directory / "checkpoints"
        return {s for s in committed(self.directory) if self.damaged.get(s) != (place / str(s)).stat().st_ino}

    def check(self):
        """Whatever happened to the process: it resumed where it had to, and what it completed is still there."""
        process = self.process
        process.end()
        if process.began is not None:
            step, digest = process.began
            require(step >= (self.floor or 0), f"resumed from {step}, although {self.floor} was completed")
            require(digest == self.reference.digests[step], f"the state resumed at {step} is not the one saved")
        for step, digest in process.reported("saving"):
            require(digest == self.reference.digests[int(step)], f"the state at {step} is not that of the reference")
        intact = self.intact()
        # the next save may have removed the oldest that is kept
        kept = sorted(process.called_complete | (process.seen - self.damaged.keys()))[1 - victim.KEEP :]
        require(intact.issuperset(kept), f"of {kept}, completed, there are only {sorted(intact)}")
        self.floor = max(intact, default=None)
        if process.status == victim.FINISHED:
            self.finished = True
            self.check_final()

    def check_final(self):
        (final,) = self.process.reported("final")
        require(final == [self.reference.final], "the last state is not that of the run never stopped")
        found = (self.directory / "metrics.jsonl").read_bytes()
        require(found == self.reference.metrics, "metrics.jsonl is not that of the run never stopped")

    def expect(self, pattern, *statuses):
        process = self.process
        require(process.status in statuses, f"ended with {process.status}, not one of {statuses}:\n{process.text}")
        require(re.search(pattern, process.text), f"no word of {pattern!r} in:\n{process.text}")

    def any_step(self):
        """One it has yet to take."""
        return self.rng.randrange(min(self.floor or 0, victim.STEPS - 1), victim.STEPS)

    def last_good(self):
        """What the last message must say of the checkpoints."""
        newest = max(self.intact(), default=None)
        place = re.escape(str(self.directory / "checkpoints"))
        return f"No checkpoint was completed in {place}" if newest is None else f"of step {newest}, in {place}"


# Each fault acts on a run whose processes have all ended, and leaves it so. It returns whether it struck.


def some_time_in(run, process, early=False):
    """Wait for a random moment of its life: of the start, or of the training; whether it still runs."""
    if early:
        return process.stay(run.rng.uniform(0, 1))
    if not process.until(lambda: process.began):
        return False
    return process.stay(run.rng.uniform(0, run.reference.seconds * (1 - process.began[0] / victim.STEPS)))


def kill_any_time(run):
    process = run.start()
    some_time_in(run, process)
    return process.send(signal.SIGKILL)


def kill_at_start(run):
    process = run.start()
    some_time_in(run, process, early=True)
    return process.send(signal.SIGKILL)


def kill_in_a_save(run):
    known = half_written(run.directory)  # left by an earlier kill
    process = run.start()
    for _ in range(run.rng.randint(1, 3)):
        process.until(lambda: not half_written(run.directory) <= known)
        known.update(half_written(run.directory))
        process.stay(run.rng.choice([0, run.rng.uniform(0, 0.1)]))
    return process.send(signal.SIGKILL)


def stop_with(number):
    def stop(run):
        process = run.start()
        some_time_in(run, process, early=run.rng.random() < 0.2)
        struck = process.send(number)
        process.end()
        outcomes = {-number, victim.STOPPED, victim.FINISHED, *([victim.ABORTED] if number == signal.SIGINT else [])}
        require(process.status in outcomes, f"{number.name} ended it with {process.status}:\n{process.text}")
        if process.status == victim.STOPPED:
            place = re.escape(str(run.directory / "checkpoints"))
            said = re.search(
                rf"{number.name} at step (\d+) of {victim.STEPS}, saved in {place}; --resume", process.text
            )
            require(said, f"{number.name} is not explained:\n{process.text}")
            require(int(said[1]) in run.intact(), f"step {said[1]} is said to be saved, and is not there")
        return struck and process.status != victim.FINISHED

    return stop


def signals_in_a_row(run):
    process = run.start()
    some_time_in(run, process)
    struck = False
    for _ in range(run.rng.randint(2, 5)):
        struck |= process.send(run.rng.choice([signal.SIGTERM, signal.SIGINT]))
        process.stay(run.rng.choice([0, run.rng.uniform(0, 0.1)]))
    if run.rng.random() < 0.5:
        process.send(signal.SIGKILL)
    process.end()
    allowed = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, victim.STOPPED, victim.ABORTED, victim.FINISHED}
    require(process.status in allowed, f"ended with {process.status}:\n{process.text}")
    return struck and process.status != victim.FINISHED


def full_disk_in_a_save(run):
    # files may grow to this only: more than the log needs, less than the arrays do
    process = run.start()
    some_time_in(run, process)
    if process.look():
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (6000, hard))
    if process.end() == victim.FINISHED:
        return False
    place = re.escape(str(run.directory / "checkpoints"))
    run.expect(rf"OSError: checkpoint {place}/\d+ could not be written \(disk /\S*: [\d.,]+ MB of", victim.FAILED)
    run.expect(run.last_good(), victim.FAILED)
    # the message comes last, after one short traceback; XLA logs what it thinks of its cache
    lines = [line for line in process.text.splitlines() if line and not re.match(r"@ |[EIW]\d{4} .*\.cc:\d+\]", line)]
    printed = [line for line in lines if not re.fullmatch(r"[ ~^]+| *\.\.\.<\d+ lines>\.\.\.", line)]
    require(len(printed) < 30 and re.search(run.last_good(), printed[-1]), f"the message is buried:\n{process.text}")
    return True


def full_disk_in_the_log(run):
    process = run.start(victim.Options(full_log_at=run.any_step()))
    if process.end() == victim.FINISHED:
        return False
    log = re.escape(str(run.directory / "metrics.jsonl"))
    run.expect(rf"OSError: {log} could not be written \(disk .*\): .*No space left on device", victim.FAILED)
    run.expect(run.last_good(), victim.FAILED)
    return True


def damage(how):
    def strike(run):
        if len(run.intact()) < 2:  # what is damaged must not be all there is
            grow(run)
        steps = sorted(run.intact())
        if run.finished or len(steps) < 2:
            return False
        *_, before, newest = steps
        place = run.directory / "checkpoints" / str(newest)
        file = run.rng.choice(sorted(p for p in place.rglob("*") if p.is_file() and p.stat().st_size))
        how(file, run.rng)
        run.damaged[newest] = place.stat().st_ino
        run.floor = before
        process = run.start()
        process.until(lambda: process.began)
        require(process.began, f"{file} damaged, and not resumed:\n{process.text}")
        step = process.began[0]
        require(step in (before, newest), f"{file} damaged: resumed from {step}, not from {before}")
        if step == before:
            said = re.search(f"{re.escape(str(place))} (cannot be read|has no)", process.text)
            require(said, f"{file} damaged, passed over without a word:\n{process.text}")
        else:  # it did not matter
            run.damaged.pop(newest)
        some_time_in(run, process)
        process.send(signal.SIGKILL)
        return True

    return strike


def grow(run):
    """Let it come so far that there are two checkpoints."""
    process = run.start()
    process.until(lambda: len(run.intact()) >= 2)
    process.send(signal.SIGKILL)
    run.check()


def truncate(file, rng):
    with file.open("r+b") as opened:
        opened.truncate(rng.randrange(file.stat().st_size))


def flip(file, rng):
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def delete(file, rng):
    file.unlink()


def not_a_number(run):
    at = run.any_step()
    process = run.start(victim.Options(nan_at=at))
    process.end()
    if process.status == victim.FINISHED and process.began[0] > at:
        return False
    metric = r"\b(?:loss|grad_norm|gap) is nan at step (\d+)"
    run.expect(metric, victim.DIVERGED)
    step = int(re.search(metric, process.text)[1])
    require(at < step <= at + victim.LOG_EVERY, f"the batch of step {at} was bad, step {step} is blamed")
    require(max(run.intact(), default=0) <= at, f"a state after the bad step {at} was saved")
    run.expect(f"{run.last_good()}|Nothing good was saved", victim.DIVERGED)
    return True


def data_vanishes(run):
    data, away = run.directory / "data.npy", run.directory / "moved.npy"
    before = contents(run.directory)
    data.rename(away)
    process = run.start()
    process.end()
    run.expect(f"Error: .*{re.escape(str(data))}", victim.FAILED)
    away.rename(data)
    require(contents(run.directory) == before, "a run without its data changed its directory")
    return True


def contents(directory):
    return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file() and p.name != ".lock"}


def two_runs(run):
    first = run.start()
    some_time_in(run, first)
    second = Process(run.directory)
    second.end()
    if not first.look():  # over before the second came
        return False
    place = re.escape(str(run.directory / "checkpoints"))
    owner = f"process {first.pid} on {re.escape(socket.gethostname())}"
    said = re.search(rf"DirectoryInUse: {place} is in use by {owner}: ", second.text)
    require(said and second.status == victim.FAILED, f"the second run ended with {second.status}:\n{second.text}")
    require(second.began is None, "the second run began to train")
    some_time_in(run, first)
    first.send(signal.SIGKILL)
    return True


KILLS = {
    "SIGKILL, any time": kill_any_time,
    "SIGKILL at the start": kill_at_start,
    "SIGKILL in a save": kill_in_a_save,
    "SIGTERM": stop_with(signal.SIGTERM),
    "SIGINT": stop_with(signal.SIGINT),
    "signals in a row": signals_in_a_row,
}
OTHERS = {
    "disk full in a save": full_disk_in_a_save,
    "disk full in the log": full_disk_in_the_log,
    "file truncated": damage(truncate),
    "bit flipped": damage(flip),
    "file deleted": damage(delete),
    "loss NaN": not_a_number,
    "data file vanished": data_vanishes,
    "two runs at once": two_runs,
}


def survey(directory):
    directory.mkdir()
    victim.write_data(directory / "data.npy")
    process = Process(directory, victim.Options(survey=True))
    process.until(lambda: process.began)
    start = process.waited
    require(process.end() == victim.FINISHED, f"the run that nothing happens to failed:\n{process.text}")
    digests = {int(step): digest for step, digest in process.reported("saving")}
    digests[0] = process.began[1]
    (final,) = process.reported("final")
    return Reference(digests, (directory / "metrics.jsonl").read_bytes(), final[0], process.waited - start)


def rehearse(directory, reference):
    """A run that is resumed once, so that all that a run compiles is in the cache."""
    directory.mkdir()
    victim.write_data(directory / "data.npy")
    run = Run(directory, reference, random.Random(0))
    process = run.start()
    process.until(lambda: len(process.completed) >= 2)
    process.send(signal.SIGTERM)
    run.check()
    run.start()
    run.check()
    require(run.finished, f"resumed, and not finished:\n{run.process.text}")


def work(plan, seed, directory, reference, results):
    """Strike with the faults of `plan` in turn, on as many runs as they take; those that fail are left to look at."""
    rng = random.Random(seed)
    tallies = collections.defaultdict(Tally)
    waiting, number, runs, exact, missed = collections.deque(plan), 0, 0, 0, 0
    while waiting:
        run = Run(directory / f"{seed}-{number}", reference, rng)
        number += 1
        run.directory.mkdir(parents=True)
        shutil.copy(directory / "data.npy", run.directory / "data.npy")
        struck, name = [], "the end of the run"
        try:
            while waiting and not run.finished and len(struck) < 8:
                name = waiting[0]
                known = committed(run.directory)
                if (KILLS | OTHERS)[name](run):
                    tallies[name].times += 1
                    struck.append(waiting.popleft())
                    missed = 0
                else:
                    missed += 1
                    require(missed < 20, "did not strike")
                run.check()
                tallies[name].completed += len(run.process.completed - known)
                tallies[name].torn += bool(half_written(run.directory))
            name = "the end of the run"
            if not run.finished:
                run.start()
                run.check()
                require(run.finished, f"cannot be finished:\n{run.process.text}")
            exact += 1
            for name in struck:
                tallies[name].resumed += 1
            shutil.rmtree(run.directory)
        except Exception as lost:
            if waiting and waiting[0] == name:
                struck.append(waiting.popleft())
            tallies[name].lost += 1
            problem = str(lost) if isinstance(lost, Lost) else traceback.format_exc()
            tallies[name].problems.append(f"{run.directory}: {problem}")
        finally:
            if run.process is not None and run.process.look():
                run.process.send(signal.SIGKILL)
                run.process.end()
        runs += 1
    results.put((dict(tallies), runs, exact))


def plan_of(kills, rng):
    """Kills of every kind, with another fault after every third of them, in random order."""
    others = list(OTHERS) * (-(-max(kills // 3, len(OTHERS)) // len(OTHERS)))
    plan = [list(KILLS)[i % len(KILLS)] for i in range(kills)] + others
    rng.shuffle(plan)
    return plan


def table(tallies):
    rows = [("fault", "times", "checkpoints completed", "half-written", "lost", "resumed bit-exact")]
    rows += [(n, *map(str, (t.times, t.completed, t.torn, t.lost, t.resumed))) for n, t in tallies.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--adversarial", action="store_true", help="train two players instead of one")
    parser.add_argument("--only", nargs="*", default=[*KILLS, *OTHERS], help="faults, by their names in the table")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="faults-"))
    started = time.monotonic()
    victim.write_data(directory / "data.npy")
    settings = victim.jax.config
    settings.update("jax_compilation_cache_dir", str(directory / "cache"))
    settings.update("jax_persistent_cache_min_entry_size_bytes", -1)
    settings.update("jax_persistent_cache_min_compile_time_secs", 0)
    reference = survey(directory / "reference")
    rehearse(directory / "rehearsal", reference)
    settings.update("jax_persistent_cache_min_compile_time_secs", 1e9)  # from now on read only
    plan = plan_of(arguments.kills, random.Random(arguments.seed))
    plan = [name for name in plan if name in arguments.only]

    # processes, not threads: each of them forks
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    workers = []
    for job in range(arguments.jobs):
        task = plan[job :: arguments.jobs], 1000 * arguments.seed + job, directory, reference, results
        workers.append(fork.Process(target=work, args=task))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            workers[-1].start()
    parts = [results.get() for _ in workers]
    for worker in workers:
        worker.join()

    total = {name: Tally() for name in [*KILLS, *OTHERS, "the end of the run"]}
    for tallies, _, _ in parts:
        for name, tally in tallies.items():
            into = total[name]
            for number in ("times", "completed", "torn", "lost", "resumed", "problems"):
                setattr(into, number, getattr(into, number) + getattr(tally, number))
    problems = [f"{name}: {problem}" for name, tally in total.items() for problem in tally.problems]
    last = total.pop("the end of the run")
    print(table(total))
    kills = sum(total[name].times for name in KILLS)
    runs, exact = sum(p[1] for p in parts), sum(p[2] for p in parts)
    lost = last.lost + sum(t.lost for t in total.values())
    print(
        f"{kills} kills and {sum(total[n].times for n in OTHERS)} other faults in {runs} runs: {lost} lost, "
        f"{exact} runs ended bit for bit as the one never stopped; {time.monotonic() - started:.0f} s"
    )
    print(json.dumps({"kills": kills, "lost": lost, "runs": runs, "exact": exact}))
    for problem in problems:
        print("\n" + problem)
    if not problems:
        shutil.rmtree(directory)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
