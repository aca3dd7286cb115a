"""Pieces of hostile files, and how they are tried."""

import contextlib
import functools
import os
import signal
import struct
import warnings
import zlib

import pytest

SECONDS = 20  # that a refusal may take, on a machine with other things to do


class Marker:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@contextlib.contextmanager
def no_hang(seconds=SECONDS):
    """Stop what waits for ever, such as an opened pipe."""

    def stop(*_):
        raise AssertionError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(load, message, path, error=ValueError, **options):
    """Ask for an error that names the file, says `message`, and is short; for no warning, and no hang."""
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=message or None) as caught:
            load(path, **options)
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 2000


def npy(array=None, header=None, version=(1, 0), values=b"", length=None):
    """An array's file, by the format's description: magic, version, the header's length, the header, the values."""
    if array is not None:
        values = array.tobytes()
        header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
    text = header.encode("latin-1")
    text = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + b"\n"
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, length or len(text)) + text + values


def png(height, width, rows=None, chunks=(), depth=8, colour=2):
    """A PNG of chosen chunks behind a header of chosen size; `rows` are the compressed pixels, or none at all."""
    if rows is None:
        rows = zlib.compress(bytes(height * (1 + width * {0: 1, 2: 3}[colour] * depth // 8)), 9)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind, content):
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zeros(gibibytes):
    """A raw deflate stream of zeros, made in no time."""
    return _sixteen_mebibytes() * int(gibibytes * 64)


@functools.cache
def _sixteen_mebibytes():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # which can be repeated


def gzipped(begin, gibibytes):
    """A gzip of `begin` and then of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH) + zeros(gibibytes) + b"\3\0"
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + content + bytes(8)


def tar_header(name, size=0, kind=b"0", link=b""):
    """A ustar header; a size beyond eight digits, or below 0, is in GNU's binary form."""
    number = b"%011o\0" % size if 0 <= size < 8**11 else (b"\x80" if size > 0 else b"\xff")
    if len(number) == 1:
        number += (size % 256**11).to_bytes(11, "big")
    header = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number + b"00000000000\0" + b" " * 8 + kind
    header = (header + link.ljust(100, b"\0") + b"ustar\00000").ljust(512, b"\0")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def tar(*members):
    """A tar of (name, content) or of whole headers."""
    out = b""
    for member in members:
        if isinstance(member, bytes):
            out += member
        else:
            name, content = member
            out += tar_header(name, len(content)) + content + bytes(-len(content) % 512)
    return out + bytes(1024)
