"""Windows on what a server holds. Needs Qt: ``pip install 'dvidclient[gui]'``.

``contents_browser`` is the browser of repos, versions and data instances, a program and a widget; ``dialog`` is the same
with OK and Cancel.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

IMMORTAL_NONE = (3, 12)
DEBIAN_LIBRARIES = (
    "libegl1 libgl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 "
    "libxcb-keysyms1 libxcb-shape0 libxcb-xkb1"
)


def why_no_windows() -> str:
    """Why no window can be opened here, with what helps, on one line; empty where one can."""
    try:
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:
        said = " ".join(str(error).split())
        if ".so" in said:
            return f"Qt needs a library of the system: {said}; on Debian: apt-get install {DEBIAN_LIBRARIES}"
        return f"the contents browser needs Qt: pip install 'dvidclient[gui]' ({said})"
    if fault := _wrong_binding():
        return fault
    # Qt itself ends the whole program where it finds none.
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in displays):
        return "the contents browser needs a display: neither DISPLAY nor WAYLAND_DISPLAY is set"
    return ""


def _wrong_binding() -> str:
    """Whether the Qt for Python that was found would sooner or later end the program.

    PySide6 from 6.12 on is built for Pythons in which None is immortal. In those before 3.12 each call of it takes one
    reference to None too much, and the program ends with "Fatal Python error: none_dealloc" when none is left.
    """
    import qtpy

    found: Any = qtpy.PYSIDE_VERSION if qtpy.PYSIDE6 else None
    if found is None or _numbers(platform.python_version()) >= IMMORTAL_NONE or _numbers(found) < (6, 12):
        return ""
    return f"PySide6 {found} crashes under Python before 3.12: pip install 'PySide6-Essentials<6.12'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
