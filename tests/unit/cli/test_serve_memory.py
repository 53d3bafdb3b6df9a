"""How `serve` sets malloc."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

MAPPED_AFTER_ONE_WAS_FREED = """
import ctypes
from bot.cli import serve

class Info(ctypes.Structure):  # mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd u f used free top".split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
serve._unmap_large_blocks()
bytes(1_000_000)
before = mallinfo2().hblkhd
kept = bytes(1_000_000)
print(mallinfo2().hblkhd - before)
"""


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or newer"
)
def test_a_large_block_is_mapped_by_itself_although_another_was_freed() -> None:
    """Else it would come from the heap, and leave a hole there."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", MAPPED_AFTER_ONE_WAS_FREED], capture_output=True, check=True, text=True
    )
    assert int(done.stdout) >= 1_000_000
