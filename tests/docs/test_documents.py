# SPDX-License-Identifier: Apache-2.0
"""Links lead somewhere, generated pages are current, the two READMEs say the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, documents, marked_blocks, name_of, prose, shell_blocks

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.*)$", re.MULTILINE)

#: Words that have no place in what is handed to others: unfinished work, and names of one machine.
_FORBIDDEN = re.compile(
    r"\bTODO\b|\bFIXME\b|/home/\w|/root/\w",
    re.IGNORECASE,
)

READMES = (ROOT / "README.md", ROOT / "README.zh.md")


def _anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for _, heading in _HEADING.findall(prose(path))
    }


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(prose(document)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        if anchor:
            assert anchor in _anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_no_word_that_does_not_belong(document: Path) -> None:
    found = _FORBIDDEN.search(document.read_text())
    assert found is None, found


def test_files_named_in_documents_exist() -> None:
    """Paths of the project in code spans, such as `nova/db/engine.py`, are there."""
    span = re.compile(r"`((?:nova|docs|tests|tools|benchmarks)/[\w/.*-]+)`")
    missing = [
        f"{name_of(document)}: {named}"
        for document in documents()
        for named in span.findall(document.read_text())
        if "NNNN" not in named and not list(ROOT.glob(named.rstrip("/")))
    ]
    assert missing == []


def test_every_document_is_reachable_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while waiting:
        document = waiting.pop().resolve()
        if document in reached:
            continue
        reached.add(document)
        for link in _LINK.findall(prose(document)):
            target = (document.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists():
                waiting.append(target)
    lost = {path.resolve() for path in ROOT.glob("docs/**/*.md")} - reached
    assert sorted(map(name_of, lost)) == []


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "tools/generate_docs.py", "--check"], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
    )
    assert done.returncode == 0, done.stderr


def test_readmes_have_the_same_shape() -> None:
    english, chinese = ([len(marks) for marks, _ in _HEADING.findall(prose(path))]
                        for path in READMES)
    assert english == chinese


def test_readmes_have_the_same_commands_and_figures() -> None:
    english, chinese = READMES
    assert shell_blocks(english) == shell_blocks(chinese)
    assert marked_blocks(english) == marked_blocks(chinese)
    number = re.compile(r"\d[\d,.]*\d|\d")
    code = re.compile(r"`[^`\n]+`")
    for pattern in (number, code):
        assert sorted(pattern.findall(prose(english))) == sorted(pattern.findall(prose(chinese)))


@pytest.mark.parametrize("document", sorted(ROOT.glob("docs/design/*.md")), ids=name_of)
def test_design_notes_have_their_parts(document: Path) -> None:
    """A note asks a question and names the choice."""
    if re.match(r"\d{4}-", document.name):
        text = document.read_text()
        assert text.startswith(f"# {document.name[:4]}: ")
        assert "**Question.**" in text
        assert "**Choice.**" in text


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[\[<>=~ ]", each)[0].lower() for each in needed}
    note = (ROOT / "docs" / "design" / "0002-dependencies.md").read_text().lower()
    explained = set(re.findall(r"[\w.-]+", note))
    assert sorted(names - explained) == []


def test_readme_quotes_the_figures_of_the_performance_page() -> None:
    figure = re.compile(r"\b\d[\d,.]* (?:servers/s|s|ms|MiB)\b")
    quoted = {found for line in READMES[0].read_text().splitlines() if line.startswith("|")
              for found in figure.findall(line)}
    page = (ROOT / "docs" / "design" / "performance.md").read_text()
    assert quoted
    assert {each for each in quoted if each not in page} == set()
