"""GLIBC's settings that keep the memory of a step for the next one; a process can have them only from its start."""

import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
KEEP_MEMORY = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"


def keep_memory() -> None:
    """Start `python -m experiments.NAME` anew with the settings, on Linux with GLIBC; a user's own settings stay.

    Without them, GLIBC returns the buffers of a step to the system, and the next step waits for page faults.
    """
    runs_a_module = sys.argv[0] == "-m"  # while Python imports the packages of the module
    if runs_a_module and platform.libc_ver()[0] == "glibc" and VARIABLE not in os.environ:
        environment = os.environ | {VARIABLE: KEEP_MEMORY}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
