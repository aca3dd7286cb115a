"""Image files, folders and tars that are made to harm."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import socket
import struct
import tarfile
import time
import zlib

import numpy as np
import pytest
from hostile import Marker, chunk, no_hang, npy, png, refused, tar, tar_header
from PIL import Image

from jaxgen.data import load_captchas, load_images
from jaxgen.data.reading.decoding import FORMATS
from jaxgen.data.reading.entries import IMAGE_SUFFIXES

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def encoded(form, pixels=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


PNG = encoded("PNG")
VALID = {
    "x.png": PNG,
    "x.jpg": encoded("JPEG"),
    "x.bmp": encoded("BMP"),
    "x.gif": encoded("GIF"),
    "x.webp": encoded("WEBP"),
    "x.tiff": encoded("TIFF"),
    "x.ppm": encoded("PPM"),
}


def tiff(height, width, tags=()):
    """A grey, uncompressed TIFF without pixels, with tags of 32 bits by their number."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 0, **dict(tags)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + table + bytes(4)


ABSURD = {  # sizes that a header of a few bytes states
    "x.png": png(60_000, 60_000, zlib.compress(bytes(100))),
    "square.png": png(8193, 8192, zlib.compress(bytes(100))),  # just above the limit
    "wide.png": png(1, 2**31 - 1, zlib.compress(bytes(100))),
    "x.jpg": VALID["x.jpg"].replace(struct.pack(">HH", 12, 16), struct.pack(">HH", 65_000, 65_000)),
    "x.gif": VALID["x.gif"][:6] + struct.pack("<HH", 65_000, 65_000) + VALID["x.gif"][10:],
    "x.bmp": VALID["x.bmp"][:18] + struct.pack("<ii", 10**6, 10**6) + VALID["x.bmp"][26:],
    "x.webp": VALID["x.webp"].replace(struct.pack("<HH", 16, 12), struct.pack("<HH", 16_383, 16_383)),
    "lossless.webp": b"RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f" + b"\xff\xff\xff\x0f" + bytes(15),
    "x.tiff": tiff(10**6, 10**6),
    "tiles.tiff": tiff(12, 16, {322: 2**20, 323: 2**20, 324: 8, 325: 1}),
    "x.ppm": b"P6 1000000 1000000 255\n",
    "x.pgm": b"P5 4000000000 4000000000 255\n",
}


def one(tmp_path, name, content):
    (tmp_path / "d").mkdir(exist_ok=True)
    (tmp_path / "d" / name).write_bytes(content)
    return tmp_path / "d"


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_plain_ppm_whose_comments_take_an_age(tmp_path, kind):
    (tmp_path / "x.ppm").write_bytes(kind + b"\n8 8\n255\n" + 2**22 * b"#\n" + 192 * b"0 ")
    started = time.perf_counter()
    refused(load_images, "x.ppm is a PPM in plain text; save it as a binary one, or as PNG", tmp_path)
    assert time.perf_counter() - started < 2


