#!/usr/bin/env python3
"""What others say about `dither tokenizer train`.

usage: check_bpe.py reference DITHER FOLDER     the merges and ids of a reference: FOLDER has corpus.en,
                                                train-bpe-reference-merges.txt and -vocab.json
       check_bpe.py encode DITHER TEXT...       for every pattern: Hugging Face tokenizers loads the file, cuts the
                                                text into as many words, makes as many tokens of it as training
                                                counted, the ids that `dither tokenize` prints, and the text again
       check_bpe.py time DITHER TEXT [ROUNDS]   seconds and memory of both for 8,192 tokens, in turn

Exit status 0: all agree; 1: not; 77: skipped, in words.
"""
import json
import os
import subprocess
import sys
import tempfile

PATTERNS = ["gpt2", "smollm", "llama3", "qwen2", "starcoder", "refact", "mpt", "falcon", "deepseek-llm",
            "deepseek-coder", "deepseek-v3", "gpt-4o", "tekken"]
SPECIAL = "<|endoftext|>"


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def hugging_face():
    try:
        import tokenizers
    except ImportError:
        skip("the Python module tokenizers is not installed")
    return tokenizers


def train(dither, texts, out, *options):
    """The last line that the program prints, as an object."""
    lines = subprocess.run([dither, "tokenizer", "train", "--data", *texts, "--out", out, "--json", *options],
                           check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def reference(dither, folder):
    corpus = os.path.join(folder, "corpus.en")
    if not os.path.exists(corpus):
        skip(f"there is no {corpus}")
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "tok.json")
        train(dither, [corpus], out, "--vocab", "500")
        model = json.load(open(out, encoding="utf-8"))["model"]
    merges = open(os.path.join(folder, "train-bpe-reference-merges.txt"), encoding="utf-8").read().splitlines()
    vocab = json.load(open(os.path.join(folder, "train-bpe-reference-vocab.json"), encoding="utf-8"))
    if model["merges"] != merges:
        at = next((i for i, pair in enumerate(zip(model["merges"], merges)) if pair[0] != pair[1]), "the end")
        sys.exit(f"merges differ from {at} on; {len(model['merges'])} and {len(merges)} of them")
    if model["vocab"] != vocab:
        sys.exit("the ids of tokens differ")
    print(f"all {len(merges)} merges and {len(vocab)} ids are those of the reference")


def encode(dither, texts):
    tokenizers = hugging_face()
    text = [open(path, encoding="utf-8", newline="").read() for path in texts]
    parts = [part for whole in text for part in whole.split(SPECIAL)]
    for pattern in PATTERNS:
        with tempfile.TemporaryDirectory() as work:
            out = os.path.join(work, "tok.json")
            said = train(dither, texts, out, "--vocab", "2000", "--pattern", pattern)
            tokenizer = tokenizers.Tokenizer.from_file(out)
            own = subprocess.run([dither, "tokenize", "--tokenizer", out, "--special", *texts], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout.splitlines()
        words = [word for part in parts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(part)]
        ids = [tokenizer.encode(whole).ids for whole in text]
        if [list(map(int, line.split())) for line in own] != ids:
            sys.exit(f"{pattern}: the ids of the text differ")
        special = tokenizer.token_to_id(SPECIAL)
        theirs = (tokenizer.get_vocab_size(), len(words), len(set(words)), sum(i != special for w in ids for i in w))
        ours = (said["tokens"], said["words"], said["distinct_words"], said["text_tokens"])
        if theirs != ours:
            sys.exit(f"{pattern}: tokens, words, distinct words, tokens of the text: {ours} here, {theirs} there")
        if [tokenizer.decode(i, skip_special_tokens=False) for i in ids] != text:
            sys.exit(f"{pattern}: decoding does not give the text back")
        print(f"{pattern}: {ours[1]} words, {ours[2]} distinct, {ours[3]} tokens: the same in both, with the same ids")


PEER = """
import resource, sys, time
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=["<|endoftext|>"], min_frequency=2, show_progress=False,
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
start = time.time()
tokenizer.train([sys.argv[1]], trainer)
print(time.time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def time(dither, text, rounds):
    hugging_face()
    with tempfile.TemporaryDirectory() as work:
        for _ in range(int(rounds)):
            said = train(dither, [text], os.path.join(work, "tok.json"))
            peer = subprocess.run([sys.executable, "-c", PEER, text], check=True, stdout=subprocess.PIPE, text=True)
            seconds, memory = map(float, peer.stdout.split())
            print(f"dither {said['seconds']:.2f} s, {said['peak_rss_bytes'] / 1e6:.0f} MB; "
                  f"tokenizers {seconds:.2f} s, {memory / 1e6:.0f} MB with Python")


def main():
    what, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 3 else (None, [])
    if what == "reference" and len(arguments) == 2:
        reference(*arguments)
    elif what == "encode":
        encode(arguments[0], arguments[1:])
    elif what == "time" and len(arguments) in (2, 3):
        time(*arguments[:2], arguments[2] if len(arguments) == 3 else 3)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
