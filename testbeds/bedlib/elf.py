# SPDX-License-Identifier: Apache-2.0
"""Just enough of ELF64 to find a program's libraries and a kernel module's properties, without binutils."""
import struct
from pathlib import Path

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB = 1, 5


def _string(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


def needed(path):
    """The sonames that an executable or library names as DT_NEEDED; empty for a static one or no ELF file."""
    data = Path(path).read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return []
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    loads, dynamic = [], None
    for index in range(phnum):
        kind, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, phoff + index * phentsize)
        if kind == PT_LOAD:
            loads.append((vaddr, offset, filesz))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, filesz)
    if dynamic is None:
        return []
    tags = [struct.unpack_from("<qQ", data, dynamic[0] + at) for at in range(0, dynamic[1], 16)]
    strtab = next(value for tag, value in tags if tag == DT_STRTAB)
    table = next(offset + strtab - vaddr for vaddr, offset, size in loads if vaddr <= strtab < vaddr + size)
    return [_string(data, table + value) for tag, value in tags if tag == DT_NEEDED]


def closure(tree, programs, folders):
    """The library files under tree/folders that the programs need, directly or not; raises on a missing one."""
    found, todo = {}, list(programs)
    while todo:
        for soname in needed(todo.pop()):
            if soname in found:
                continue
            places = [tree / folder / soname for folder in folders]
            place = next((path for path in places if path.exists()), None)
            if place is None:
                raise FileNotFoundError(f"{soname}: in none of {', '.join(str(path.parent) for path in places)}")
            found[soname] = place
            todo.append(place)
    return found


def modinfo(data):
    """A kernel module's .modinfo section as {key: [values]}."""
    shoff, = struct.unpack_from("<Q", data, 40)
    shentsize, shnum, shstrndx = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, shoff + index * shentsize) for index in range(shnum)]
    names = headers[shstrndx][4]
    result = {}
    for name, _, _, _, offset, size in headers:
        if _string(data, names + name) != ".modinfo":
            continue
        for entry in data[offset:offset + size].split(b"\0"):
            key, _, value = entry.decode(errors="replace").partition("=")
            if key:
                result.setdefault(key, []).append(value)
    return result
