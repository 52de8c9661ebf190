# SPDX-License-Identifier: Apache-2.0
"""A writer of "newc" cpio archives, as Linux reads them for its initial ramdisk.

Owners, times and inode numbers are fixed and members are written in sorted order, so the same input gives the same bytes;
device nodes are only records, so no privilege is needed to make one.
"""
import gzip
import io
import os
import stat
from pathlib import Path


class Ramdisk:
    """Collects members, then writes them: add_*() in any order, bytes() at the end."""

    def __init__(self):
        self.members = {}

    def _put(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        self.members[name] = (mode, data, device)
        parent = os.path.dirname(name)
        if parent and parent not in self.members:
            self._put(parent, stat.S_IFDIR | 0o755)

    def add_directory(self, name, mode=0o755):
        self._put(name, stat.S_IFDIR | mode)

    def add_file(self, name, data, mode=0o644):
        self._put(name, stat.S_IFREG | mode, data)

    def add_link(self, name, target):
        self._put(name, stat.S_IFLNK | 0o777, target.encode())

    def add_device(self, name, major, minor, mode=0o600):
        self._put(name, stat.S_IFCHR | mode, device=(major, minor))

    def add_tree(self, folder, prefix=""):
        """Every file and symlink below folder, dot files of the cache left out."""
        folder = Path(folder).resolve()
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if relative.parts[0].startswith("."):
                continue
            name = os.path.join(prefix, str(relative))
            if path.is_symlink():
                self.add_link(name, os.readlink(path))
            elif path.is_file():
                self.add_file(name, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def bytes(self, compress=True):
        """The archive, gzip-compressed unless told otherwise; padded so that another may follow it."""
        output = io.BytesIO()
        for inode, name in enumerate(sorted(self.members), start=1):
            mode, data, device = self.members[name]
            _member(output, name, inode, mode, data, device)
        _member(output, "TRAILER!!!", 0, 0, b"", (0, 0))
        raw = output.getvalue()
        raw += b"\0" * (-len(raw) % 512)
        return gzip.compress(raw, 9, mtime=0) if compress else raw


def _member(output, name, inode, mode, data, device):
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    output.write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
    output.write(b"\0" * (-(110 + len(encoded)) % 4))
    output.write(data + b"\0" * (-len(data) % 4))
