"""The house around the code: what importing costs, what is declared, what an error says."""

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from napari_dmu import errors

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src" / "napari_dmu"
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(SOURCE.rglob("*.py"))
ERRORS = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.DmuError)
}
REPEATS = 7  # the best of so many: other programs on the machine make a run slower, never quicker
QT = ("qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6")


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _python(code: str, *arguments: str) -> str:
    run = subprocess.run([sys.executable, *arguments, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


# -- importing -------------------------------------------------------------------------------------


def test_importing_the_package_brings_neither_torch_nor_qt_nor_napari() -> None:
    loaded = set(_python("import sys, napari_dmu; print('\\n'.join(sys.modules))").split())
    heavy = {"torch", "napari", "magicgui", "superqt", "vispy", "dask", "scipy", "skimage", "typer", *QT}
    assert not heavy & loaded


def test_importing_the_package_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; t = time.perf_counter(); import napari_dmu; print(time.perf_counter() - t)"
    assert min(float(_python(code)) for _ in range(REPEATS)) < 0.1


def test_the_public_verbs_are_there() -> None:
    import napari_dmu

    for verb in ("load", "simulate", "reconstruct", "assess", "segment", "compare"):
        assert callable(getattr(napari_dmu, verb)), verb
        assert verb in dir(napari_dmu)


def test_help_of_the_command_takes_less_than_half_a_second() -> None:
    command = Path(sysconfig.get_path("scripts")) / ("napari-dmu.exe" if sys.platform == "win32" else "napari-dmu")
    assert command.exists(), 'the command is not installed: run pip install -e ".[all,test]"'
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        assert run.returncode == 0, run.stderr
        assert "simulate" in run.stdout
    assert min(seconds) < 0.5


# -- errors ----------------------------------------------------------------------------------------


def test_the_kinds_of_error_are_few_and_explained() -> None:
    assert set(ERRORS) == {
        "DmuError",
        "SpecimenError",
        "SettingsError",
        "PatternSetError",
        "FileError",
        "DeviceError",
        "Cancelled",
    }
    for kind in ERRORS.values():
        assert kind.__module__ == "napari_dmu.errors"
        assert (inspect.getdoc(kind) or "").endswith(".")


def _raised() -> Iterator[tuple[str, str, ast.expr]]:
    """Where one of our errors is made, and its message: ``(file:line, kind, expression)``."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ERRORS and node.args:
                yield f"{_name(path)}:{node.lineno}", name, node.args[0]


def _words(message: ast.expr) -> str | None:
    """The message as it stands in the source, values as ``…``; None where it is made elsewhere."""
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        return message.value
    if isinstance(message, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in message.values)
    return None


def test_every_message_is_one_whole_sentence() -> None:
    """On one line, with a full stop (or a value that may bring one) and enough words to say what to do."""
    wrong = []
    for where, _, expression in _raised():
        words = _words(expression)
        if words is None:
            continue
        whole = words.endswith((".", "…")) and "\n" not in words
        single = re.search(r"[.!?] +[A-Z]", words) is None
        if not (whole and single and len(words.split()) >= 4):
            wrong.append(f"{where}: {words!r}")
    assert not wrong, "\n".join(wrong)


# -- what is declared ------------------------------------------------------------------------------


def _requirements() -> Iterator[Requirement]:
    project = PYPROJECT["project"]
    for line in project["dependencies"]:
        yield Requirement(line)
    for lines in project["optional-dependencies"].values():
        yield from map(Requirement, lines)


def test_there_are_lower_bounds_only() -> None:
    for requirement in _requirements():
        assert [bound.operator for bound in requirement.specifier] == [">="], str(requirement)
    assert re.fullmatch(r">=3\.\d+", PYPROJECT["project"]["requires-python"])


def test_the_base_brings_no_qt_binding() -> None:
    base = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
    unwanted = {
        "pyqt5",
        "pyqt6",
        "pyside2",
        "pyside6",
        "opencv-python",
        "opencv-python-headless",
        "torchvision",
    }
    assert not unwanted & {requirement.name.lower() for requirement in base}
    assert not next(requirement for requirement in base if requirement.name == "napari").extras


def test_the_extras_are_there() -> None:
    assert set(PYPROJECT["project"]["optional-dependencies"]) >= {"all", "train", "cluster", "test", "docs"}


def test_every_import_is_declared() -> None:
    """What a transitive dependency happens to bring today may be gone tomorrow."""
    distributions = {"skimage": "scikit-image", "PIL": "pillow", "yaml": "pyyaml"}
    declared = {requirement.name.lower() for requirement in _requirements()} | {"distributed"}
    undeclared = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"napari_dmu"}:
                if distributions.get(top, top).lower() not in declared:
                    undeclared.add(f"{_name(path)}: {top}")
    assert not undeclared


def test_the_version_is_the_same_everywhere() -> None:
    import napari_dmu
    from napari_dmu._version import __version__

    assert napari_dmu.__version__ == __version__
    assert f"\nversion: {__version__}\n" in (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    assert __version__ in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


# -- the manifest ----------------------------------------------------------------------------------


def test_the_manifest_is_valid_and_names_what_exists() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(SOURCE / "napari.yaml")
    assert manifest.name == "napari-dmu"
    for command in manifest.contributions.commands or []:
        if command.python_name is None:
            continue
        module, _, attribute = str(command.python_name).partition(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None, command.python_name
        assert spec.origin is not None
        assert re.search(rf"\b{re.escape(attribute)}\b", Path(spec.origin).read_text(encoding="utf-8")), command.id


def test_the_manifest_at_the_root_is_the_one_in_the_package() -> None:
    root = PROJECT / "napari.yaml"
    if not root.is_symlink() and root.read_text(encoding="utf-8").strip() == "src/napari_dmu/napari.yaml":
        pytest.skip("git has written the link as a file here")
    assert root.resolve() == SOURCE / "napari.yaml"


# -- the source ------------------------------------------------------------------------------------


def test_no_file_is_longer_than_one_idea() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_every_folder_of_modules_is_a_package() -> None:
    """import-linter does not see what lies in a folder without ``__init__.py``."""
    assert not {_name(path.parent) for path in MODULES if not (path.parent / "__init__.py").exists()}


def test_widgets_keep_their_annotations() -> None:
    """magicgui and napari read annotations at run time, so they must not have become strings."""
    for path in (SOURCE / "viewer").rglob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(encoding="utf-8"), _name(path)


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()
