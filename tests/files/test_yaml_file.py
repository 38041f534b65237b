"""YAML files that are none end in one sentence, which says where."""

from pathlib import Path

import pytest
from support import assert_sentence

from napari_dmu.errors import FileError
from napari_dmu.files.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [1, 2", "'a.yaml' is not valid YAML in line 1"),
        (b"day: 2026-02-30", "'a.yaml' is not valid YAML: "),
        (b"\xff\xfe\x00", "'a.yaml' is not valid YAML: "),
        (b"[" * 5000, "'a.yaml' is not valid YAML: "),
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert str(caught.value).startswith(says)
    assert_sentence(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read") as caught:
        read_yaml(tmp_path / "a.yaml")
    assert_sentence(caught.value)
