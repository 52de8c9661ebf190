# SPDX-License-Identifier: Apache-2.0
"""The foreign pieces that the test beds are made of, one recipe each.

A recipe names Debian packages and a suite, and a finish(tree, folder, architecture) step that lays what is wanted of the
unpacked tree into the piece's folder. Paths inside a piece are an interface: engines and tests use them.
"""
import json
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import cache, debian, elf

# Kernel modules that guests load; what they depend on comes along.
GUEST_MODULES = ("virtio_blk", "virtio_net", "virtio-rng", "virtio_mmio", "virtio_balloon", "virtio_scsi", "virtio_input",
                 "vmw_vsock_virtio_transport", "evdev", "virtiofs")
UML_MODULES = ("virtio_blk", "virtio_net", "virtio_console", "virtio_scsi", "vmw_vsock_virtio_transport", "ext4")


@dataclass(frozen=True)
class Piece:
    """How one piece is made. A package name that starts with * is a meta package: what it depends on is meant."""

    help: str
    suite: str
    architecture: str  # "host" stands for the machine's own
    packages: tuple
    finish: Callable
    closure: bool = False
    placed: bool = False  # absolute paths of the cache stand in it
    revision: int = 1  # raise it when finish() changes what it makes


def _copy(source, target, mode=None):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode or (0o755 if os.access(source, os.X_OK) else 0o644))


def _library_folders(architecture):
    triplet = debian.TRIPLETS[architecture]
    return [f"usr/lib/{triplet}", f"lib/{triplet}", f"usr/lib/{triplet}/ceph"]  # fio needs one of ceph's


def _copy_loader(tree, folder, architecture):
    """Lays the dynamic loader at the path that programs of this architecture name."""
    loader = debian.LOADERS[architecture]
    source = next(path for path in (tree / f"usr/lib/{debian.TRIPLETS[architecture]}/{loader}",
                                    tree / f"lib/{debian.TRIPLETS[architecture]}/{loader}") if path.exists())
    _copy(source, folder / ("lib64" if architecture == "amd64" else "lib") / loader, 0o755)


def _programs(names, loaded=()):
    """A finish step: the named programs, every library they need and their loader, as a small root folder.

    loaded: libraries that they load only when they run.
    """

    def finish(tree, folder, architecture):
        sources = [next(path for path in (tree / name, tree / "usr" / name) if path.exists()) for name in names]
        for source, name in zip(sources, names):
            _copy(source, folder / "usr" / name, 0o755)
        libraries = elf.closure(tree, sources, _library_folders(architecture))
        for soname, path in libraries.items():
            if soname != debian.LOADERS[architecture]:
                _copy(path, folder / "lib" / debian.TRIPLETS[architecture] / soname)
        for soname in loaded:
            path = next(tree / place / soname for place in _library_folders(architecture) if (tree / place / soname).exists())
            _copy(path, folder / "lib" / debian.TRIPLETS[architecture] / soname)
        _copy_loader(tree, folder, architecture)

    return finish


def _file(pattern, target, mode=None):
    """A finish step: one file of the package under a fixed name."""

    def finish(tree, folder, _):
        _copy(next(iter(sorted(tree.glob(pattern)))), folder / target, mode)

    return finish


def lay_modules(modules, wanted, folder):
    """Writes decompressed modules, modules.dep and modules.alias (modprobe's formats) into folder.

    modules: {name: path of a .ko or .ko.xz}; wanted: names whose dependency closure is taken.
    """
    def canonical(name):
        return name.replace("-", "_")

    paths = {canonical(name): path for name, path in modules.items()}
    folder.mkdir(parents=True, exist_ok=True)
    todo, done = [canonical(name) for name in wanted], {}
    while todo:
        name = todo.pop()
        if name in done or name not in paths:
            continue
        path = paths[name]
        data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        info = elf.modinfo(data)
        depends = [canonical(word) for word in ",".join(info.get("depends", [])).split(",") if word]
        done[name] = (depends, info.get("alias", []))
        (folder / f"{name}.ko").write_bytes(data)
        todo += depends

    def below(name):
        result = []
        for dependency in done[name][0]:
            result += [dependency, *below(dependency)]
        return list(dict.fromkeys(result))

    (folder / "modules.dep").write_text("".join(
        f"{name}.ko:{''.join(f' {word}.ko' for word in below(name))}\n" for name in sorted(done)))
    (folder / "modules.alias").write_text("".join(
        f"alias {alias} {name}\n" for name in sorted(done) for alias in done[name][1]))


