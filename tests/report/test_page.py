"""The report as a reader's browser and a program would read it."""

import base64
import dataclasses
import importlib
import io
import json
import sys

import jax
import jinja2
import numpy as np
import pytest
from html_page import Page
from PIL import Image

from jaxgen.metrics import MeanAndError
from jaxgen.report import animate, curves, image_grid, table, write_report
from jaxgen.report.template import render_template

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), np.uint8)
TEMPLATE = """
## What was found

- DDIM needs **a tenth** of the calls: {{ calls | short }}.
- The name is {{ name }}.

## Training

First, see {{ ref("chain") }} and {{ ref("quality") }}.

Second with `code` and <script>alert(1)</script>.

{{ figure("loss", 'The "loss" <over> time.') }}

{% call table("quality") %}
Quality of {{ name }}.
{% endcall %}

{% call figure("samples") %}
Four *samples*,
of {{ count | short }}.
{% endcall %}

{{ figure("chain", "The chain.") }}
{{ table("again", "Again.") }}
"""


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 12000
    rate: float = 1e-3
    name: str = "<b>bold</b>"


ROWS = [{"sampler": "<i>ddpm</i>", "fd": 4.61}, {"sampler": "ddim", "fd": 4.67}]
GIVEN = {
    "title": "Sprites & co",
    "question": "Is <DDIM> as good?",
    "values": {"calls": 50, "name": "*a_b* <c>", "count": 12000},
    "figures": {
        "loss": curves({"loss": ([1, 2, 3], [3.0, 2.0, 1.0])}, x_label="step", y_label="loss"),
        "samples": image_grid(IMAGES, 2, scale=3),
        "chain": animate(np.stack([IMAGES, 255 - IMAGES]), columns=4, scale=2),
    },
    "tables": {
        "again": table(ROWS),
        "quality": table(ROWS, {"sampler": "sampler", "fd": "distance"}, best={"fd": "min"}),
    },
    "metrics": {"fd": {"ddpm": np.float32(4.5), "broken": jax.numpy.nan}},
    "config": Config(),
    "command": "python -m experiments.sprites --seed 0",
    "seconds": 200,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("run"), TEMPLATE, **GIVEN)


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
    assert not [word for word in ("http:", "https:", "url(", "@import") if word in text]


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


