"""Fills docs/claims.md with the claims of docs/claims.toml and the tests that carry their numbers."""

import ast
import re
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1]
REPOSITORY = DOCS.parent


class Test(NamedTuple):
    """A test: its file, its name and the summary of its docstring."""

    file: str
    name: str
    summary: str


@cache
def claimed_tests() -> dict[str, list[Test]]:
    """Map each claim, such as "C1.4", to the tests whose names begin with it: test_c1_4_…, or test_c0_4_c1_4_…."""
    found = defaultdict(list)
    for file in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        path = file.relative_to(REPOSITORY).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_c"):
                summary = (ast.get_docstring(node) or "").split("\n\n")[0]
                numbers = re.match(r"test_((?:c\d+_\d+[a-z]?_)*)", node.name)[1]
                for document, number in re.findall(r"c(\d+)_(\d+[a-z]?)_", numbers):
                    found[f"C{document}.{number}"].append(Test(path, node.name, " ".join(summary.split())))
    return dict(found)


def claims_page() -> str:
    """The claims as Markdown."""
    listed, tests = tomllib.loads((DOCS / "claims.toml").read_text()), claimed_tests()
    lines = []
    for number, (source, title) in enumerate(listed["sources"].items()):
        lines += [f"## {source}: {title}", ""]
        for claim, of in listed["claims"].items():
            if not claim.startswith(f"C{number}."):
                continue
            lines += [f"### {claim}", "", of["statement"], ""]
            if "formula" in of:
                lines += [f"`{of['formula']}`", ""]
            if "misprint" in of:
                lines += [f"*Misprint:* {of['misprint']}", ""]
            if claim not in tests:
                lines += ["*Not tested yet.*", ""]
            for test in tests.get(claim, []):
                lines += [f"* `{test.file}::{test.name}`" + (f": {test.summary}" if test.summary else "")]
            lines += [""]
    return "\n".join(lines)


def on_page_markdown(markdown: str, page, **_) -> str:
    """Replace the mark in claims.md."""
    return markdown.replace("<!-- claims -->", claims_page()) if page.file.src_uri == "claims.md" else markdown