class TestImages:
    @pytest.mark.parametrize("name", ABSURD)
    @pytest.mark.parametrize("resize", [None, 8])
    def test_absurd_sizes(self, tmp_path, name, resize):
        path = one(tmp_path, name, ABSURD[name])
        refused(
            load_images, f"{name} (has .* pixels.*: shrink or remove it|is not a readable image)", path, resize=resize
        )

    def test_pillows_limit_lifted_is_not_ours(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        path = one(tmp_path, "x.png", ABSURD["x.png"])
        refused(load_images, r"x.png has 60000×60000 pixels; expected 1 to 67,108,864 in all: shrink", path)

    def test_the_largest_is_tried(self, tmp_path):
        refused(load_images, "truncated", one(tmp_path, "x.png", png(8192, 8192, zlib.compress(bytes(100)))))

    @pytest.mark.parametrize("name", VALID)
    def test_cut_short(self, tmp_path, name):
        whole = VALID[name]
        for length in (0, 1, 4, 11, 30, len(whole) // 2):
            refused(load_images, f"{name} is not a readable image", one(tmp_path, name, whole[:length]))

    @pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
    @pytest.mark.parametrize(
        "content",
        [
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\n(ran) (w) file closefile showpage\n",
            b"\xc5\xd0\xd3\xc6" + bytes(100),
            b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
            b"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='12'><text>&x;</text></svg>",
            b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
            npy(PIXELS),
            b"\x80\x04." * 10,
            b"PK\3\4" + bytes(100),
            bytes(1000),
        ],
        ids=["eps", "dos eps", "svg", "pdf", "npy", "pickle", "zip", "zeros"],
    )
    def test_other_formats(self, tmp_path, monkeypatch, suffix, content):
        def ghostscript(*_, **__):
            raise AssertionError("an EPS was handed to ghostscript")

        from PIL import EpsImagePlugin

        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
        monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", ghostscript)
        refused(load_images, f"x{suffix} is not a readable image", one(tmp_path, f"x{suffix}", content))

    def test_formats_that_pillow_reads_and_we_do_not(self, tmp_path):
        for form in ("TGA", "PCX", "SGI", "ICO", "JPEG2000", "DDS"):
            try:
                content = encoded(form)
            except (KeyError, OSError):  # not in this build of Pillow
                continue
            message = f"x.png is not a readable image, as {', '.join(FORMATS[:-1])} and {FORMATS[-1]} are: remove"
            refused(load_images, message, one(tmp_path, "x.png", content))

    @pytest.mark.parametrize("name", VALID)
    def test_another_extension_is_only_a_name(self, tmp_path, name):
        found = load_images(one(tmp_path, "x.png", VALID[name])).images
        assert found.shape == (1, 12, 16, 3)

    @pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
    def test_text_that_inflates(self, tmp_path, kind):
        bomb = zlib.compress(bytes(10**8), 9)
        begin = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
        path = one(tmp_path, "x.png", png(8, 8, chunks=[(kind, begin + bomb)]))
        try:
            with no_hang():
                assert load_images(path).images.shape == (1, 8, 8, 3)
        except ValueError as error:
            assert "x.png is not a readable image" in str(error)  # noqa: PT017

    def test_texts_that_add_up(self, tmp_path):
        texts = [(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(10**6), 9)) for i in range(200)]
        path = one(tmp_path, "x.png", png(8, 8, chunks=texts))
        refused(load_images, "x.png is not a readable image .Too much memory", path)

    def test_pixels_that_go_on(self, tmp_path):
        """More pixels than the header states are not unpacked."""
        path = one(tmp_path, "x.png", png(8, 8, zlib.compress(bytes(10**8), 9)))
        with no_hang():
            assert load_images(path).images.shape == (1, 8, 8, 3)

    def test_chunks_of_absurd_length(self, tmp_path):
        broken = bytearray(png(8, 8, chunks=[(b"tEXt", b"k\0v")]))
        at = broken.index(b"tEXt") - 4
        broken[at : at + 4] = b"\x7f\xff\xff\xff"
        refused(load_images, "x.png is not a readable image", one(tmp_path, "x.png", bytes(broken)))

    def test_animations_give_their_first_frame(self, tmp_path):
        frames = [Image.fromarray(np.full((12, 16), 255 * (i % 2), np.uint8)) for i in range(3000)]
        for form, suffix in (("GIF", "gif"), ("PNG", "png")):
            buffer = io.BytesIO()
            frames[0].save(buffer, form, save_all=True, append_images=frames[1:] if form == "GIF" else frames[1:50])
            path = one(tmp_path, f"x.{suffix}", buffer.getvalue())
            start = time.monotonic()
            found = load_images(path).images
            assert time.monotonic() - start < 2
            assert found.shape[:3] == (1 if suffix == "gif" else 2, 12, 16)
            assert not found.any()

    def test_a_jpeg_of_many_scans(self, tmp_path):
        """Each scan of a progressive JPEG costs a pass over all its pixels, for ten bytes."""
        whole = encoded("JPEG", progressive=True)
        scans = whole.count(b"\xff\xda")
        assert 5 < scans < 20
        last = whole[whole.rindex(b"\xff\xda") : -2]
        path = one(tmp_path, "x.jpg", whole[:-2] + last * 10_000 + whole[-2:])
        refused(load_images, f"x.jpg is a JPEG of {scans + 10_000} scans; expected at most 256", path)

    def test_depths_and_colours(self, tmp_path):
        grey = PIXELS[..., 0]
        for name, content, channels in (
            ("cmyk.jpg", Image.fromarray(PIXELS).convert("CMYK"), 3),
            ("ycbcr.tiff", Image.fromarray(PIXELS).convert("YCbCr"), 3),
            ("palette.png", Image.fromarray(PIXELS).convert("P"), 3),
            ("bits.png", Image.fromarray(grey).convert("1"), 1),
            ("alpha.png", Image.fromarray(grey).convert("LA"), 1),
        ):
            buffer = io.BytesIO()
            content.save(buffer, {"jpg": "JPEG", "tiff": "TIFF", "png": "PNG"}[name.split(".")[1]])
            (tmp_path / name).mkdir()
            assert load_images(one(tmp_path / name, name, buffer.getvalue())).images.shape == (1, 12, 16, channels)
        for content in (
            png(8, 8, depth=16, colour=0),
            encoded("TIFF", grey.astype(np.uint16)),
            encoded("TIFF", grey.astype(np.float32)),
            encoded("TIFF", grey.astype(np.int32)),
            b"P5 2 2 65535\n" + bytes(8),
        ):
            refused(load_images, "x.png has 16 or 32 bits per value", one(tmp_path, "x.png", content))

    def test_a_palette_that_is_missing_or_short(self, tmp_path):
        for palette in ([], [(b"PLTE", b"\1\2\3")]):
            content = png(8, 8, zlib.compress(b"\xff" * 72), palette, colour=0)
            content = content.replace(content[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)))
            try:
                with no_hang():
                    assert load_images(one(tmp_path, "x.png", content)).images.shape == (1, 8, 8, 3)
            except ValueError as error:
                assert "x.png" in str(error)  # noqa: PT017

    def test_a_cameras_rotation_is_not_followed(self, tmp_path):
        """Nor is any other part of an EXIF block, garbled or not."""
        notes = Image.Exif()
        notes[0x0112] = 6
        turned = notes.tobytes()
        for exif in (turned, turned[:-4], turned[:20] + b"\xff" * 40, b"Exif\0\0" + b"\xff" * 60_000):
            path = one(tmp_path, "x.jpg", encoded("JPEG", exif=exif))
            assert load_images(path).images.shape == (1, 12, 16, 3)

    def test_no_pixels(self, tmp_path):
        for content in (png(0, 8, zlib.compress(b"")), png(8, 0, zlib.compress(bytes(8))), b"P6 0 8 255\n"):
            for options in ({}, {"resize": 8}):
                refused(load_images, "x.png", one(tmp_path, "x.png", content), **options)


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("d/cat/0.png", "d/dog/0.png"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_bytes(PNG)
        return tmp_path / "d"

    def test_links_out_of_it(self, folder, tmp_path):
        (tmp_path / "secret.png").write_bytes(PNG)
        for target in (tmp_path / "secret.png", "../../secret.png", "/etc/passwd"):
            (folder / "cat/1.png").symlink_to(target)
            refused(load_images, "1.png is a link out of its folder, to .*: remove it or, if you trust it", folder)
            (folder / "cat/1.png").unlink()

    def test_links_to_folders(self, folder, tmp_path):
        for target in (folder, tmp_path, "..", ".", "/"):
            (folder / "bird").symlink_to(target)
            refused(load_images, "bird is a link to a folder, which is not followed", folder)
            (folder / "bird").unlink()

    def test_links_to_themselves_and_nowhere(self, folder):
        for target in ("1.png", "nothing.png", "0.png/1.png"):
            (folder / "cat/1.png").symlink_to(target)
            refused(load_images, "1.png is a link that leads nowhere", folder)
            (folder / "cat/1.png").unlink()

    def test_links_within_it_and_to_it(self, folder, tmp_path):
        (folder / "cat/1.png").symlink_to("../dog/0.png")
        (folder / "LICENSE").symlink_to("/etc/passwd")  # no image, so it is not looked at
        (tmp_path / "link").symlink_to(folder)
        for path in (folder, tmp_path / "link"):
            assert load_images(path).labels.tolist() == [0, 0, 1]

    @pytest.mark.parametrize("name", ["1.png", "1.txt"])
    def test_pipes_and_sockets(self, folder, name, monkeypatch):
        os.mkfifo(folder / "cat" / name)
        monkeypatch.chdir(folder / "dog")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(name)
        if name == "1.png":
            refused(load_images, "1.png is a folder, pipe, socket or device", folder)
            refused(load_captchas, "0.png|1.png", folder)
        else:
            with no_hang():
                assert len(load_images(folder)) == 2
        listening.close()

    @pytest.mark.parametrize("name", ["x.npy", "x.npz", "x-images-idx3-ubyte", "x-images-idx3-ubyte.gz", "x.tar"])
    def test_pipes_and_devices_as_files(self, tmp_path, name):
        message, path = "is a folder, pipe, socket or device; give a plain file", tmp_path / name
        os.mkfifo(path)
        refused(load_images, message, path)
        path.unlink()
        path.symlink_to("/dev/zero")
        refused(load_images, message, path)

    def test_a_folder_as_a_tar(self, tmp_path):
        (tmp_path / "x.tar").mkdir()
        refused(load_images, "is a folder, pipe, socket or device; give a plain file", tmp_path / "x.tar")

    def test_pipes_as_labels(self, tmp_path):
        np.save(tmp_path / "x.npy", PIXELS[None])
        (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 1, 2, 2) + bytes(4))
        for name in ("y.npy", "y-idx1-ubyte", "y-idx1-ubyte.gz"):
            os.mkfifo(tmp_path / name)
            with no_hang(), pytest.raises(ValueError, match="is a folder, pipe, socket or device"):
                load_images(tmp_path / "x.npy", labels=tmp_path / name)
        os.mkfifo(tmp_path / "train-labels-idx1-ubyte")
        with no_hang():
            assert load_images(tmp_path / "train-images-idx3-ubyte").labels is None

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("cat/0.png", "cat/0.png is not readable (Permission denied)"),
            ("cat", "cat is not a readable folder"),
            (".", ". is not a readable folder"),
            ("x.npy", "x.npy is not readable (Permission denied)"),
        ],
    )
    def test_unreadable(self, folder, monkeypatch, name, message):
        np.save(folder / "x.npy", PIXELS[None])
        monkeypatch.chdir(folder)
        (folder / name).chmod(0o111 if name == "." else 0)
        child = os.fork()  # as another user where this one may read all
        if not child:
            status = 1
            try:
                if os.getuid() == 0:
                    os.setuid(65534)
                load_images(name if name == "x.npy" else ".")
            except ValueError as error:
                status = 0 if str(error).startswith(message) else 2
            except BaseException:
                status = 3
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        (folder / name).chmod(0o755)

    def test_files_that_are_too_large(self, folder):
        with (folder / "cat/1.png").open("wb") as file:
            file.write(PNG)
            file.truncate(2**40)  # a hole, of no size on the disk
        refused(load_images, r"1.png has 1099511627776 bytes; images have at most 268435456", folder)

    @pytest.mark.parametrize("bad", ["\x1b[2J", "\n", "\x7f", os.fsdecode(b"\xff")])
    def test_names_that_terminals_obey(self, folder, bad, tmp_path):
        (folder / f"cat{bad}").mkdir()
        (folder / f"cat{bad}" / "0.png").write_bytes(PNG)
        refused(load_images, "a name with control characters", folder)
        (tmp_path / "x.tar").write_bytes(tar((os.fsencode(f"cat{bad}/0.png"), PNG)))
        refused(load_images, "a name with control characters", tmp_path / "x.tar")

    def test_folders_deeper_than_python_recurses(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        for _ in range(1100):
            os.mkdir("a")
            os.chdir("a")
        try:
            with no_hang():
                assert len(load_images(folder)) == 2
        finally:
            for _ in range(1100):  # pytest, which cleans up, recurses
                os.chdir("..")
                os.rmdir("a")


def packed(path, content):
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(content))
    return path


