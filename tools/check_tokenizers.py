#!/usr/bin/env python3
"""Whether `dither tokenize` gives the ids that Hugging Face tokenizers gives, and text back.

usage: check_tokenizers.py PROGRAM [--gguf FILE] [--json FILE] [--gpt2 FOLDER] [--vectors FOLDER] [--texts FOLDER]
                           [--megabytes N] [--time FILE]

--gguf     a GGUF file with a byte-level vocabulary whose pre-tokenizer is smollm (SmolLM2)
--json     a tokenizer.json (Qwen3's, say)
--gpt2     a folder with encoder.json and vocab.bpe
--vectors  llama.cpp's models/ggml-vocab-*.gguf with their .inp and .out; qwen2's are checked with --json
--texts    a folder with texts; what is missing of english.txt, german.txt, chinese.txt, arabic.txt, code.txt is made of
           a few built-in words
--time     encodes this file, on one thread, with both, five times in turn; seconds of the processor

Emoji, random code points and random bytes are made here. Hugging Face is given the bytes through Python's
decode(errors="replace"); that they never fail and come back is checked too.

Exit status 0: all alike; 1: not; 77: skipped, since the Python module tokenizers is not installed.
"""
import argparse
import glob
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
try:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers
except ImportError:
    print("skipped: the Python module tokenizers is not installed")
    sys.exit(77)

WORDS = {
    "english": "the a of river's stone, morning. it's they'll Don't 1984 42,000 house—home “quoted” naïve café\n(see §5)",
    "german": "der die das Straße, größer. Übermut Äpfel schön Donaudampfschifffahrt über „Zitat“ 3,14 ß Öl:\nnicht wahr?",
    "chinese": "我们 的。 中文，文字 一二三 龍門 「引號」 测试 你好！ 北京市 ２０２４ 年\n（括号） 汉字、漢字",
    "arabic": "السلام عليكم، كتاب ٢٠٢٤ مُحَمَّد العربيّة لا إله؟ في البيت. قالَ «نعم»\nسـ",
    "code": "int main(void) { return 0; } /* x */\n\tfor (i=0;i<10;++i)\n        if a==b: print('x', 0x1F) # it's\r\n__init__ --> != &&",
}


def made(name, size, draw):
    words = WORDS[name].split(" ")
    parts, length = [], 0
    while length < size:
        word = draw.choice(words) + draw.choice([" ", " ", " ", "  ", "", "\n", "\t"])
        parts.append(word)
        length += len(word.encode())
    return "".join(parts)


def texts(arguments):
    """Pairs of a name and bytes."""
    size = int(arguments.megabytes * 1e6)
    draw = random.Random(7)
    for name in WORDS:
        path = os.path.join(arguments.texts or "", name + ".txt")
        text = open(path, "rb").read()[:size].decode(errors="ignore") if os.path.exists(path) else made(name, size, draw)
        yield name, text.encode()
    emoji = [chr(c) for c in [*range(0x1f300, 0x1f650), *range(0x1f900, 0x1fa00), 0x2764, 0x2600]]
    joined = []
    for _ in range(size // 4):
        joined.append(draw.choice(emoji) + draw.choice(["", "", " ", "\u200d", "\ufe0f", "\U0001f3fd", "a", "1"]))
    yield "emoji", "".join(joined).encode()[:size].decode(errors="ignore").encode()
    codes = [chr(draw.choice([draw.randrange(0xd800), draw.randrange(0xe000, 0x110000), draw.randrange(0x3000)]))
             for _ in range(size // 3)]
    yield "random code points", "".join(codes).encode()[:size].decode(errors="ignore").encode()
    yield "random bytes", draw.randbytes(size)


def run(arguments, *words, text=b""):
    done = subprocess.run([arguments.program, "tokenize", *words], input=text, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"dither tokenize {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout


def first_difference(ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"{len(ours)} ids, {len(theirs)} expected; differ from {at}: {ours[at:at + 6]}, expected {theirs[at:at + 6]}"


def compare(arguments, name, path, theirs):
    """All texts with one tokenizer. @return how many went wrong"""
    wrong = 0
    theirs.encode_special_tokens = True
    vocabulary = theirs.get_vocab()
    prints = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = iter(range(0x100, 0x200))
    spelled = {byte: chr(byte if byte in prints else next(others)) for byte in range(256)}
    lacking = bytes(byte for byte in range(256) if spelled[byte] not in vocabulary)
    for kind, data in texts(arguments):
        replaced = data.decode(errors="replace")
        ids = [int(word) for word in run(arguments, "--tokenizer", path, text=replaced.encode()).split()]
        expected = theirs.encode(replaced, add_special_tokens=False).ids
        raw = run(arguments, "--tokenizer", path, text=data)
        back = run(arguments, "--tokenizer", path, "--decode", text=raw)
        normal = theirs.normalizer.normalize_str(replaced) if theirs.normalizer is not None else replaced
        # bytes without a token are left out by everyone: SmolLM2 has 21 of them
        kept = data.translate(None, lacking) if lacking else data
        whole = back == kept if theirs.normalizer is None or normal == replaced else None
        if ids != expected or whole is False:
            wrong += 1
        print(f"{name:8} {kind:18} {len(data):8} bytes {len(ids):7} ids "
              f"{'alike' if ids == expected else 'DIFFERENT: ' + first_difference(ids, expected)}, "
              f"{'text comes back' if whole else 'TEXT LOST' if whole is False else 'text is normalized'}"
              f"{f', but for {len(data) - len(kept)} bytes without a token' if whole and kept != data else ''}")
    return wrong


def vectors(arguments):
    wrong = 0
    for inputs in sorted(glob.glob(os.path.join(arguments.vectors, "ggml-vocab-*.gguf.inp"))):
        vocabulary = inputs[:-len(".inp")]
        name = os.path.basename(vocabulary)[len("ggml-vocab-"):-len(".gguf")]
        if not os.path.exists(vocabulary):
            vocabulary = arguments.json if name == "qwen2" else None
        if vocabulary is None:
            print(f"vectors  {name:18} skipped: no vocabulary")
            continue
        pieces = open(inputs, "rb").read().split(b"\n__ggml_vocab_test__\n")
        expected = [line.split() for line in open(vocabulary and inputs[:-4] + ".out").read().split("\n")]
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, f"{i:04}") for i in range(len(pieces))]
            for file, piece in zip(files, pieces):
                with open(file, "wb") as out:
                    out.write(piece)
            lines = run(arguments, "--tokenizer", vocabulary, *files).decode().split("\n")
        bad = [i for i in range(len(pieces)) if lines[i].split() != expected[i]]
        wrong += len(bad) > 0
        print(f"vectors  {name:18} {len(pieces)} texts, " + (f"WRONG: {bad}" if bad else "all alike"))
    return wrong


def smollm(path):
    """From the metadata: transformers, asked for a GGUF file, leaves out that digits are cut apart."""
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    content = {key: fields["tokenizer.ggml." + key].contents() for key in ("tokens", "merges", "token_type", "pre")}
    if content["pre"] != "smollm":
        raise SystemExit(f"{path}: the pre-tokenizer is {content['pre']}, not smollm")
    merges = [tuple(merge.split(" ")) for merge in content["merges"]]
    made_of = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(content["tokens"])}, merges))
    made_of.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                     pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made_of.decoder = decoders.ByteLevel()
    made_of.add_special_tokens([token for token, kind in zip(content["tokens"], content["token_type"]) if kind == 3])
    return made_of


