#!/usr/bin/env python3
"""Golden data of GGUF's block types, made by the Python package gguf (gguf.quants), which does not know our code.

Writes tests/golden/blocks.safetensors, which tests/unit/test_block.c reads:
    decode.TYPE.blocks   bytes of blocks: random ones, with scales that are zero, subnormal, large, infinite, NaN
    decode.TYPE.values   their values in f32
    encode.values        f32 rows of 256: random at many magnitudes, and edges
    encode.TYPE.blocks   their blocks

Inputs whose scale has an infinite reciprocal are left out of encode.values: what the reference does there is not
defined. A block of -0 alone too: ggml in C gives Q4_0 the scale -0 there, the package 0.
"""
import argparse
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

DECODED = {
    "f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q4_0": Type.Q4_0, "q4_1": Type.Q4_1, "q5_0": Type.Q5_0,
    "q5_1": Type.Q5_1, "q8_0": Type.Q8_0, "q2_k": Type.Q2_K, "q3_k": Type.Q3_K, "q4_k": Type.Q4_K, "q5_k": Type.Q5_K,
    "q6_k": Type.Q6_K, "iq4_nl": Type.IQ4_NL,
}
ENCODED = ["f16", "bf16", "q4_0", "q4_1", "q8_0"]
# Where the f16 scales of a block stand.
SCALES = {
    "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108],
    "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0],
}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00, 0x7C00, 0xFC00, 0x7E00, 0x7C01]


def random_blocks(random, name, count):
    """Bytes of `count` blocks, the first of which have special scales."""
    _, size = gguf.GGML_QUANT_SIZES[DECODED[name]]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for place, offset in enumerate(SCALES[name]):
        scales = random.standard_normal(count) * 2.0 ** random.integers(-12, 3, count)
        scales = scales.astype(np.float16).view(np.uint16)
        special = np.array(SPECIAL, np.uint16) if place == 0 else np.array(SPECIAL[::-1], np.uint16)
        scales[: min(count, len(special))] = special[:count]
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def decode_inputs(random, name):
    if name == "f32":
        return random.integers(0, 256, (1, 256), dtype=np.uint8)
    if name in ("f16", "bf16"):
        codes = np.concatenate([np.array(SPECIAL, np.uint16), random.integers(0, 65536, 500).astype(np.uint16)])
        return codes.view(np.uint8).reshape(1, -1)
    return random_blocks(random, name, 12 if name.endswith("_k") else 24)


def edges():
    """Blocks of 32 values that single out a rule."""
    line = np.linspace(-1, 1, 32, dtype=np.float32)
    one = np.zeros(32, np.float32)
    one[7] = 1
    both = np.zeros(32, np.float32)
    both[3], both[20] = 1, -1  # the first of two largest magnitudes decides a sign
    codes = np.arange(32, dtype=np.float32) - 16
    halves = codes + 0.5
    halves[5] = 127  # Q8_0 has the scale 1, and ties
    return [
        np.zeros(32, np.float32), line * -3e-3, np.full(32, 3.25, np.float32),
        np.full(32, -0.1, np.float32), line, -line, line + 5, line - 5, one, -one, both, -both, codes, halves,
        codes * 0.5, codes / 2 + 0.25, np.arange(32, dtype=np.float32) * 127 / 31, line * 6e4, line * 65504, line * 2e5,
        line * 7.9e6, line * 1e-4, line * 5e-6, line * 6e-8, line * 2e-8, line * 1e-20, line * 1e-35,
        (line > 0).astype(np.float32), np.float32(1) + line * np.float32(2e-7), np.abs(line) * 1e-3,
    ]


def encode_inputs(random):
    drawn = random.standard_normal((130, 32)) * 2.0 ** random.integers(-26, 12, (130, 1))
    drawn += np.where(random.random((130, 1)) < 0.3, 2.0 ** random.integers(-8, 8, (130, 1)), 0)
    blocks = np.concatenate([np.stack(edges()).astype(np.float32), drawn.astype(np.float32)])
    assert len(blocks) % 8 == 0
    return blocks.reshape(-1, 256)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests" / "golden")
    out = parser.parse_args().out
    random = np.random.default_rng(5)
    tensors = {}
    with np.errstate(all="ignore"):
        for name, kind in DECODED.items():
            blocks = decode_inputs(random, name)
            tensors[f"decode.{name}.blocks"] = blocks.reshape(-1)
            tensors[f"decode.{name}.values"] = gguf.dequantize(blocks, kind).astype(np.float32).reshape(-1)
        values = encode_inputs(random)
        tensors["encode.values"] = values
        for name in ENCODED:
            blocks = gguf.quantize(values, DECODED[name]).view(np.uint8)
            tensors[f"encode.{name}.blocks"] = blocks.reshape(len(values), -1)
    save_file(tensors, out / "blocks.safetensors")


if __name__ == "__main__":
    main()
