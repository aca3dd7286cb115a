"""The mark-up of texts, and that nothing else gets through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.report.markup import inline, paragraphs


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("**strong** and *emphasis*", "<strong>strong</strong> and <em>emphasis</em>"),
        ("**a `b` c**", "<strong>a <code>b</code> c</strong>"),
        ("`**raw** <b>`", "<code>**raw** &lt;b&gt;</code>"),
        ("2*3*4 and a * b * c", "2*3*4 and a * b * c"),
        ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
        ("**<i>**", "<strong>&lt;i&gt;</strong>"),
        ("unclosed **strong and `code", "unclosed **strong and `code"),
    ],
)
def test_inline(text, html):
    assert inline(text) == html


def test_paragraphs_are_parted_by_empty_lines():
    assert paragraphs("  one\n two \n\n \n **three**\n") == ["one two", "<strong>three</strong>"]
    assert paragraphs("") == []


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="<>&\"'*` ab\n"))
def test_no_text_brings_its_own_tags(text):
    html = inline(text)
    for tag in ("strong", "em", "code"):
        html = html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    assert not set("<>\"'") & set(html)
