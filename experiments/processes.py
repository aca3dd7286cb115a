"""Start an experiment as several processes of this machine that train together, as on several hosts.

    python -m experiments.processes 2 experiments.sprites --data-parallel

On a cluster its own launcher starts one process a host, of the experiment itself with `--distributed`.
"""

import os
import signal
import socket
import subprocess
import sys
import time


def main(arguments: list[str]) -> int:
    """Run the module named in `arguments`, [processes, module, *flags], and return the exit status of all."""
    if len(arguments) < 2 or not arguments[0].isdecimal() or int(arguments[0]) < 1:
        print(__doc__, file=sys.stderr)
        return 2
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    n, command = int(arguments[0]), [sys.executable, "-m", *arguments[1:], "--distributed"]
    shared = {**os.environ, "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(n)}
    # in sessions of their own, so that a terminal's Ctrl-C reaches them once, through here
    children = [
        subprocess.Popen(command, env={**shared, "JAX_PROCESS_ID": str(i)}, start_new_session=True) for i in range(n)
    ]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: [child.send_signal(number) for child in children])
    while None in (statuses := [child.poll() for child in children]):
        if any(statuses):
            # the others would wait for the dead for ever; they have 20 s to end by themselves
            _end(children, 20)
        time.sleep(0.1)
    return max(statuses, key=abs)


def _end(children: list[subprocess.Popen], seconds: float) -> None:
    until = time.monotonic() + seconds
    for child in children:
        try:
            child.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
