"""Builds the documentation's site: `make docs`. A link or anchor that leads nowhere is an error.

The pages link each other, and files of the source, as they lie in the repository. So they are laid out
the same way below build/docs/source, with the files that they link, and mkdocs takes that for its root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", "docs/**/*.md", "recovery_kits/*/README.md", "examples/**/*.md", "terraform/**/*.md")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)|<img [^>]*src=\"(?!https?://)([^\"]+)\"")
LIMIT_S = 180.0


def pages(root: Path = ROOT) -> list[Path]:
    """Every page of the site, as it lies in the repository."""
    return sorted(path for pattern in PAGES for path in root.glob(pattern) if ".terraform" not in path.parts)


def lay_out(root: Path, source: Path) -> None:
    """Copy the pages and what they link to `source`, which is made anew."""
    shutil.rmtree(source, ignore_errors=True)
    for page in pages(root):
        for path in (page, *_linked(page)):
            if path.is_file():
                copy = source / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def _linked(page: Path) -> Iterator[Path]:
    for groups in LINK.findall(page.read_text()):
        yield (page.parent / next(filter(None, groups))).resolve()


def build(root: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Write the site of the repository at `root` to `output`/site; the result tells what mkdocs said."""
    lay_out(root, output / "source")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(output / "site")],
        env={**os.environ, "KAGE_DOCS_SOURCE": str(output / "source"), "NO_MKDOCS_2_WARNING": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


if __name__ == "__main__":
    done = build(ROOT, ROOT / "build" / "docs")
    print(done.stdout + done.stderr, file=sys.stderr, end="")
    sys.exit(done.returncode)
