"""What we depend on may be used by anybody for anything: permissive licences, each looked at."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
PERMISSIVE = re.compile(
    r"\b(MIT|MIT-0|BSD|Apache|ISC|PSF|Python Software Foundation|0BSD|Unlicense|Zlib|HPND)\b"
)
# Weak copyleft: used as they are, unchanged and apart, which is all that they ask for.
WEAK = {
    "bidict": "MPL 2.0",
    "certifi": "MPL 2.0",
    "psycopg": "LGPL-3.0",
    "psycopg-binary": "LGPL-3.0",
}


def pinned(name: str) -> list[str]:
    """Return the packages of a lock file."""
    text = (REQUIREMENTS / name).read_text()
    return re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)


def licence(package: str) -> str:
    """Return what a package says of its licence, in all the places that there are."""
    metadata = distribution(package).metadata.json
    classifiers = [
        each.rpartition("::")[2]
        for each in metadata.get("classifier", ())
        if each.startswith("License ::")
    ]
    said = [str(metadata.get(name, ""))[:200] for name in ("license_expression", "license")]
    return "; ".join(each for each in (*said, *classifiers) if each)


@pytest.mark.parametrize("file", ["service.txt", "people.txt"])
def test_licences_are_permissive_or_looked_at(file: str) -> None:
    others = {}
    for package in pinned(file):
        try:
            said = licence(package)
        except PackageNotFoundError:  # of another platform
            continue
        if not PERMISSIVE.search(said) and package not in WEAK:
            others[package] = said
    assert others == {}
