"""What numba has no words for: memory by its address, memory asked for early, tiles of products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

if TYPE_CHECKING:
    from llvmlite.ir import IRBuilder, Value
    from numba.core.base import BaseContext

    Generate = Callable[[BaseContext, IRBuilder, object, Sequence[Value]], Value]
    Instructions = tuple[object, Generate]  # the signature, and what writes them

LANES: Final = 16 if get_host_cpu_features().get("avx512f") else 8  # float32 in the widest vector
# A tile has as many products as a vector has numbers, so that all its sums end up in one vector.
COLUMNS: Final = 4
ROWS: Final = LANES // COLUMNS

INTEGER = ir.IntType(64)
VECTOR = ir.VectorType(ir.FloatType(), LANES)
FUSED = ("contract",)  # a product may be added without being rounded first


@intrinsic  # type: ignore[untyped-decorator] # numba has no types
def pointer(_context: object, address: types.Type) -> Instructions:
    """What lies at an address, for `carray` to make an array of."""

    def generate(
        _context: object, builder: IRBuilder, _signature: object, arguments: Sequence[Value]
    ) -> Value:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator] # numba has no types
def prefetch(_context: object, address: types.Type) -> Instructions:
    """Ask for the line of memory around an address, which need not exist."""

    def generate(
        context: BaseContext, builder: IRBuilder, _signature: object, arguments: Sequence[Value]
    ) -> Value:
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t] + [cgutils.int32_t] * 3)
        ask = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        reading, second_cache, data = (cgutils.int32_t(code) for code in (0, 2, 1))
        place = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        builder.call(ask, [place, reading, second_cache, data])
        return context.get_dummy_value()

    return types.void(address), generate


@intrinsic  # type: ignore[untyped-decorator] # numba has no types
def multiply_tile(
    _context: object,
    left: types.Type, right: types.Type, width: types.Type, out: types.Type, stride: types.Type,
) -> Instructions:  # fmt: skip
    """Write the inner products of ROWS vectors with COLUMNS others.

    Args:
        left: where the addresses of the ROWS vectors begin, (width,) float32 each.
        right: where those of the COLUMNS others begin.
        width: a multiple of LANES.
        out: where the products go, COLUMNS float32 for each row.
        stride: bytes from one of their rows to the next.
    """

    def generate(
        context: BaseContext, builder: IRBuilder, _signature: object, arguments: Sequence[Value]
    ) -> Value:
        left, right, width, out, stride = arguments
        rows = [_address(builder, left, i) for i in range(ROWS)]
        columns = [_address(builder, right, j) for j in range(COLUMNS)]
        zeros = ir.Constant(VECTOR, [0.0] * LANES)
        sums = [cgutils.alloca_once_value(builder, zeros) for _ in range(LANES)]
        with cgutils.for_range_slice(builder, INTEGER(0), width, INTEGER(LANES), INTEGER) as (k, _):
            offset = builder.mul(k, INTEGER(4))
            x, y = ([_load(builder, a, offset) for a in table] for table in (rows, columns))
            for (a, b), total in zip(product(x, y), sums, strict=True):
                more = builder.fmul(a, b, flags=FUSED)
                builder.store(builder.fadd(builder.load(total), more, flags=FUSED), total)
        found = _add_up(builder, [builder.load(total) for total in sums])
        for i in range(ROWS):
            line = _take(builder, found, found, range(i * COLUMNS, (i + 1) * COLUMNS))
            place = builder.add(out, builder.mul(stride, INTEGER(i)))
            builder.store(line, builder.inttoptr(place, line.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(left, right, width, out, stride), generate


def _address(builder: IRBuilder, table: Value, index: int) -> Value:
    place = builder.add(table, INTEGER(8 * index))
    return builder.load(builder.inttoptr(place, INTEGER.as_pointer()))


def _load(builder: IRBuilder, address: Value, offset: Value) -> Value:
    place = builder.inttoptr(builder.add(address, offset), VECTOR.as_pointer())
    return builder.load(place, align=4)


def _add_up(builder: IRBuilder, vectors: Sequence[Value]) -> Value:
    """The sums of LANES vectors as one vector: neighbours are added until one is left."""
    even, odd = range(0, 2 * LANES, 2), range(1, 2 * LANES, 2)
    while len(vectors) > 1:
        vectors = [
            builder.fadd(_take(builder, a, b, even), _take(builder, a, b, odd))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]


def _take(builder: IRBuilder, first: Value, second: Value, lanes: Iterable[int]) -> Value:
    """Some numbers of two vectors, those of the second being counted from LANES on."""
    chosen = list(lanes)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen)
    return builder.shuffle_vector(first, second, mask)
