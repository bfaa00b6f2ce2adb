"""Where the bytes of Python buffers lie in memory, for kernels that read many of them in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.native import clear_error, copy_bytes, get_buffer, release_buffer

# A Py_buffer is smaller than this in every CPython; its first field is the address, its third the length in bytes:
# https://docs.python.org/3/c-api/buffer.html#c.Py_buffer
_BUFFER_WORDS = 32
_CONTIGUOUS = 0


@kernel("intp(intp[::1], intp, uintp[::1], intp[::1])")
def _locate(identities: NDArray[np.intp], none: int, addresses: NDArray[np.uintp], sizes: NDArray[np.intp]) -> int:
    """Fill in address and size of each object; returns the index of the first that is no buffer, or -1.

    Without nogil: it calls Python's C API.
    """
    view = np.zeros(_BUFFER_WORDS, np.uintp)
    for i in range(len(identities)):
        if identities[i] == none:
            addresses[i] = 0
            sizes[i] = 0
            continue
        if get_buffer(identities[i], view.ctypes.data, _CONTIGUOUS) != 0:
            clear_error()
            return i
        addresses[i] = view[0]
        sizes[i] = view[2]
        release_buffer(view.ctypes.data)
    return -1


def locate(views: Sequence[bytes | bytearray | memoryview | None]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Addresses and sizes in bytes of contiguous buffers; both 0 for None.

    The addresses hold as long as the caller keeps the buffers alive (and, for views of a store, its snapshot open).

    Raises:
        BadRequest: one of them is not a contiguous buffer.
    """
    count = len(views)
    identities = np.fromiter(map(id, views), np.intp, count)
    addresses = np.empty(count, np.uintp)
    sizes = np.empty(count, np.intp)
    wrong = _locate(identities, id(None), addresses, sizes)
    if wrong >= 0:
        raise BadRequest(f"buffer {wrong} of {count} is a {type(views[wrong]).__name__}, expected contiguous bytes")
    return addresses, sizes


def addresses(views: Sequence[bytes | bytearray | memoryview | None]) -> NDArray[np.uint64]:
    """Addresses of contiguous buffers, 0 for None: see `locate`."""
    return locate(views)[0]


@kernel("void(uintp[::1], intp[::1], uint8[:, ::1])", nogil=True)
def _read_heads(addresses: NDArray[np.uintp], sizes: NDArray[np.intp], heads: NDArray[np.uint8]) -> None:
    count = heads.shape[1]
    for i in range(len(addresses)):
        known = min(count, sizes[i])
        if known > 0:
            copy_bytes(np.uintp(heads.ctypes.data) + np.uintp(i * count), addresses[i], known)


def heads(addresses: NDArray[np.uint64], sizes: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """The first `count` bytes of each buffer: (n, count) uint8, with zeros where a buffer has fewer.

    Raises:
        BadRequest: not as many sizes as addresses.
    """
    if len(sizes) != len(addresses):
        raise BadRequest(f"{len(sizes)} sizes given for {len(addresses)} addresses")
    found = np.zeros((len(addresses), count), np.uint8)
    _read_heads(addresses, sizes, found)
    return found


_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t]
_new_bytes.restype = ctypes.py_object
_BYTES_OFFSET = bytes.__basicsize__ - 1


def new_bytes(size: int) -> tuple[bytes, int]:
    """A bytes object with content yet to be written, and the address of that content.

    So that a kernel can write what is sent, with no copy in between. CPython allows this as long as nobody else has
    seen the object (https://docs.python.org/3/c-api/bytes.html#c.PyBytes_FromStringAndSize).
    """
    made: bytes = _new_bytes(None, size)
    return made, id(made) + _BYTES_OFFSET
