#!/usr/bin/env python3
"""Small tokenizers, trained here by Hugging Face tokenizers on a text of our own, and the ids they give.

usage: golden_tokenizers.py [--out FOLDER]

Into tests/golden/: tokenizer_words.json, tokenizer_pieces.json (SentencePiece's kind, merges made from scores),
tokenizer_digits.gguf, tokenizer_pieces.gguf, and tokenizer_cases.txt, whose lines are: file, P (plain) or S (texts of
special tokens become them), the text in hexadecimal, ids. The GGUF files are written by llama.cpp's package gguf; the
ids of digits.gguf and pieces.gguf are those of the same tokenizers in Hugging Face tokenizers.
"""
import argparse
import os

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = """The tide came in slowly over the flat stones, and the children counted the waves: one, two, three, 14, 2048.
"It's late," said the oldest; "they'll be looking for us." We'd left our shoes by the boat, hadn't we?
Die Flut kam langsam über die flachen Steine, und die Größeren zählten die Wellen. Schöne Grüße aus der Straße!
潮水慢慢地涌上平坦的石头，孩子们数着波浪。我们把鞋子留在船边了。
جاء المد ببطء فوق الحجارة المسطحة، وكان الأطفال يعدون الأمواج.
for (int i = 0; i < 10; i++) {\n\tprintf("%d\\n", waves[i]);    /* one a line */\n}
The tide went out again. The stones were wet; the shoes were gone. Nobody counted anything any more. 🌊🌊 👟?
"""

CASES = [
    "", " ", "  ", "\n", "\n\n", " \n\n x", "The tide", " The tide came in", "the waves: 14, 2048!", "It's late, they'LL go",
    "über die Größeren", "u\u0308ber caf\u00e9 cafe\u0301", "潮水慢慢地", "جاء المد", "for (int i = 0;\n\ti < 10; i++)",
    "🌊 👟\u200d🌊", "a\u0301\u0323b \u1e9b\u0323 \uac00\u11a8", "\u00a0x\u3000y\u2028z", "x" * 70, "wave" * 30,
    "<|end|>", "a<|end|>b <|end|> c", "a <|cut|>   b", "  <|left|> c", "wavelet the wavelet wavelets awavelet", "wave_",
    "\u2581x \u2581", "<0x41>", "<unk><s>a</s>", "12345678901234567890", "\u0378\U000e0001\U0010ffff", "\u180e\x00\x01\x7f",
    "\U0001e030\U00031350 new", "ſ'ſ 'S", "١٢٣ ²½", "... --- ,,,", "\r\n\r\n  \t\tx",
]


def words():
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r"\s+(?!\S)|\s+")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=420, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made.add_special_tokens([AddedToken("<|end|>", normalized=False), AddedToken("<|cut|>", rstrip=True, normalized=False),
                             AddedToken("<|left|>", lstrip=True, normalized=False)])
    made.add_tokens([AddedToken("wavelet", single_word=True), AddedToken("wave_", normalized=False)])
    return made


def digits():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=380, show_progress=False, special_tokens=["<|end|>", "<|cut|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return made


def pieces():
    """Tokens and scores as a SentencePiece model has them: the earlier a token was made, the better."""
    text = TEXT.replace(" ", "\u2581")
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    trained.train_from_iterator([text], trainers.BpeTrainer(vocab_size=300, show_progress=False))
    tokens = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + [token for token, _ in tokens]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259)
    scores = [0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)]
    ids = {token: i for i, token in enumerate(tokens)}
    merges = [(scores[ids[token]], token[:cut], token[cut:]) for token in tokens[259:] for cut in range(1, len(token))
              if token[:cut] in ids and token[cut:] in ids]
    merges.sort(key=lambda merge: -merge[0])
    made = Tokenizer(models.BPE(ids, [merge[1:] for merge in merges], unk_token="<unk>", fuse_unk=True,
                                byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                      decoders.Strip(" ", 1, 0)])
    made.add_special_tokens([AddedToken(token, normalized=False) for token in tokens[:3]])
    return made, tokens, scores, kinds


def write_gguf(path, model, pre, tokens, kinds, merges=None, scores=None, marks=()):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    for name, token in marks:
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests", "golden"))
    out = parser.parse_args().out
    sentence, tokens, scores, kinds = pieces()
    made = {"tokenizer_words.json": words(), "tokenizer_pieces.json": sentence, "tokenizer_digits.gguf": digits(),
            "tokenizer_pieces.gguf": sentence}
    for name, tokenizer in made.items():
        if name.endswith(".json"):
            tokenizer.save(os.path.join(out, name), pretty=False)
    numbered = made["tokenizer_digits.gguf"]
    by_id = [numbered.id_to_token(i) for i in range(numbered.get_vocab_size())]
    parts = os.path.join(out, "parts")
    os.makedirs(parts, exist_ok=True)
    numbered.model.save(parts)
    merges = open(os.path.join(parts, "merges.txt"), encoding="utf-8").read().split("\n")[1:-1]
    for file in ("merges.txt", "vocab.json"):
        os.remove(os.path.join(parts, file))
    os.rmdir(parts)
    write_gguf(os.path.join(out, "tokenizer_digits.gguf"), "gpt2", "smollm", by_id, [3, 3] + [1] * (len(by_id) - 2),
               merges=merges, marks=[("bos", 0), ("eos", 0), ("padding", 1)])
    write_gguf(os.path.join(out, "tokenizer_pieces.gguf"), "llama", "default", tokens, kinds, scores=scores,
               marks=[("bos", 1), ("eos", 2), ("unknown", 0)])
    with open(os.path.join(out, "tokenizer_cases.txt"), "w", encoding="ascii") as file:
        for name, tokenizer in made.items():
            for text in CASES + [TEXT]:
                for mode in "PS":
                    tokenizer.encode_special_tokens = mode == "P"
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    file.write(f"{name} {mode} {text.encode().hex() or '-'} {' '.join(map(str, ids))}\n")


if __name__ == "__main__":
    main()
