"""The demonstration in a window: what was asked for is what runs, or nothing opens."""

from collections.abc import Callable
from typing import Any

import pytest
from support import assert_sentence

from napari_dmu.errors import SettingsError
from napari_dmu.viewer.demo import open_demo


@pytest.fixture
def windows(make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The windows that the demonstration has made; none of them waits for a user."""
    made: list[Any] = []

    def window(**options: Any) -> Any:
        made.append(make_napari_viewer(**{**options, "show": False}))
        return made[-1]

    monkeypatch.setattr("napari.Viewer", window)
    monkeypatch.setattr("napari.run", lambda: None)
    monkeypatch.setattr("napari_dmu.viewer.widgets.panel.CompressiveMicroscope._run_all", lambda panel: None)
    return made


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"seed": 3_000_000_000}, "seed of 3000000000"),
        ({"seed": -1}, "seed of -1"),
        ({"photons": 5e7}, "photons of 50000000"),
        ({"photons": 0.0}, "photons of 0"),
        ({"photons": float("nan")}, "photons of nan"),
        ({"device": "cuda:1"}, "device of cuda:1"),
        ({"set_name": "potatoes"}, "×64 potatoes, learned"),
        ({"ratio": 65.0}, "×65 nuclei, learned"),
    ],
)
def test_what_the_window_cannot_hold_is_refused_before_it_is_seen(
    windows: list[Any], monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], named: str
) -> None:
    closed: list[Any] = []
    shown: list[Any] = []
    monkeypatch.setattr("napari._qt.qt_main_window.Window.show", lambda *_, **__: shown.append(True))
    monkeypatch.setattr("napari._qt.qt_main_window.Window.close", lambda *_: closed.append(True))
    with pytest.raises(SettingsError) as refused:
        open_demo(**asked)
    monkeypatch.undo()
    assert_sentence(refused.value)
    assert named in str(refused.value)
    assert (shown, closed) == ([], [True])


def test_what_was_asked_for_is_in_the_window(windows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari._qt.qt_main_window.Window.show", lambda *_, **__: None)
    open_demo(photons=123.456, seed=2**31 - 1, device="cpu", family="plain")
    (viewer,) = windows
    (panel,) = viewer.window.dock_widgets.values()
    choices = panel.settings.choices()
    assert (choices.name, choices.ratio, choices.family) == ("nuclei", 64, "plain")
    assert (choices.photons, choices.seed, choices.device) == (123.456, 2**31 - 1, "cpu")
