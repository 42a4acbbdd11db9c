"""What the record of a number says of the code that made it."""

import subprocess
from pathlib import Path

import pytest

import interlace
from interlace.record import commit

FOLDER = Path(interlace.__file__).parent


def git(*words):
    done = subprocess.run(["git", *words], cwd=FOLDER, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(not (FOLDER.parents[1] / ".git").exists(), reason="in a checkout")
def test_the_commit_says_whether_the_package_was_changed():
    clean = git("diff", "--name-only", "HEAD", "--", ".") == ""
    assert commit() == git("rev-parse", "HEAD")[:12] + ("" if clean else "+")


def test_what_is_installed_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(interlace, "__file__", str(tmp_path / "__init__.py"))
    assert commit() is None
