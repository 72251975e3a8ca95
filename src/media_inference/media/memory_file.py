"""Unnamed files in memory, to share bytes with the decoder's child."""

import mmap
import os
import sys

if sys.platform == "linux":
    import fcntl

    def sized(size: int) -> int:
        """Descriptor of a new file of zeros; nobody can change its size, and pages take memory when first touched."""
        descriptor = os.memfd_create("decoder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        # Whoever shrinks a mapped file kills those who read the rest of the mapping (SIGBUS).
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return descriptor

    def filled(content: bytes) -> int:
        """Descriptor of a new file with this content that nobody can change."""
        descriptor = _filled(content)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
        return descriptor

    def contents(descriptor: int, size: int) -> mmap.mmap | bytes:
        """The first ``size`` bytes, not copied; they stay valid after the descriptor is closed."""
        return mmap.mmap(descriptor, size, prot=mmap.PROT_READ)

else:
    import tempfile

    def sized(size: int) -> int:
        """Descriptor of a new file of zeros."""
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())

    def filled(content: bytes) -> int:
        """Descriptor of a new file with this content."""
        return _filled(content)

    def contents(descriptor: int, size: int) -> mmap.mmap | bytes:
        """The first ``size`` bytes. Copied: without seals a mapping is not safe from the other side."""
        return os.pread(descriptor, size, 0)


def _filled(content: bytes) -> int:
    descriptor = sized(len(content))
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