def test_captions_are_numbered_in_order_and_the_findings_stand_above(saved):
    page = Page(saved)
    captions = [" ".join(caption.split()) for caption in page.texts["figcaption"]]
    assert captions == [
        'Figure 1. The "loss" <over> time.', "Table 1. Quality of *a_b* <c>.", "Figure 2. Four samples, of 12,000.",
        "Figure 3. The chain.", "Table 2. Again.",
    ]  # fmt: skip
    assert page.texts["h1"] == ["Sprites & co"]
    assert page.texts["h2"] == ["What was found", "Training", "How to reproduce this"]
    assert "First, see Figure 3 and Table 1." in page.texts["p"]
    text = saved.read_text()
    order = ["Is &lt;DDIM&gt; as good?", "What was found", "<strong>a tenth</strong>", "First,", "Figure 1", "--seed 0"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert page.texts["pre"] == ["python -m experiments.sprites --seed 0"]


def test_values_stand_as_written_and_nothing_of_them_runs(saved):
    page = Page(saved)
    assert "Second with code and <script>alert(1)</script>." in page.texts["p"]
    assert "The name is *a_b* <c>." in page.texts["li"]
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
    read = lambda name: json.loads((saved.parent / name).read_text())
    assert read("metrics.json") == {"fd": {"ddpm": 4.5, "broken": None}}
    assert read("config.json") == {"steps": 12000, "rate": 1e-3, "name": "<b>bold</b>"}
    summary = read("summary.json")
    assert summary["figures"] == ["loss.png", "samples.png", "chain.gif"]
    assert summary["findings"] == [
        "DDIM needs <strong>a tenth</strong> of the calls: 50.", "The name is *a_b* &lt;c&gt;.",
    ]  # fmt: skip
    assert summary["duration"] == "3 min 20 s"
    facts = " ".join(Page(saved).texts["li"])
    assert not [part for part in (f"jax {jax.__version__}", "CPU cores", "3 min 20 s", "finished") if part not in facts]
    assert {"12000", "0.001"} <= set(Page(saved).texts["td"])
    names = {path.relative_to(saved.parent).as_posix() for path in saved.parent.rglob("*") if path.is_file()}
    assert names == {"report.html", "metrics.json", "config.json", "summary.json"} | {
        f"figures/{name}" for name in summary["figures"]
    }


def test_nested_settings_are_listed_by_their_path(tmp_path):
    page = Page(write_report(tmp_path, "", title="T", config={"optimizer": {"rate": 0.1, "name": None}}))
    assert page.texts["td"] == ["optimizer.rate", "0.1", "optimizer.name", "None"]
    assert page.texts["h2"] == ["How to reproduce this"]


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "{{ 1234.5 | short }} {{ 0.0123456 | short(2) }}": "1,234 0.012",
        "{{ pair | short }}": "0.250 ± 0.010",
        "{{ pair | percent }} {{ 0.256 | percent }} {{ 0.2561 | percent(1) }}": "25.0 ± 1.0 % 26 % 25.6 %",
        "{{ 0.5 | signed }} {{ -0.5 | signed }} {{ pair | signed }}": "+0.500 −0.500 +0.250 ± 0.010",
        "{{ ['a', 'b', 'c'] | listed }}; {{ ['a'] | listed }}": "a, b and c; a",
        "{{ ['a', 'b'] | listed('or') }}": "a or b",
        "{{ '*x*' | code }}": "<code>*x*</code>",
    }.items(),
)
def test_filters(text, expected):
    values = {"pair": MeanAndError(0.25, 0.01)}
    (section,) = render_template(text, figures={}, tables={}, values=values).sections
    assert section.body.strip() == f"<p>{expected}</p>"


@pytest.mark.parametrize(
    ("template", "figures", "error", "message"),
    [
        ("", ["loss"], ValueError, r"does not show \['loss'\]"),
        ("{{ figure('lost') }}", [], ValueError, "figure 'lost', which was not given"),
        ("{{ figure('loss') }}{{ figure('loss') }}", ["loss"], ValueError, "shows 'loss' twice"),
        ("{{ table('loss') }}", ["loss"], ValueError, "table 'loss', which was not given"),
        ("{{ ref('loss') }}", [], ValueError, "refers to 'loss', which it does not show"),
        ("{{ loss }}", [], jinja2.UndefinedError, "'loss' is undefined"),
        ("{% if %}", [], jinja2.TemplateSyntaxError, "Expected an expression"),
        ("{{ figure('../up') }}", ["../up"], ValueError, "a figure's name is"),
        ("{{ figure('a.png') }}", ["a.png"], ValueError, "a figure's name is"),
    ],
)
def test_templates_that_do_not_fit_are_refused(template, figures, error, message, tmp_path):
    with pytest.raises(error, match=message):
        write_report(tmp_path, template, title="T", figures=dict.fromkeys(figures, GIVEN["figures"]["chain"]))
    assert not (tmp_path / "report.html").exists()


def test_what_json_or_a_browser_cannot_hold_is_refused(tmp_path):
    for content in (b"", b"no image", b"\xff\xd8\xff\xe0 jpeg"):
        with pytest.raises(ValueError, match="PNG or GIF"):
            write_report(tmp_path, "{{ figure('a') }}", title="T", figures={"a": content})
    for given, message in (("config", r"config\['f'\] is a function"), ("metrics", "is a function")):
        with pytest.raises(TypeError, match=message):
            write_report(tmp_path, "", title="T", **{given: {"f": lambda: 0}})
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib", "PIL", "markdown_it"])
def test_without_its_packages_the_room_names_the_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "jaxgen.report")
    with pytest.raises(ImportError, match=rf'jaxgen.report needs {package}, .*: pip install "jaxgen\[report\]"'):
        importlib.import_module("jaxgen.report")
