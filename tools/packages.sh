# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Which Debian packages the build and the checks need, and need_packages, which installs those that are missing.

# To build, fetch guests and run the examples.
# shellcheck disable=SC2034 # read by the scripts that source this file
packages_run=(gcc libc6-dev meson ninja-build pkgconf python3 xz-utils ca-certificates
    device-tree-compiler libfdt-dev liburing-dev libslirp-dev libseccomp-dev libcap-ng-dev libjansson-dev
    libmicrohttpd-dev systemtap-sdt-dev)

# To check: compilers, analysers, test frameworks, and QEMU 7.2 as a front-end beside the newer one of the cache.
# shellcheck disable=SC2034
packages_check=(git procps clang clang-tidy clang-format llvm libclang-rt-14-dev libcmocka-dev gcovr shellcheck
    python3-pytest python3-pexpect python3-prometheus-client gdb gcc-arm-none-eabi gcc-aarch64-linux-gnu
    libc6-dev-arm64-cross qemu-system-arm ipxe-qemu fio spin iproute2 iperf3 tcpdump passt valgrind socat ncat)

# need_packages NAME...: installs what is missing; asks for sudo only when something is and we are not root.
need_packages() {
    local name missing=() as_root=()
    for name in "$@"; do
        case "$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null)" in
        ?i*) ;;
        *) missing+=("$name") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "bulkhead: installing ${missing[*]}" >&2
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "bulkhead: as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
    # The index may be absent or old: read it only when the first try does not find everything.
    if ! "${as_root[@]}" "${install[@]}" >/dev/null 2>&1; then
        "${as_root[@]}" apt-get update -q >&2 && "${as_root[@]}" "${install[@]}" >&2
    fi
}

# build_folder TOP: where builds go: TOP itself, or a folder of the cache when the checkout cannot be written to.
build_folder() {
    if [ -w "$1" ]; then
        echo "$1"
    else
        local cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/builds
        local folder
        folder=$cache/$(printf %s "$1" | sha256sum | cut -c1-12)
        mkdir -p "$folder"
        echo "$folder"
    fi
}
