"""Pattern sets from files and from the web: what is added is sound, and nothing is left of what is not."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import assert_sentence, make_set

from napari_dmu.errors import Cancelled, DmuError, FileError, PatternSetError, SettingsError
from napari_dmu.zoo import registry
from napari_dmu.zoo.library import add_set, is_sha256, is_web
from napari_dmu.zoo.registry import available_sets, library_folder, load_set, summaries


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *arguments: object) -> None:
        """No line for each request."""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of sets, not there yet."""
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "library"))
    return tmp_path / "library"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A pattern set as somebody else has it, under some name."""
    (tmp_path / "published").mkdir()
    path = tmp_path / "published" / "best (2).dmu.safetensors"
    make_set(path)
    return path


@pytest.fixture
def server(published: Path) -> Iterator[str]:
    """Address of a server for the folder of what is published."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(published.parent)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_found_afterwards(library: Path, published: Path) -> None:
    with pytest.raises(PatternSetError):
        load_set("discs", ratio=4, family="raster")
    added = add_set(str(published))
    assert added.sentence == "Added the pattern set ×4 discs, raster."
    assert load_set("discs", ratio=4, family="raster").hash == added.summary.header.tensors_sha256
    assert [path.parent for path in library.iterdir()] == [library]
    assert published.exists()


def test_twice_is_once(library: Path, published: Path) -> None:
    add_set(str(published), sha256=checksum(published).upper())
    again = add_set(str(published))
    assert again.was_there
    assert "already" in again.sentence
    assert len(list(library.iterdir())) == 1


def test_another_set_of_a_name_comes_first_and_the_former_stays(library: Path, published: Path) -> None:
    first = add_set(str(published))
    make_set(published, seed=1)
    second = add_set(str(published))
    assert second.hides is not None
    assert second.hides.header.tensors_sha256 == first.summary.header.tensors_sha256
    assert "takes the place" in second.sentence
    assert len(list(library.iterdir())) == 2


def test_whichever_is_added_last_comes_first(library: Path, published: Path) -> None:
    for seed in range(4):  # whatever their checksums, by which the files are named
        make_set(published, seed=seed)
        added = add_set(str(published)).summary.header.tensors_sha256
        assert load_set("discs", ratio=4, family="raster").hash == added


def test_one_that_stays_hidden_is_not_said_to_take_a_place(library: Path, published: Path) -> None:
    first = add_set(str(published))
    later = first.summary.path.stat().st_mtime + 3600  # a clock was wrong
    os.utime(first.summary.path, (later, later))
    make_set(published, seed=1)
    second = add_set(str(published))
    assert (second.hides, second.hidden_by) == (None, summaries(first.summary.path)[0])
    assert str(first.summary.path) in second.sentence


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_from_the_web_with_progress(library: Path, published: Path, server: str) -> None:
    seen: list[tuple[int, int]] = []
    address = f"{server}/best%20(2).dmu.safetensors"
    added = add_set(address, sha256=checksum(published), report=lambda done, total, what: seen.append((done, total)))
    assert not added.was_there
    size = published.stat().st_size
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen[:-1]] == sorted(done for done, _ in seen[:-1])
    assert [path.name for path in library.iterdir()] == [added.summary.path.name]


def not_there(address: str, published: Path) -> tuple[str, str | None]:
    return f"{address}/none", checksum(published)


def another_file(address: str, published: Path) -> tuple[str, str | None]:
    return f"{address}/best%20(2).dmu.safetensors", "0" * 64


def without_checksum(address: str, published: Path) -> tuple[str, str | None]:
    return f"{address}/best%20(2).dmu.safetensors", None


def nobody_there(address: str, published: Path) -> tuple[str, str | None]:
    return "http://127.0.0.1:9/set", checksum(published)


def no_address(address: str, published: Path) -> tuple[str, str | None]:
    return "doi:nothing", checksum(published)


def short_checksum(address: str, published: Path) -> tuple[str, str | None]:
    return str(published), "abc"


def other_checksum(address: str, published: Path) -> tuple[str, str | None]:
    return str(published), "f" * 64


def folder_of_it(address: str, published: Path) -> tuple[str, str | None]:
    return str(published.parent), None


def damaged(address: str, published: Path) -> tuple[str, str | None]:
    published.write_bytes(published.read_bytes()[:-7] + b"changed")
    return str(published), None


def no_set(address: str, published: Path) -> tuple[str, str | None]:
    published.write_bytes(b"<html>sign in</html>")
    return f"{address}/best%20(2).dmu.safetensors", checksum(published)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (not_there, FileError), (another_file, FileError), (without_checksum, SettingsError), (nobody_there, FileError),
        (no_address, FileError), (short_checksum, SettingsError), (other_checksum, FileError),
        (folder_of_it, FileError), (damaged, PatternSetError), (no_set, PatternSetError),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence_and_nothing_is_left(
    library: Path,
    published: Path,
    server: str,
    case: Callable[[str, Path], tuple[str, str | None]],
    kind: type[DmuError],
) -> None:
    source, sha256 = case(server, published)
    with pytest.raises(kind) as raised:
        add_set(source, sha256=sha256)
    assert_sentence(raised.value)
    assert not library.exists() or not list(library.iterdir())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_download_can_be_stopped(library: Path, published: Path, server: str) -> None:
    def stop() -> None:
        raise Cancelled("Stopped: nothing was added.")

    with pytest.raises(Cancelled):
        add_set(f"{server}/best%20(2).dmu.safetensors", sha256=checksum(published), check_cancelled=stop)
    assert not list(library.iterdir())


def test_who_has_stopped_by_the_time_the_set_is_read_gets_none(library: Path, published: Path) -> None:
    def stop() -> None:
        raise Cancelled("Stopped: nothing was added.")

    with pytest.raises(Cancelled):
        add_set(str(published), check_cancelled=stop)
    assert not list(library.iterdir())


def test_a_disk_that_is_full_leaves_no_half_of_a_set(
    library: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(FileError, match="No space left") as raised:
        add_set(str(published))
    assert_sentence(raised.value)
    assert not list(library.iterdir())


def test_a_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "file" / "sets"))
    with pytest.raises(FileError) as raised:
        add_set(str(published))
    assert_sentence(raised.value)


def test_without_a_named_folder_sets_go_among_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Path
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    assert library_folder() == tmp_path / "data" / "sets"
    added = add_set(str(published))
    assert added.summary.path.parent == library_folder()
    assert added.summary.label in [one.label for one in available_sets()]


def test_addresses_and_checksums_are_told_from_other_texts() -> None:
    assert all(is_web(text) for text in ("https://a/b", "HTTP://a", "doi:10.5281/zenodo.1/a"))
    assert not any(is_web(text) for text in ("/home/a", "C:\\a", "httpsets/a", "doi.tif"))
    assert is_sha256("0aF" + "1" * 61)
    assert not any(is_sha256(text) for text in ("", "1" * 63, "g" * 64, "1" * 65))