@pytest.fixture(params=["x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2"])
def tarred(request, tmp_path):
    return lambda *members: packed(tmp_path / request.param, tar(*members))


class TestTars:
    def refuse(self, message, path):
        refused(load_images, message, path)
        refused(load_captchas, message, path)
        assert sorted(file.name for file in path.parent.iterdir()) == [path.name]

    @pytest.mark.parametrize("name", [b"../x.png", b"/tmp/x.png", b"a/../../x.png", b"..", b"../evil.sh"])
    def test_paths_out_of_it(self, tarred, name):
        self.refuse("a path out of its folder: do not trust it", tarred((b"cat/0.png", PNG), (name, PNG)))

    @pytest.mark.parametrize("kind", [b"1", b"2"], ids=["hard", "symbolic"])
    @pytest.mark.parametrize("target", [b"/etc/passwd", b"../../etc/passwd", b"cat/0.png", b"cat/1.png"])
    def test_links(self, tarred, kind, target):
        path = tarred((b"cat/0.png", PNG), tar_header(b"cat/1.png", 0, kind, target))
        self.refuse(r"holds 'cat/1.png', a link to .*: pack it again with tar --dereference", path)

    @pytest.mark.parametrize("kind", [b"3", b"4", b"6", b"A", b"Z"], ids=["character", "block", "pipe", "A", "Z"])
    def test_devices(self, tarred, kind):
        path = tarred((b"cat/0.png", PNG), tar_header(b"cat/1.png", 0, kind))
        self.refuse("holds 'cat/1.png', which is neither file nor folder", path)

    def test_names_that_come_twice(self, tarred):
        self.refuse(r"holds './cat/0.png' twice", tarred((b"cat/0.png", PNG), (b"./cat/0.png", PNG)))

    def test_holes(self, tarred):
        sparse = bytearray(tar_header(b"cat/1.png", 512, b"S"))
        sparse[257:265] = b"ustar  \0"
        sparse[386:410] = b"%011o\0%011o\0" % (0, 512)
        sparse[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
        sparse[148:156] = b" " * 8
        sparse[148:156] = b"%06o\0 " % sum(sparse)
        self.refuse("a file with holes: pack it again", tarred((b"cat/0.png", PNG), bytes(sparse) + bytes(512)))
        endless = bytearray(sparse)
        endless[482] = 1  # its list of holes goes on, beyond the end of the file
        endless[148:156] = b" " * 8
        endless[148:156] = b"%06o\0 " % sum(endless)
        more = (b"%011o\0" % 512 * 42).ljust(511, b"\0") + b"\1"
        path = tarred((b"cat/0.png", PNG), bytes(endless), *[more.replace(b"\0\0\0\0\0\0\0\1", b"\1" * 8)] * 100)
        self.refuse("not a readable tar|a header of|a file with holes", path)

    def test_holes_by_extended_headers(self, tarred):
        def records(**items):
            out = b""
            for key, value in items.items():
                body = f" {key}={value}\n".encode()
                out += next(b"%d" % n + body for n in range(len(body), 999) if len(b"%d" % n + body) == n)
            return out

        for items in (
            {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "a", "GNU.sparse.realsize": 2**50},
            {"GNU.sparse.map": "0,512", "GNU.sparse.size": 2**50},
            {"GNU.sparse.size": 2**50, "GNU.sparse.numblocks": 1},
            {"size": 2**60},
            {"size": -512},
            {"size": 10**30},
            {"path": "../../x.png"},
            {"path": "/x.png"},
        ):
            content = records(**items)
            extended = tar_header(b"pax", len(content), b"x") + content + bytes(-len(content) % 512)
            self.refuse("", tarred((b"cat/0.png", PNG), extended, (b"cat/1.png", PNG)))

    @pytest.mark.parametrize("size", [2**40, 2**86, 8**11 - 1])
    def test_sizes_that_are_not_there(self, tarred, size):
        self.refuse("", tarred(tar_header(b"cat/0.png", size) + PNG))
        self.refuse("", tarred((b"cat/0.png", PNG), tar_header(b"padding.bin", size) + PNG))

    @pytest.mark.parametrize(
        ("kind", "size"), [*((kind, n) for kind in (b"0", b"L", b"x", b"g") for n in (-512, -(2**40))), (b"0", -1)]
    )
    def test_negative_sizes(self, tarred, kind, size):
        """Which lead back to the same header, for ever."""
        self.refuse("", tarred((b"cat/0.png", PNG), tar_header(b"a.bin", size, kind), (b"cat/1.png", PNG)))

    @pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
    def test_headers_without_end(self, tarred, kind):
        long = tar_header(b"long", 2**20, kind) + b"a" * 2**20
        self.refuse("has a header of .* bytes or more; expected at most 16384", tarred(long, (b"cat/0.png", PNG)))
        deep = tar_header(b"deep", 0, kind) * 5000
        self.refuse("has a header of .* bytes or more; expected at most 16384", tarred(deep, (b"cat/0.png", PNG)))

    def test_headers_that_are_slow_to_read(self, tmp_path):
        slow = tar_header(b"slow", 2**13, b"x") + b"1" * 2**13
        refused(load_images, "", packed(tmp_path / "x.tar", tar(*[slow] * 50, (b"cat/0.png", PNG))))

    def test_tars_in_tars(self, tarred):
        inner = tar((b"cat/0.png", PNG))
        path = tarred((b"inner.tar", inner), (b"cat/1.tar.gz", gzip.compress(inner)))
        refused(load_images, "holds no images", path, FileNotFoundError)
        refused(load_images, "1.png is not a readable image", tarred((b"cat/1.png", inner)))

    def test_broken_headers_in_the_middle_are_no_end(self, tarred):
        """Python's tarfile takes one for the end of the archive, and drops the rest."""
        whole = tar((b"cat/0.png", PNG), (b"cat/1.png", PNG))
        second = 512 + len(PNG) + -len(PNG) % 512
        path = tarred(whole[:second] + b"\xff" * 20 + whole[second + 20 :])
        refused(load_images, f"has a broken header at byte {second}", path)

    def test_extended_headers_that_are_honest(self, tmp_path):
        name = "é" * 120 + "/" + "b" * 120 + ".png"
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
                member = tarfile.TarInfo(name)
                member.size = len(PNG)
                archive.addfile(member, io.BytesIO(PNG))
            np.testing.assert_array_equal(load_images(tmp_path / "x.tar").images, PIXELS[None])

    def test_cifar_as_pickles(self, tmp_path):
        """The archive that CIFAR-10 is published in: batches that are pickled, and not read."""
        batch = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": Marker(tmp_path / "ran")})
        content = tar((b"cifar-10-batches-py/data_batch_1", batch), (b"cifar-10-batches-py/batches.meta", batch))
        path = packed(tmp_path / "cifar-10-python.tar.gz", content)
        refused(load_images, "holds no images", path, FileNotFoundError)
        refused(
            load_images, "not a readable image", packed(path, tar((b"cifar-10-batches-py/data_batch_1.png", batch)))
        )
        assert not (tmp_path / "ran").exists()
        pickle.loads(batch)
        assert (tmp_path / "ran").exists()