def gpt2(folder):
    vocabulary = json.load(open(os.path.join(folder, "encoder.json")))
    lines = open(os.path.join(folder, "vocab.bpe"), encoding="utf-8").read().split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    made_of = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    made_of.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made_of.decoder = decoders.ByteLevel()
    made_of.add_special_tokens(["<|endoftext|>"])
    return made_of


def processor_seconds():
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def timed(arguments, path, theirs):
    """Seconds of the processor, which other programs on the machine disturb less than those of the clock. Ours have
    printing the ids in them, but not reading the tokenizer: an empty text's are taken off. Theirs are those of what
    suits them best: the whole text at once, or a thousand characters at a time."""
    text = open(arguments.time, newline="", encoding="utf-8").read()
    pieces = [text[i:i + 1000] for i in range(0, len(text), 1000)]
    ours, peers = [], []
    with tempfile.NamedTemporaryFile() as empty:
        for _ in range(5):
            spans = []
            for file in (arguments.time, empty.name):
                start = processor_seconds()[1]
                run(arguments, "--tokenizer", path, file)
                spans.append(processor_seconds()[1] - start)
            ours.append(spans[0] - spans[1])
            for batch in ([text], pieces):
                start = processor_seconds()[0]
                theirs.encode_batch_fast(batch, add_special_tokens=False)
                peers.append((len(batch), processor_seconds()[0] - start))
    mine = statistics.median(ours)
    peer = min(statistics.median(span for count, span in peers if count == each) for each in (1, len(pieces)))
    size = len(text.encode()) / 1e6
    print(f"{size:.1f} MB on one thread: dither {mine:.3f} s ({size / mine:.1f} MB/s), "
          f"tokenizers {peer:.3f} s ({size / peer:.1f} MB/s), ratio {peer / mine:.1f}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("program")
    for name in ("gguf", "json", "gpt2", "vectors", "texts", "time"):
        parser.add_argument("--" + name)
    parser.add_argument("--megabytes", type=float, default=1)
    arguments = parser.parse_args()
    wrong = 0
    print(f"tokenizers {tokenizers.__version__}")
    if arguments.vectors:
        wrong += vectors(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.gguf:
            theirs = smollm(arguments.gguf)
            wrong += compare(arguments, "gguf", arguments.gguf, theirs)
            if arguments.time:
                timed(arguments, arguments.gguf, theirs)
        if arguments.json:
            wrong += compare(arguments, "json", arguments.json, tokenizers.Tokenizer.from_file(arguments.json))
        if arguments.gpt2:
            theirs = gpt2(arguments.gpt2)
            path = os.path.join(folder, "tokenizer.json")
            theirs.save(path)
            wrong += compare(arguments, "gpt2", path, theirs)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
