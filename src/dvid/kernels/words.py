"""Reading and writing whole numbers at any address: little-endian ones, as formats have them, and turned ones.

For compiled code only. Addresses are plain integers (`intp`), which add up without becoming floats. Nothing is checked.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if sys.byteorder != "little":
    raise ImportError("the kernels read formats of little-endian numbers in place: they need such a processor")


def _load(context: Any, builder: Any, arguments: Any, bits: int) -> Any:
    pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
    # Formats put numbers anywhere: promise the compiler nothing about their place.
    return builder.zext(builder.load(pointer, align=1), ir.IntType(64))


def _store(context: Any, builder: Any, arguments: Any, bits: int) -> Any:
    pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
    builder.store(arguments[1], pointer, align=1)
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def load_u8(_typing: Any, address: Any) -> Any:
    """The byte at an address, as int64."""
    return types.int64(types.intp), lambda context, builder, _, found: _load(context, builder, found, 8)


@intrinsic  # type: ignore[untyped-decorator]
def load_u16(_typing: Any, address: Any) -> Any:
    """The 2 bytes at an address, as int64."""
    return types.int64(types.intp), lambda context, builder, _, found: _load(context, builder, found, 16)


@intrinsic  # type: ignore[untyped-decorator]
def load_u32(_typing: Any, address: Any) -> Any:
    """The 4 bytes at an address, as int64."""
    return types.int64(types.intp), lambda context, builder, _, found: _load(context, builder, found, 32)


@intrinsic  # type: ignore[untyped-decorator]
def load_u64(_typing: Any, address: Any) -> Any:
    """The 8 bytes at an address, as uint64."""
    return types.uint64(types.intp), lambda context, builder, _, found: _load(context, builder, found, 64)


@intrinsic  # type: ignore[untyped-decorator]
def store_u8(_typing: Any, address: Any, value: Any) -> Any:
    """Write a byte at an address."""
    return types.void(types.intp, types.uint8), lambda context, builder, _, found: _store(context, builder, found, 8)


@intrinsic  # type: ignore[untyped-decorator]
def store_u32(_typing: Any, address: Any, value: Any) -> Any:
    """Write 4 bytes at an address."""
    return types.void(types.intp, types.uint32), lambda context, builder, _, found: _store(context, builder, found, 32)


@intrinsic  # type: ignore[untyped-decorator]
def store_u64(_typing: Any, address: Any, value: Any) -> Any:
    """Write 8 bytes at an address."""
    return types.void(types.intp, types.uint64), lambda context, builder, _, found: _store(context, builder, found, 64)


@intrinsic  # type: ignore[untyped-decorator]
def signed(_typing: Any, word: Any) -> Any:
    """A word, or an address, as int64: unsigned and signed numbers together would become floats."""
    return types.int64(types.uint64), lambda _context, _builder, _signature, found: found[0]


@intrinsic  # type: ignore[untyped-decorator]
def turned(_typing: Any, word: Any) -> Any:
    """The 8 bytes of a word in the other order."""
    return types.uint64(types.uint64), lambda _context, builder, _signature, found: builder.bswap(found[0])


@intrinsic  # type: ignore[untyped-decorator]
def ones(_typing: Any, word: Any) -> Any:
    """How many bits of a word are 1."""
    return types.int64(types.uint64), lambda _context, builder, _signature, found: builder.ctpop(found[0])


@intrinsic  # type: ignore[untyped-decorator]
def lowest_one(_typing: Any, word: Any) -> Any:
    """The place of the lowest bit of a word that is 1; 64 where none is."""
    false = ir.Constant(ir.IntType(1), 0)
    return types.int64(types.uint64), lambda _context, builder, _signature, found: builder.cttz(found[0], false)
