"""Check that the tests, files and links which the documents name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quant_assets_tests.signals.document_strategies import DOCUMENT, WORDS, with_words

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
NAMED = re.compile(r"`([\w/]*test_\w+\.py)::(test_\w+)`")
TEST = re.compile(r"`(test_\w+)`")
ANCHOR = re.compile(r"\]\(([\w./]*)#([\w-]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PLACE = re.compile(r"`([a-z_]+/[\w./]*)`")
LINK = re.compile(r'\]\(([^)#:\s"]+)(?:#[^)"]*)?(?: "([^"]*)")?\)')


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_named_in_documents_exist(document: Path) -> None:
    for file, name in NAMED.findall(document.read_text(encoding="utf-8")):
        path = file.removeprefix("quant_assets_tests/")
        found = list(TESTS.glob(f"**/{path}"))
        assert found, f"{document.name}: {file}"
        assert f"def {name}(" in found[0].read_text(encoding="utf-8"), f"{document.name}: {file}::{name}"


def test_tests_named_without_their_file_exist() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.glob("**/test_*.py"))
    named = {name for document in DOCUMENTS for name in TEST.findall(document.read_text(encoding="utf-8"))}
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_linked_in_documents_exist(document: Path) -> None:
    for link, _ in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_titles_of_links_to_tests_name_a_test_of_the_file(document: Path) -> None:
    for link, title in LINK.findall(document.read_text(encoding="utf-8")):
        if title:
            assert f"def {title}(" in (document.parent / link).read_text(encoding="utf-8"), f"{document.name}: {title}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_headings_linked_in_documents_exist(document: Path) -> None:
    for link, anchor in ANCHOR.findall(document.read_text(encoding="utf-8")):
        text = (document.parent / link if link else document).read_text(encoding="utf-8")
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}
        assert anchor in anchors, f"{document.name}: {link}#{anchor}"


def test_files_and_folders_named_in_contributing_exist() -> None:
    places = PLACE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(places) > 20
    assert [
        place for place in places if not ((ROOT / place).exists() or (ROOT / "quant_assets" / place).exists())
    ] == []


def test_reliability_links_to_a_test_for_each_promise() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    tables = [block for block in text.split("\n\n") if block.startswith("| promise |")]
    rows = [row for table in tables for row in table.splitlines()[2:]]
    assert len(rows) > 70
    linked = {row for row in rows if any(title.startswith("test_") for _, title in LINK.findall(row))}
    assert [row for row in rows if row not in linked and "make soak" not in row] == []


def test_strategies_page_has_the_words_of_the_strategies() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert len(WORDS.findall(text)) >= 4
    assert text == with_words(text), "run `make docs`"
