#!/usr/bin/env python3
"""Golden data of the number formats, made by gfloat, ml_dtypes and numpy, none of which knows our code.

Writes into tests/golden/:
    format_values.txt   NAME and the f32 bits of every code, formats of at most 8 bits
    format_hashes.txt   NAME CODES HASH of the f32 bits of every code in order, formats of at most 16 bits
    round_hashes.txt    NAME MODE SET COUNT HASH of the f32 bits of the rounded value of every input of a set

NaN is written as 7fc00000. The sets, which tests/unit/test_golden_formats.c restates:
    bf16   every bf16 value but NaN, in the order of the codes
    f32    10^6 values around every value and every tie of the format, then random ones in its range (see f32_inputs)

HASH: 64-bit FNV-1a over little-endian bytes in 1,024 lanes (value i goes to lane i mod 1,024), then over the lanes.
"""
import argparse
import pathlib

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np

LANES = 1024
INPUTS = 10**6
FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
NAN_BITS = 0x7FC00000
INF_BITS = 0x7F800000
SIGN = np.uint32(1 << 31)
MODES = {
    "rne": gfloat.RoundMode.TiesToEven,
    "up": gfloat.RoundMode.TowardPositive,
    "down": gfloat.RoundMode.TowardNegative,
    "zero": gfloat.RoundMode.TowardZero,
}


def fnv(values_u32):
    """The hash above of an array of uint32."""
    lanes = np.full(LANES, FNV_BASIS, np.uint64)
    prime = np.uint64(FNV_PRIME)

    def absorb(hashes, words, byte_count):
        for byte in range(byte_count):
            hashes ^= (words >> np.uint64(8 * byte)) & np.uint64(255)
            hashes *= prime

    words = values_u32.astype(np.uint64)
    for first in range(0, len(words), LANES):
        row = words[first : first + LANES]
        absorb(lanes[: len(row)], row, 4)
    total = np.full(1, FNV_BASIS, np.uint64)
    for lane in lanes:
        absorb(total, np.array([lane]), 8)
    return int(total[0])


def f32_bits(values):
    """f32 bits of float64 values that must be exact in f32."""
    with np.errstate(invalid="ignore"):
        single = values.astype(np.float32)
    assert np.array_equal(single.astype(np.float64), values, equal_nan=True)
    bits = single.view(np.uint32).copy()
    bits[np.isnan(values)] = NAN_BITS
    return bits


class Float:
    """A signed float format as gfloat sees it."""

    def __init__(self, name, info, dtype=None):
        self.name, self.info, self.bits, self.dtype = name, info, info.k, dtype

    def decode(self):
        codes = np.arange(1 << self.bits)
        values = gfloat.decode_ndarray(self.info, codes)
        if self.dtype is not None:
            wide = codes.astype(np.uint16 if self.bits == 16 else np.uint8)
            other = wide.view(self.dtype).astype(np.float64)
            assert f32_bits(other).tolist() == f32_bits(values).tolist(), self.name
        return values

    def round(self, x, mode):
        values = gfloat.round_ndarray(self.info, x, MODES[mode], sat=True)
        if self.dtype is not None and mode == "rne":
            inside = np.abs(x) <= float(self.info.max)
            other = x[inside].astype(np.float32).astype(self.dtype).astype(np.float64)
            assert f32_bits(other).tolist() == f32_bits(values[inside]).tolist(), self.name
        return values


class Int:
    """A symmetric integer: two's complement codes, the most negative of which no rounding gives."""

    def __init__(self, name, bits, largest):
        self.name, self.bits, self.largest = name, bits, largest

    def decode(self):
        codes = np.arange(1 << self.bits)
        half = 1 << (self.bits - 1)
        return ((codes ^ half) - half).astype(np.float64)

    def round(self, x, mode):
        rounding = {"rne": np.rint, "up": np.ceil, "down": np.floor, "zero": np.trunc}[mode]
        return np.clip(rounding(x), -self.largest, self.largest) + 0.0  # + 0.0: integers have no -0


