#!/usr/bin/env python3
"""A small GGUF file made by the Python package gguf, which tests/unit/test_gguf.c reads: tests/golden/small.gguf.

Metadata of every type, arrays of numbers, strings and arrays, and three tensors.
"""
import argparse
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests" / "golden")
    writer = gguf.GGUFWriter(parser.parse_args().out / "small.gguf", "llama")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_int64("test.i64", -(2**63))
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.yes", True)
    writer.add_bool("test.no", False)
    writer.add_string("test.text", "Größe 寸 😀")
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.words", ["a", "", "ĠĊ", "x" * 300])
    writer.add_key_value("test.nested", [[1, 2], [3]], Value.ARRAY, Value.ARRAY)
    values = np.arange(2 * 3 * 32, dtype=np.float32).reshape(3, 64) / 8 - 12
    writer.add_tensor("a.weight", values)
    writer.add_tensor("b.weight", gguf.quantize(values, Type.Q4_1), raw_dtype=Type.Q4_1)
    writer.add_tensor("c", np.array([1.5, -2.5, 65504], np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
