# SPDX-License-Identifier: Apache-2.0
"""What the test beds' scripts share: the cache, Debian packages, ELF files, cpio archives and the pieces' recipes."""
