#!/usr/bin/env python3
"""Whether Hugging Face tokenizers reads a tokenizer.json that dither wrote: ids are bytes, decoding gives the text.

usage: check_tokenizer.py FOLDER

Exit status 0: it does; 1: it does not; 77: skipped, since the Python module tokenizers is not installed.
"""
import random
import sys

try:
    import tokenizers
except ImportError:
    print("skipped: the Python module tokenizers is not installed")
    sys.exit(77)


def texts():
    yield from ["", " ", "  leading", "hello world", "line\nline\r\n\ttab", "'s it's", "caf\u00e9"]
    yield "\U0001f600\u200d\U0001f525"
    yield "\x00\x01\x7f\u00ad\u0100\u0143 null and controls"
    yield "".join(chr(c) for c in range(0x250))
    draw = random.Random(1)
    for _ in range(200):
        codes = (draw.choice([draw.randrange(0x80), draw.randrange(0xd800), draw.randrange(0xe000, 0x110000)])
                 for _ in range(draw.randrange(200)))
        yield "".join(map(chr, codes))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
    if tokenizer.get_vocab_size() != 256:
        sys.exit(f"a vocabulary of {tokenizer.get_vocab_size()} where 256 are expected")
    count = 0
    for text in texts():
        ids = tokenizer.encode(text).ids
        if ids != list(text.encode()):
            sys.exit(f"the ids of {text!r} are {ids}")
        if tokenizer.decode(ids) != text:
            sys.exit(f"{text!r} is decoded as {tokenizer.decode(ids)!r}")
        count += 1
    print(f"tokenizers {tokenizers.__version__}: {count} texts are encoded as their bytes and decoded as themselves")


if __name__ == "__main__":
    main()
