"""What the kernels need of the machine: copying between addresses, and the C functions of wheels that are here anyway.

Compiled code finds a C function by its name, so that the compiled kernels can be kept on disk.
"""

from __future__ import annotations

import ctypes
from typing import Any

import lz4.block
import xxhash._xxhash
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _name(symbol: str, extension_module: str, *exported: str) -> None:
    """Let compiled code call a C function that an extension module holds, or a library it is linked with.

    Args:
        symbol: the name for compiled code.
        extension_module: path of the module.
        exported: names that the function may have there; the first that is found is taken.
    """
    library = ctypes.CDLL(extension_module)
    function = next((found for name in exported if (found := getattr(library, name, None)) is not None), None)
    if function is None:
        raise ImportError(f"{extension_module} has no function {symbol}: install the package's wheel")
    binding.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)


_name("LZ4_decompress_safe", lz4.block._block.__file__, "LZ4_decompress_safe")
_name("LZ4_compress_fast", lz4.block._block.__file__, "LZ4_compress_fast")
# The first name chooses AVX where the processor has it: three times faster.
_name("XXH3_64bits_withSeed", xxhash._xxhash.__file__, "XXH3_64bits_withSeed_dispatch", "XXH3_64bits_withSeed")

lz4_decompress_safe = types.ExternalFunction(
    "LZ4_decompress_safe", types.int32(types.uintp, types.uintp, types.int32, types.int32)
)
"""(source address, target address, source bytes, target bytes) -> bytes written, negative where the data are damaged."""

lz4_compress_fast = types.ExternalFunction(
    "LZ4_compress_fast", types.int32(types.uintp, types.uintp, types.int32, types.int32, types.int32)
)
"""(source address, target address, source bytes, target bytes, acceleration) -> bytes written, 0 if they don't fit."""

xxh3_64 = types.ExternalFunction("XXH3_64bits_withSeed", types.uint64(types.uintp, types.uintp, types.uint64))
"""(address, bytes, seed) -> XXH3 of 64 bits."""

get_buffer = types.ExternalFunction("PyObject_GetBuffer", types.int32(types.intp, types.uintp, types.int32))
"""(id of an object, address of a Py_buffer, flags) -> 0, or -1 with a Python exception set. The GIL must be held."""

release_buffer = types.ExternalFunction("PyBuffer_Release", types.void(types.uintp))
"""(address of a Py_buffer). The GIL must be held."""

clear_error = types.ExternalFunction("PyErr_Clear", types.void())
"""Forget the Python exception that is set. The GIL must be held."""


@intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(_context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy `count` bytes between two addresses (memcpy). Nothing is checked."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        to, start = (builder.inttoptr(argument, pointer) for argument in arguments[:2])
        cgutils.raw_memcpy(builder, to, start, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def address_pointer(_context: Any, address: Any) -> Any:
    """An address as a pointer to bytes, for `numba.carray`. Nothing is checked."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.CPointer(types.uint8)(types.uintp), generate
