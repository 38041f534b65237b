#!/usr/bin/env bash
# Are the libraries there that Qt 6 needs to open a window? Installs what lacks on Debian and Ubuntu as root; elsewhere says what to install, and fails.
#
#   install_display.sh window|xvfb [PYTHON]      window: the libraries; xvfb: and a virtual display for the tests
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

what=${1:-xvfb}
python=${2:-python3}
case $what in window | xvfb) ;; *)
    echo "install_display.sh: say 'window' or 'xvfb', not '$what'." >&2
    exit 2
    ;;
esac
[ "$(uname -s)" = Linux ] || exit 0

# library that Qt or its X11 plugin loads : Debian package that holds it
libraries="
libxcb-cursor.so.0:libxcb-cursor0
libxkbcommon-x11.so.0:libxkbcommon-x11-0
libxkbcommon.so.0:libxkbcommon0
libxcb-icccm.so.4:libxcb-icccm4
libxcb-image.so.0:libxcb-image0
libxcb-keysyms.so.1:libxcb-keysyms1
libxcb-render-util.so.0:libxcb-render-util0
libxcb-randr.so.0:libxcb-randr0
libxcb-shape.so.0:libxcb-shape0
libxcb-shm.so.0:libxcb-shm0
libxcb-sync.so.1:libxcb-sync1
libxcb-xfixes.so.0:libxcb-xfixes0
libxcb-xinerama.so.0:libxcb-xinerama0
libxcb-xkb.so.1:libxcb-xkb1
libX11-xcb.so.1:libx11-xcb1
libEGL.so.1:libegl1
libGL.so.1:libgl1
libdbus-1.so.3:libdbus-1-3
libfontconfig.so.1:libfontconfig1
libglib-2.0.so.0:libglib2.0-0
libgssapi_krb5.so.2:libgssapi-krb5-2
"

# The packages that lack, one a line. Loading is the only question that has the same answer on every distribution.
missing() {
    "$python" - $libraries <<'PY'
import ctypes
import sys

for entry in sys.argv[1:]:
    library, package = entry.split(":")
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
PY
    if [ "$what" = xvfb ]; then
        command -v Xvfb >/dev/null 2>&1 && command -v xvfb-run >/dev/null 2>&1 || echo xvfb
        command -v xauth >/dev/null 2>&1 || echo xauth
    fi
}

lacking=$(missing | tr '\n' ' ')
[ -n "${lacking// /}" ] || exit 0

if may_apt; then
    # shellcheck disable=SC2086  # one word a package
    apt_install $lacking || true  # what still lacks is said below
    lacking=$(missing | tr '\n' ' ')
    [ -n "${lacking// /}" ] || exit 0
fi
cat >&2 <<EOF
A window of napari needs system libraries that are not here. On Debian or Ubuntu run
    sudo apt-get install ${lacking% }
and elsewhere install the packages that hold the same libraries; then repeat the command.
EOF
exit 1