def _kernel(tree, folder, _):
    _copy(next(tree.glob("boot/vmlinuz-*")), folder / "Image", 0o644)
    _copy(next(tree.glob("boot/config-*")), folder / "config", 0o644)
    release = next((tree / "usr/lib/modules").iterdir())
    modules = {path.name.split(".")[0]: path for path in release.rglob("*.ko*")}
    lay_modules(modules, GUEST_MODULES, folder / "modules" / release.name)


QEMU_STARTER = """#!/bin/sh
# Starts the unpacked QEMU with its own loader, libraries and modules; nothing of it is installed in the system.
# No display or audio module is looked for unless asked: a system QEMU of another version could offer its own.
here=$(dirname -- "$(readlink -f -- "$0")")/..
export QEMU_MODULE_DIR="$here/tree/usr/lib/@TRIPLET@/qemu"
exec "$here/tree/usr/lib64/@LOADER@" --argv0 "$0" --library-path "$here/tree/usr/lib/@TRIPLET@" \\
    "$here/tree/usr/bin/@PROGRAM@" -L "$here/tree/usr/share/qemu" -display none -audio none "$@"
"""


def _qemu(tree, folder, architecture):
    for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/icons"):
        shutil.rmtree(tree / name, ignore_errors=True)
    shutil.copytree(tree, folder / "tree", symlinks=True)
    (folder / "bin").mkdir()
    for program in ("qemu-system-aarch64", "qemu-system-arm"):
        text = QEMU_STARTER.replace("@TRIPLET@", debian.TRIPLETS[architecture])
        text = text.replace("@LOADER@", debian.LOADERS[architecture]).replace("@PROGRAM@", program)
        starter = folder / "bin" / program
        starter.write_text(text)
        starter.chmod(0o755)


def _patchelf():
    """The system's patchelf, or the one of the `patchelf` piece."""
    return shutil.which("patchelf") or str(get("patchelf") / "usr/bin/patchelf")


def _uml(tree, folder, architecture):
    """User-mode Linux starts itself again by its own path, so it must carry its loader and library path inside.

    They are absolute paths through the cache's link to the piece, so the piece belongs to this cache folder.
    """
    triplet = debian.TRIPLETS[architecture]
    _copy(tree / "usr/bin/linux.uml", folder / "linux.uml", 0o755)
    libraries = elf.closure(tree, [folder / "linux.uml"], _library_folders(architecture))
    for soname, path in libraries.items():
        _copy(path, folder / "lib" / soname, 0o755)
    loader = debian.LOADERS[architecture]
    _copy(tree / "usr/lib" / triplet / loader, folder / "lib" / loader, 0o755)
    release = next((tree / "usr/lib/uml/modules").iterdir())
    modules = {path.name.split(".")[0]: path for path in release.rglob("*.ko*")}
    lay_modules(modules, UML_MODULES, folder / "modules" / release.name)
    lib = cache.root() / "uml" / "lib"
    subprocess.run([_patchelf(), "--set-interpreter", str(lib / loader), "--set-rpath", str(lib),
                    str(folder / "linux.uml")], check=True)


def _uml_loopback(tree, folder, _):
    """By UML's release: the ramdisk's other modules are the `uml` piece's, and a later fetch may bring another one."""
    release = next((tree / "usr/lib/uml/modules").iterdir())
    modules = {path.name.split(".")[0]: path for path in release.rglob("*.ko*")}
    lay_modules(modules, ("vsock_loopback",), folder / "loopback" / release.name)


E2FSPROGS = ("sbin/mke2fs", "sbin/e2fsck", "sbin/tune2fs")
NET_TOOLS = ("bin/iperf3", "sbin/ethtool")

