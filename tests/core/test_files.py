"""Files are written whole or not at all."""

import errno
from pathlib import Path

import pytest

from jaxgen.core import write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "runs" / "report.html"
    write_atomically(path, lambda file: file.write(b"old"))

    for arguments in ((errno.ENOSPC, "disk full"), ("disk full",)):

        def full(self, target, arguments=arguments):
            raise OSError(*arguments)

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"disk full.*report\.html"):
            write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
