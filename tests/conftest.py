"""Options, markers and fixtures of all tests."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start, too
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

torch.set_num_threads(1)  # tests run side by side: more threads than cores is many times slower

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("interlace")
    group.addoption(
        "--data-dir",
        type=Path,
        default=os.environ.get("INTERLACE_DATA") or None,
        metavar="DIR",
        help="folder with mnist/ and videos/ for the tests marked `data`; default: $INTERLACE_DATA",
    )
    group.addoption(
        "--reference-dir",
        type=Path,
        default=HERE / "reference",
        metavar="DIR",
        help="folder searched for reference cases (*.json beside *.npz); default: tests/reference",
    )


def pytest_configure(config: pytest.Config) -> None:
    for option in ("--data-dir", "--reference-dir"):
        folder = config.getoption(option)
        is_default = option == "--reference-dir" and folder == HERE / "reference"
        if folder is not None and not is_default and not folder.is_dir():
            raise pytest.UsageError(f"{option}: no folder {folder}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--data-dir") is None:
        skip = pytest.mark.skip(reason="needs --data-dir=DIR (or INTERLACE_DATA)")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir(pytestconfig: pytest.Config) -> Path:
    """The folder given by --data-dir; for tests marked `data` only."""
    folder = pytestconfig.getoption("--data-dir")
    if folder is None:
        pytest.fail("a test that uses data_dir must be marked `data`")
    return folder.resolve()


@pytest.fixture(scope="session")
def reference_dir(pytestconfig: pytest.Config) -> Path:
    """The folder with reference cases, tests/reference unless --reference-dir says otherwise."""
    return pytestconfig.getoption("--reference-dir").resolve()
