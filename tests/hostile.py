"""Builders of valid and hostile files, and how a hostile file is tried."""

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import os
import signal
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

SECONDS = 20  # that a refusal may take, on a busy machine


class Marker:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@contextlib.contextmanager
def no_hang(seconds=SECONDS):
    """Stop what blocks for ever, such as an opened pipe."""

    def stop(*_):
        raise AssertionError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(load, message, path, error=ValueError, **options):
    """Expect an error that names the file, matches `message` and is short, without a warning or a hang."""
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*has no labels under")
        with pytest.raises(error, match=message or None) as caught:
            load(path, **options)
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 2000


def put(root, name, content):
    """Write a file, which `content` may do itself, and return what is to be loaded: it, or the folder that it is in."""
    path = root / name
    path.parent.mkdir(exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path if path.parent == root else path.parent


def npy(array=None, header=None, version=(1, 0), values=b"", length=None):
    """An array's file, by the format's description: magic, version, the header's length, the header, the values."""
    if array is not None:
        values = array.tobytes()
        header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
    text = header.encode("latin-1")
    text = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + b"\n"
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, length or len(text)) + text + values


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    """A zip of (name, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def idx(shape, values):
    """A file of images in MNIST's format."""
    return struct.pack(">HBB3I", 0, 8, 3, *shape) + values


def encoded(form, pixels=None, **options):
    """An image file of a form that Pillow writes."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(PIXELS[0] if pixels is None else pixels)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(height, width, rows=None, chunks=(), depth=8, colour=2):
    """A PNG of chosen chunks behind a header of chosen size; `rows` are the compressed pixels, or none at all."""
    if rows is None:
        rows = zlib.compress(bytes(height * (1 + width * {0: 1, 2: 3, 3: 1}[colour] * depth // 8)), 9)
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
    return sealed((header + link.ljust(100, b"\0") + b"ustar\00000").ljust(512, b"\0"))


def sealed(header):
    """A tar's header with its checksum."""
    header = header[:148] + b" " * 8 + header[156:]
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


PACKERS = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}

# -- one valid file of each format ------------------------------------------------------------------------------------

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)
LABELS = np.array([1, 0])
NAMES = npy(np.array(["a", "b"]))


def npz(images=None, labels=None, **how):
    members = ("images.npy", images or npy(PIXELS)), ("labels.npy", labels or npy(LABELS)), ("label_names.npy", NAMES)
    return zipped(*members, **how)


PNG, IDX = encoded("PNG"), idx((2, 12, 16), PIXELS[..., 0].tobytes())
TAR = tar((b"cat/0.png", PNG), (b"note", b"text"), (b"dog/1.png", PNG))
IMAGES = {
    "x.png": PNG,
    "x.jpg": encoded("JPEG"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "x.gif": encoded("GIF"),
    "x.bmp": encoded("BMP"),
    "x.webp": encoded("WEBP"),
    "lossless.webp": encoded("WEBP", lossless=True),
    "x.tiff": encoded("TIFF"),
    "lzw.tiff": encoded("TIFF", compression="tiff_lzw"),
    "x.ppm": encoded("PPM"),
}
FORMATS = {
    "x.npy": npy(PIXELS),
    "x.npz": npz(),
    "stored.npz": npz(compression=zipfile.ZIP_STORED),
    "x-images-idx3-ubyte": IDX,
    "x-images-idx3-ubyte.gz": PACKERS[".gz"](IDX),
    **{f"x.tar{suffix}": pack(TAR) for suffix, pack in PACKERS.items()},
    **{f"folder/{name}": content for name, content in IMAGES.items()},
}
