"""What holds for every test: nobody's napari settings, few threads, real images where they are."""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Before anything imports napari.settings: nobody's preferences are read or written.
_SETTINGS = tempfile.mkdtemp(prefix="napari-dmu-tests-")
atexit.register(shutil.rmtree, _SETTINGS, ignore_errors=True)
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS) / "settings.yaml")
os.environ.pop("NAPARI_DMU_SETS", None)
# Where added pattern sets, and a note on the preferred folder, are: on Linux and macOS, and on Windows.
for _name in ("XDG_DATA_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
    os.environ[_name] = str(Path(_SETTINGS) / "data")

# Before anything imports numpy or torch: many threads cost more than they bring on small images.
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
for _name in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))

# pytest-qt and qtpy must not choose two different bindings.
if "QT_API" not in os.environ:
    for _binding in ("PyQt6", "PySide6"):
        if importlib.util.find_spec(_binding) is not None:
            os.environ["QT_API"] = _binding.lower()
            break
if "QT_API" in os.environ:
    os.environ.setdefault("PYTEST_QT_API", os.environ["QT_API"].lower())

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

settings.register_profile("default", deadline=None, max_examples=25)
# The same examples every time where a red run stops everybody. To look further: --hypothesis-profile=search.
settings.register_profile(
    "ci", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=500)
settings.load_profile("ci" if os.environ.get("CI") else "default")

PROJECT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Hold torch to the same number of threads, if a test module has imported it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(THREADS)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a CUDA device where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")


@pytest.fixture(scope="session")
def project() -> Path:
    """The root folder of the project."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images: ``NAPARI_DMU_TEST_DATA``, or ``../shared/data`` beside the project."""
    named = os.environ.get("NAPARI_DMU_TEST_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real images are not here: set NAPARI_DMU_TEST_DATA to their folder ({folder} is none)")
    return folder
