"""What is installed: the wheel, its metadata, the pinned versions, and what an import costs."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import interlace

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source archive as an index would serve it, without network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "tests", "Makefile"):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment: the wheel, and the dependencies of the current one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=environment)
    # After pip, which would else find interlace installed. A checkout that is installed there for
    # development stays invisible: .pth files are not read in a folder that a .pth file names.
    site_packages = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment
    ).strip()
    Path(site_packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/")}
    info = f"interlace-{interlace.__version__}.dist-info/"
    package = {n for n in names if not n.startswith(info)}
    source = {
        p.relative_to(ROOT / "src").as_posix()
        for p in (ROOT / "src" / "interlace").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert package == source
    assert "interlace/py.typed" in names
    assert info + "licenses/LICENSE" in names
    assert wheel.stat().st_size < 2_000_000  # code only: no videos, digits or weights


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"interlace-{interlace.__version__}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        license_text = archive.read(f"{info}/licenses/LICENSE").decode()
    assert metadata["Name"] == "interlace"
    assert metadata["Version"] == interlace.__version__ == "0.1.0"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "interlace = interlace.commands.cli:main" in entry_points
    assert "Version 2.0, January 2004" in license_text
    assert "END OF TERMS AND CONDITIONS" in license_text


def test_wheel_runs_in_a_new_environment(clean_python: Path, tmp_path: Path) -> None:
    program = (
        "import interlace\n"
        "print(interlace.__file__, interlace.__version__)\n"
        "for name in interlace.__all__: getattr(interlace, name)\n"
    )
    where, version = run(clean_python, "-I", "-c", program, cwd=tmp_path).split()
    assert Path(where).is_relative_to(clean_python.parents[1])
    assert version == interlace.__version__

    usage = run(clean_python.with_name("interlace"), "--help", cwd=tmp_path)
    assert "usage" in usage.lower()


def test_import_loads_the_standard_library_at_most_and_is_silent(tmp_path: Path) -> None:
    def loaded(program: str) -> set[str]:
        command = [sys.executable, "-X", "importtime", "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert all(line.startswith("import time:") for line in lines), done.stderr
        return {line.rsplit("|", 1)[1].strip() for line in lines}

    new = loaded("import interlace") - loaded("pass")
    assert "interlace" in new
    foreign = {name for name in new if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"interlace"}


def test_public_names_resolve_to_their_home() -> None:
    assert set(interlace.__all__) == {*interlace._HOME, "__version__"}
    assert set(interlace.__all__) <= set(dir(interlace))
    for name, home in interlace._HOME.items():
        value = getattr(interlace, name)
        assert value is getattr(import_module(home), name)
        assert value.__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    source = (ROOT / "src" / "interlace" / "__init__.py").read_text()
    seen = {}
    for home, names in re.findall(r"^    from (\S+) import (.+)$", source, re.MULTILINE):
        seen |= {name.strip(): home for name in names.split(",") if home != "difflib"}
    assert seen == interlace._HOME


def test_public_names_need_no_optional_package(tmp_path: Path) -> None:
    """`pip install interlace` alone gives every public name; extras are imported where used."""
    optional = ["torchvision", "timm", "lightning", "numba", "sklearn", "av", "matplotlib", "rich"]
    optional += ["jsonargparse", "tensorboard", "PIL", "scipy"]
    program = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({optional})\n"  # importing one of them now fails
        "import interlace\n"
        "for name in interlace.__all__: getattr(interlace, name)\n"
    )
    run(sys.executable, "-c", program, cwd=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("RSGT", "RSTG"),
        ("rstg", "RSTG"),
        ("Graphblock", "GraphBlock"),
        ("SyncMnist", "SyncMNIST"),
        ("create_models", "create_model"),
    ],
)
def test_unknown_name_gives_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{wrong}'.* '{nearest}'"):
        getattr(interlace, wrong)
    with pytest.raises(AttributeError, match="it has RSTG, DyReg, GraphBlock"):
        interlace.zzz  # noqa: B018


def test_core_needs_torch_numpy_and_safetensors_only() -> None:
    core = requirements(PROJECT["dependencies"])
    assert set(core) == {"torch", "numpy", "safetensors"}
    assert Version("2.11") in core["torch"].specifier
    assert Version("2.10.9") not in core["torch"].specifier


def test_bad_releases_of_lightning_are_out_of_range() -> None:
    lightning = requirements(EXTRAS["train"])["lightning"]
    assert not {"2.6.2", "2.6.3"} & set(lightning.specifier.filter(["2.6.2", "2.6.3", "2.6.4"]))


def test_constraints_satisfy_every_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", pin) for pin in pins), "name==version, no URLs"
    pinned = {canonicalize_name(name): v for name, v in (pin.split("==") for pin in pins)}

    asked = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        if name == "interlace":
            assert requirement.extras <= set(EXTRAS)
            continue
        assert name in pinned, f"{name} is not pinned in constraints.txt"
        assert Version(pinned[name]) in requirement.specifier, f"{requirement}: {pinned[name]}"
