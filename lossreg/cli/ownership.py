"""Whose a new distribution is: its licence, its authors and its address."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
from typing import NamedTuple

__all__ = [
    "NOBODY",
    "Owner",
    "add_owner_arguments",
    "licence_file",
    "owner_of",
    "owner_values",
]

# Licences whose text is written as well.
_LICENCES = ("BSD-3-Clause", "MIT")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_AUTHOR = re.compile(r"(?P<name>[^<>]+?)(?: <(?P<email>[^<>@ ]+@[^<>@ ]+)>)?")


class Owner(NamedTuple):
    """Whose a distribution is.

    Attributes:
        licence: The SPDX expression of its licence, or None until one is chosen.
        authors: Each author's name and mail address, or "" for no address.
        url: The repository's address, or None.
    """

    licence: str | None = None
    authors: tuple[tuple[str, str], ...] = ()
    url: str | None = None


NOBODY = Owner()


def add_owner_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say whose it is."""
    parser.add_argument(
        "--license",
        metavar="SPDX",
        type=_licence,
        help="its licence, such as MIT (https://spdx.org/licenses); the texts of "
        f"{' and '.join(_LICENCES)} are written. Until one is chosen, PyPI refuses an upload",
    )
    parser.add_argument(
        "--author",
        metavar="NAME",
        type=_author,
        action="append",
        default=[],
        help="who wrote it, 'Ada Lovelace <ada@example.org>' or a name; may be repeated",
    )
    parser.add_argument("--url", metavar="URL", type=_url, help="its repository's address")


def owner_of(arguments: argparse.Namespace) -> Owner:
    """Whose it is, by the options."""
    return Owner(arguments.license, tuple(arguments.author), arguments.url)


def licence_file(owner: Owner) -> dict[str, str | None]:
    """The file of the licence and its template, if there is one."""
    return {"LICENSE": f"{owner.licence}.txt"} if owner.licence in _LICENCES else {}


def owner_values(owner: Owner, distribution: str) -> dict[str, str]:
    """What is said in pyproject.toml, the README and the licence of whose a distribution is."""
    has_text = owner.licence in _LICENCES
    text = 'license-files = ["LICENSE"]\n' * has_text
    # A string of JSON is one of TOML as well.
    authors = ", ".join(
        f"{{name = {json.dumps(name, ensure_ascii=False)}"
        + (f", email = {json.dumps(email)}" if email else "")
        + "}"
        for name, email in owner.authors
    )
    url = owner.url
    pages = "" if url is None else f'Homepage = "{url}"\nIssues = "{url}/issues"\n'
    if owner.licence is None:
        words = (
            "Not chosen yet: put a licence's text into `LICENSE`, its name as `license` into "
            "`pyproject.toml`,\nand remove the classifier `Private :: Do Not Upload` there."
        )
    elif has_text:
        words = f"{owner.licence}, as in [LICENSE](LICENSE)."
    else:
        words = f"{owner.licence}: put its text into `LICENSE`."
    return {
        "license": "" if owner.licence is None else f'license = "{owner.licence}"\n{text}',
        "private": '  "Private :: Do Not Upload", # until a licence is chosen: PyPI refuses it\n'
        * (owner.licence is None),
        "authors": f"authors = [{authors}]\n" * bool(authors),
        "urls": f"[project.urls]\n{pages}\n" * bool(pages),
        "licence_in_words": words,
        "year": str(dt.datetime.now(tz=dt.timezone.utc).year),
        "holder": ", ".join(author for author, _ in owner.authors)
        or f"the authors of {distribution}",
    }


def _licence(text: str) -> str:
    if not _SPDX.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a name of https://spdx.org/licenses, as in MIT or Apache-2.0"
        )
    return text


def _author(text: str) -> tuple[str, str]:
    parts = _AUTHOR.fullmatch(text)
    if parts is None or not text.isprintable() or not parts["name"].strip():
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a name, and a mail address in angle brackets if there is one, as "
            "in 'Ada Lovelace <ada@example.org>'"
        )
    return parts["name"].strip(), parts["email"] or ""


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s\"\\]+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected an address, as in https://github.com/ada/lossreg-tweedie"
        )
    return text.rstrip("/")