PIECES = {
    "qemu": Piece("QEMU 11 for Arm guests, unpacked beside the system's: bin/qemu-system-aarch64",
                  "sid", "host", ("qemu-system-arm", "qemu-system-common"), _qemu, closure=True),
    "kernel-arm64": Piece("Debian's arm64 cloud kernel: Image, config, modules/RELEASE/*.ko",
                          "trixie", "arm64", ("*linux-image-cloud-arm64",), _kernel),
    "busybox-arm64": Piece("static busybox for guests: busybox", "trixie", "arm64", ("busybox-static",),
                           _file("usr/bin/busybox", "busybox", 0o755)),
    "busybox-host": Piece("static busybox for User-mode Linux: busybox", "trixie", "host", ("busybox-static",),
                          _file("usr/bin/busybox", "busybox", 0o755)),
    "e2fsprogs-arm64": Piece("mke2fs, e2fsck and their libraries as a small root", "trixie", "arm64", ("e2fsprogs",),
                             _programs(E2FSPROGS), closure=True),
    "e2fsprogs-host": Piece("the same for User-mode Linux", "trixie", "host", ("e2fsprogs",),
                            _programs(E2FSPROGS), closure=True),
    "fio-arm64": Piece("fio and its libraries as a small root", "trixie", "arm64", ("fio",),
                       _programs(("bin/fio",)), closure=True),
    "net-tools-arm64": Piece("iperf3, ethtool and their libraries as a small root", "trixie", "arm64",
                             ("iperf3", "ethtool"), _programs(NET_TOOLS, ["libgcc_s.so.1"]), closure=True),
    "net-tools-host": Piece("the same for User-mode Linux", "trixie", "host", ("iperf3", "ethtool"),
                            _programs(NET_TOOLS, ["libgcc_s.so.1"]), closure=True),
    "socat-arm64": Piece("socat, which speaks vsock, and its libraries as a small root", "trixie", "arm64", ("socat",),
                         _programs(("bin/socat",)), closure=True),
    "socat-host": Piece("the same for User-mode Linux", "trixie", "host", ("socat",),
                        _programs(("bin/socat",)), closure=True),
    "qemu-storage-daemon": Piece("QEMU 11's storage daemon and its libraries as a small root, for the conformance suite",
                                 "sid", "host", ("qemu-utils",), _programs(("bin/qemu-storage-daemon",)), closure=True),
    "vhost-device-vsock": Piece("rust-vmm's vhost-device-vsock likewise", "sid", "host", ("vhost-device-vsock",),
                                _programs(("bin/vhost-device-vsock",)), closure=True),
    "patchelf": Piece("patchelf, where the system has none", "bookworm", "host", ("patchelf",),
                      _file("usr/bin/patchelf", "usr/bin/patchelf", 0o755)),
    "uml": Piece("User-mode Linux with its own libc: linux.uml, modules/RELEASE/*.ko", "sid", "host",
                 ("user-mode-linux", "libc6"), _uml, placed=True),
    "uml-vsock-loopback": Piece("the module by which User-mode Linux' AF_VSOCK reaches itself: loopback/RELEASE/*.ko", "sid",
                                "host", ("user-mode-linux",), _uml_loopback),
    "u-boot-arm64": Piece("U-Boot for QEMU's virt machine: u-boot.bin", "trixie", "arm64", ("u-boot-qemu",),
                          _file("usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot.bin")),
}


def get(name, thorough=False):
    """The folder of a piece, made first when the cache has none that is whole."""
    piece = PIECES[name]
    architecture = debian.host_architecture() if piece.architecture == "host" else piece.architecture
    identity = cache.fingerprint(name, piece.suite, architecture, piece.packages, piece.revision, QEMU_STARTER,
                                 GUEST_MODULES, UML_MODULES, str(cache.root()) if piece.placed else "")

    def build(folder):
        with tempfile.TemporaryDirectory(prefix=".unpack~", dir=cache.root()) as scratch:
            tree = Path(scratch)
            packages = debian.fetch(piece.suite, architecture, piece.packages, tree, piece.closure)
            cache.say(f"{name}: laying out")
            piece.finish(tree, folder, architecture)
        return {"suite": piece.suite, "architecture": architecture, "packages": packages}

    return cache.publish(name, identity, build, thorough)


def version(name):
    """The package versions a present piece was made of, for reports."""
    recipe = json.loads((cache.root() / name / cache.RECIPE).read_text())
    return {re.sub(r"_.*", "", file): file.split("_")[1].replace("%3a", ":") for file in recipe["packages"]}


def command(name, program):
    """The words that start a program of a piece that is a small root for this machine, on the libraries in it."""
    folder, architecture = get(name), debian.host_architecture()
    place = "lib64" if architecture == "amd64" else "lib"
    return [folder / place / debian.LOADERS[architecture], "--library-path", folder / "lib" / debian.TRIPLETS[architecture],
            folder / "usr" / program]
