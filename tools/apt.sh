# To be sourced: installing Debian packages where that is allowed.

# True as root on Debian, Ubuntu and what descends from them.
may_apt() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
}

# apt_install PACKAGE...: never asks anything.
apt_install() {
    echo "Installing with apt-get: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null >/dev/null
}