class Scale:
    """E8M0: powers of two; what is below the smallest, negative or zero becomes the smallest."""

    name, bits, info = "ue8m0", 8, gfloat.formats.format_info_ocp_e8m0

    def decode(self):
        codes = np.arange(256)
        values = gfloat.decode_ndarray(self.info, codes)
        other = codes.astype(np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
        assert np.array_equal(values, other, equal_nan=True)
        return values

    def round(self, x, mode):
        return gfloat.round_ndarray(self.info, np.maximum(x, 2.0**-127), MODES[mode], sat=True)


def generic(exponent, mantissa):
    """eXmY: every code finite, but for X = 8, whose exponent 255 is Inf (mantissa 0) or NaN."""
    special = exponent == 8
    return gfloat.FormatInfo(
        name=f"e{exponent}m{mantissa}",
        k=1 + exponent + mantissa,
        precision=1 + mantissa,
        bias=2 ** (exponent - 1) - 1,
        is_signed=True,
        domain=gfloat.Domain.Extended if special else gfloat.Domain.Finite,
        has_nz=True,
        num_high_nans=2**mantissa - 1 if special else 0,
        has_subnormals=True,
        is_twos_complement=False,
    )


def formats():
    """Every format of at most 16 bits."""
    known = {
        "e4m3": (gfloat.formats.format_info_ocp_e4m3, ml_dtypes.float8_e4m3fn),
        "e5m2": (gfloat.formats.format_info_ocp_e5m2, ml_dtypes.float8_e5m2),
        "e2m1": (gfloat.formats.format_info_ocp_e2m1, ml_dtypes.float4_e2m1fn),
        "e2m3": (gfloat.formats.format_info_ocp_e2m3, ml_dtypes.float6_e2m3fn),
        "e3m2": (gfloat.formats.format_info_ocp_e3m2, ml_dtypes.float6_e3m2fn),
        "e8m7": (gfloat.formats.format_info_bfloat16, ml_dtypes.bfloat16),
    }
    yield Float("f16", gfloat.formats.format_info_binary16, np.float16)
    for exponent in range(2, 9):
        for mantissa in range(11):
            if 1 + exponent + mantissa > 16:
                continue
            name = f"e{exponent}m{mantissa}"
            info, dtype = known.get(name, (generic(exponent, mantissa), None))
            yield Float("bf16" if name == "e8m7" else name, info, dtype)
    for bits in range(2, 9):
        yield Int(f"int{bits}", bits, 2 ** (bits - 1) - 1)
    yield Int("ternary", 2, 1)
    yield Scale()


def bf16_inputs():
    codes = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    return codes[(codes & ~SIGN) <= INF_BITS]


def xorshift32(count):
    """The bits that f32_inputs makes random values of."""
    state, out = 2463534242, np.empty(count, np.uint32)
    for i in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        out[i] = state
    return out


def f32_inputs(decoded, random):
    """f32 bits of 10^6 inputs for a format with these decoded values.

    For each value v >= 0, ascending: the bits of v - 1, v, v + 1 ulp (not below 0), then of the midpoint to the next
    value (beyond the largest: one more step of the last width) - 2 .. + 2 ulps. Then `special`. Then all these negated.
    Then random values: sign and fraction from the generator's word, its exponent field folded into the format's range
    and a little more.
    """
    values = np.unique(np.abs(decoded[np.isfinite(decoded) & (decoded >= 0)]))
    following = np.append(values[1:], 2 * values[-1] - values[-2])
    middle = f32_bits((values + following) / 2).astype(np.int64)
    near = f32_bits(values).astype(np.int64)
    columns = [near - 1, near, near + 1] + [middle + d for d in (-2, -1, 0, 1, 2)]
    positive = np.maximum(np.stack(columns, axis=1).ravel(), 0)
    special = np.array([1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF])
    positive = np.concatenate([positive, special]).astype(np.uint32)
    assert np.all(positive < INF_BITS)
    around = np.concatenate([positive, positive | SIGN])
    rest = random[: INPUTS - len(around)]
    fields = f32_bits(values[values > 0]) >> np.uint32(23)
    low, high = max(int(fields[0]) - 3, 0), min(int(fields[-1]) + 1, 254)
    field = np.uint32(low) + (rest >> np.uint32(23) & np.uint32(255)) % np.uint32(high - low + 1)
    drawn = (rest & np.uint32(0x807FFFFF)) | field << np.uint32(23)
    return np.concatenate([around, drawn])


def main():
    here = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=here)
    out = parser.parse_args().out
    random, bf16 = xorshift32(INPUTS), bf16_inputs()
    values, hashes, rounded = [], [], []
    for f in formats():
        decoded = f.decode()
        bits = f32_bits(decoded)
        hashes.append(f"{f.name} {len(bits)} {fnv(bits):016x}\n")
        if f.bits <= 8:
            values.append(f.name + "".join(f" {b:x}" for b in bits) + "\n")
        for set_name, inputs in (("bf16", bf16), ("f32", f32_inputs(decoded, random))):
            assert set_name == "bf16" or len(inputs) == INPUTS
            x = inputs.view(np.float32).astype(np.float64)
            for mode in MODES:
                result = fnv(f32_bits(f.round(x, mode)))
                rounded.append(f"{f.name} {mode} {set_name} {len(inputs)} {result:016x}\n")
        print(f.name, flush=True)
    for name, lines in (("format_values", values), ("format_hashes", hashes), ("round_hashes", rounded)):
        (out / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
