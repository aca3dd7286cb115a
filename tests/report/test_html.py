"""The report as a reader's browser and a program would read it."""

import base64
import dataclasses
import importlib
import io
import json
import sys

import jax
import numpy as np
import pytest
from html_page import Page
from PIL import Image

from jaxgen.report import Report, animate, curves, image_grid

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 12000
    rate: float = 1e-3
    name: str = "<b>bold</b>"


def a_report():
    report = Report("Sprites & co", "Is <DDIM> as good?", "python -m experiments.sprites --seed 0", Config())
    report.finding("DDIM needs **a tenth** of the calls.")
    report.section("Training")
    report.text("First.\n\nSecond with `code` and <script>alert(1)</script>.")
    loss = curves({"loss": ([1, 2, 3], [3.0, 2.0, 1.0])}, x_label="step", y_label="loss")
    assert report.figure(loss, "loss", 'The "loss" <over> time.') == "Figure 1"
    rows = [{"sampler": "<i>ddpm</i>", "fd": 4.61}, {"sampler": "ddim", "fd": 4.67}]
    assert report.table(rows, "Quality.", {"sampler": "sampler", "fd": "distance"}, best={"fd": "min"}) == "Table 1"
    assert report.figure(image_grid(IMAGES, 2, scale=3), "samples", "Four samples.") == "Figure 2"
    steps = np.stack([IMAGES, 255 - IMAGES])
    assert report.figure(animate(steps, columns=4, scale=2), "chain", "The chain.") == "Figure 3"
    assert report.table(rows, "Again.") == "Table 2"
    report.metrics["fd"] = {"ddpm": np.float32(4.5), "broken": jax.numpy.nan}
    return report


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return a_report().save(tmp_path_factory.mktemp("run"))


def test_the_page_needs_nothing_from_outside(saved):
    page = Page(saved)
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object", "base"} & set(names)
    for tag, attributes in page.tags:
        assert "href" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if "src" in attributes:
            assert tag == "img"
            assert attributes["src"].startswith("data:image/")
    text = saved.read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_every_image_decodes_to_the_saved_file_at_its_size(saved):
    images = [attributes for tag, attributes in Page(saved).tags if tag == "img"]
    files = ["loss.png", "samples.png", "chain.gif"]
    for attributes, name, per_css_pixel in zip(images, files, (2, 2, 1), strict=True):
        header, content = attributes["src"].split(",")
        content = base64.b64decode(content, validate=True)
        assert header == f"data:image/{name[-3:]};base64"
        assert content == (saved.parent / "figures" / name).read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format.lower() == name[-3:]
            assert picture.width == per_css_pixel * int(attributes["width"])
            assert picture.height == per_css_pixel * int(attributes["height"])
    assert [attributes["class"] for attributes in images] == ["plot", "grid", "pixels"]
    assert images[0]["alt"] == 'The "loss" <over> time.'


def test_captions_are_numbered_in_order_and_the_answer_stands_above(saved):
    page = Page(saved)
    captions = [caption.strip() for caption in page.texts["figcaption"]]
    assert [caption.split(".")[0] for caption in captions] == ["Figure 1", "Table 1", "Figure 2", "Figure 3", "Table 2"]
    assert captions[0] == 'Figure 1. The "loss" <over> time.'
    assert page.texts["h1"] == ["Sprites & co"]
    assert page.texts["h2"] == ["What was found", "Training", "How to reproduce this"]
    text = saved.read_text()
    order = ["Is &lt;DDIM&gt; as good?", "What was found", "<strong>a tenth</strong>", "First.", "Figure 1", "--seed 0"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert page.texts["pre"] == ["python -m experiments.sprites --seed 0"]


def test_texts_of_users_are_shown_and_never_run(saved):
    page = Page(saved)
    assert "Second with code and <script>alert(1)</script>." in page.texts["p"]
    assert "<i>ddpm</i>" in page.texts["td"]
    assert "<b>bold</b>" in page.texts["td"]
    assert "i" not in [tag for tag, _ in page.tags]


def test_tables_align_numbers_and_mark_the_best(saved):
    page = Page(saved)
    cells = [attributes.get("class") for tag, attributes in page.tags if tag == "td"][:4]
    assert cells == [None, "number best", None, "number"]
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "th"][:2] == [None, "number"]
    assert page.texts["td"][:4] == ["<i>ddpm</i>", "4.61", "ddim", "4.67"]
    assert page.texts["th"][:2] == ["sampler", "distance"]


def test_results_settings_and_surroundings_are_kept(saved):
    assert json.loads((saved.parent / "metrics.json").read_text()) == {"fd": {"ddpm": 4.5, "broken": None}}
    expected = {"steps": 12000, "rate": 1e-3, "name": "<b>bold</b>"}
    assert json.loads((saved.parent / "config.json").read_text()) == expected
    facts = " ".join(Page(saved).texts["li"])
    for part in (f"jax {jax.__version__}", "CPU cores", "duration", "finished"):
        assert part in facts
    assert {"12000", "0.001"} <= set(Page(saved).texts["td"])


def test_saving_again_overwrites_and_leaves_no_temporary_file(tmp_path):
    report = a_report()
    first = report.save(tmp_path)
    report.finding("One more.")
    assert report.save(tmp_path) == first
    assert "One more." in first.read_text()
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    figures = ["figures/chain.gif", "figures/loss.png", "figures/samples.png"]
    assert names == ["config.json", *figures, "metrics.json", "report.html"]


def test_an_empty_report_still_asks_its_question(tmp_path):
    page = Page(Report("Title", "Question?", "command").save(tmp_path))
    assert page.texts["h2"] == ["How to reproduce this"]
    assert page.texts["p"] == ["Question?"]
    assert "details" not in page.texts
    assert json.loads((tmp_path / "config.json").read_text()) is None


def test_nested_settings_are_listed_by_their_path(tmp_path):
    page = Page(Report("T", "Q", "c", {"optimizer": {"rate": 0.1, "name": None}}).save(tmp_path))
    assert page.texts["td"] == ["optimizer.rate", "0.1", "optimizer.name", "None"]


def test_refusals_use_no_number(tmp_path):
    report, figure = a_report(), image_grid(IMAGES)
    for image, name, message in [
        (figure, "samples", "a figure 'samples' already"),
        (figure, "chain", "a figure 'chain' already"),  # of another suffix
        *((figure, name, "a figure's name is") for name in ("", "../up", "a/b", "a b", "a.png")),
        *((content, "bytes", "PNG or GIF") for content in (b"", b"no image", b"\xff\xd8\xff\xe0 jpeg")),
    ]:
        with pytest.raises(ValueError, match=message):
            report.figure(image, name, "Refused.")
    assert report.figure(figure, "next", "Accepted.") == "Figure 4"
    with pytest.raises(ValueError, match="at least one row"):
        report.table([], "Empty.")
    assert report.table([{"a": 1}], "Accepted.") == "Table 3"
    with pytest.raises(TypeError, match=r"config\['f'\] is a function"):
        Report("T", "Q", "c", {"f": lambda: 0})
    report.metrics["f"] = lambda: 0
    with pytest.raises(TypeError, match="is a function"):
        report.save(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib", "PIL"])
def test_without_its_packages_the_room_names_the_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "jaxgen.report")
    with pytest.raises(ImportError, match=rf'jaxgen.report needs {package}, .*: pip install "jaxgen\[report\]"'):
        importlib.import_module("jaxgen.report")
