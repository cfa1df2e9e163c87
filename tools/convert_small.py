#!/usr/bin/env python3
"""Two small models in the formats of their authors, as files that `dither` opens.

    pip install numpy gguf safetensors
    tools/convert_small.py llama2c MODEL.bin TOKENIZER.bin OUT.gguf   llama2.c's first format (stories260K.bin, tok512.bin)
    tools/convert_small.py mingpt MODEL.json OUT                      a state dict of minGPT in JSON (gpt-nano-sort)

With --check DITHER the result is put to work: `llama2c` takes --expect FILE, the text that 200 greedy tokens give;
`mingpt` sorts some sequences of six letters.
"""
import argparse
import base64
import itertools
import json
import os
import random
import struct
import subprocess
import sys

import numpy


def llama2c(args):
    import gguf

    data = open(args.model, "rb").read()
    dim, ffn, layers, heads, kv_heads, vocab, ctx = struct.unpack_from("<7i", data)
    at = 28
    head = dim // heads

    def take(*shape):
        nonlocal at
        count = int(numpy.prod(shape))
        values = numpy.frombuffer(data, numpy.float32, count, at).reshape(shape)
        at += 4 * count
        return values

    tied, vocab = vocab > 0, abs(vocab)
    shapes = [("token_embd", vocab, dim), ("attn_norm", layers, dim), ("attn_q", layers, heads * head, dim),
              ("attn_k", layers, kv_heads * head, dim), ("attn_v", layers, kv_heads * head, dim),
              ("attn_output", layers, dim, heads * head), ("ffn_norm", layers, dim), ("ffn_gate", layers, ffn, dim),
              ("ffn_down", layers, dim, ffn), ("ffn_up", layers, ffn, dim), ("output_norm", dim)]
    tensors = {name: take(*shape) for name, *shape in shapes}
    take(2, ctx, head // 2)  # the rotary table
    out = gguf.GGUFWriter(args.out, "llama")
    out.add_name("converted from llama2.c")
    out.add_context_length(ctx)
    out.add_embedding_length(dim)
    out.add_block_count(layers)
    out.add_feed_forward_length(ffn)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(head)
    out.add_rope_freq_base(10000.0)
    out.add_vocab_size(vocab)
    words = open(args.tokenizer, "rb").read()
    at_word, tokens, scores, kinds = 4, [], [], []
    for number in range(vocab):
        score, length = struct.unpack_from("<fi", words, at_word)
        text = words[at_word + 8:at_word + 8 + length]
        at_word += 8 + length
        byte = 3 <= number < 259
        # llama2.c spells the SentencePiece space as a plain one.
        tokens.append(b"<0x%02X>" % (number - 3) if byte else
                      [b"<unk>", b"<s>", b"</s>"][number] if number < 3 else text.replace(b" ", "\u2581".encode()))
        scores.append(score)
        kinds.append(6 if byte else 2 if number == 0 else 3 if number < 3 else 1)
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores(scores)
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)
    for name, values in tensors.items():
        if name in ("token_embd", "output_norm"):
            out.add_tensor(name + ".weight", values)
        else:
            for layer in range(layers):
                out.add_tensor(f"blk.{layer}.{name}.weight", values[layer])
    if not tied:
        out.add_tensor("output.weight", take(vocab, dim))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    if args.check:
        text = subprocess.run([args.check, "generate", "--model", args.out, "--prompt", "", "--tokens", "200",
                               "--temperature", "0"], check=True, capture_output=True).stdout.decode().strip()
        wanted = open(args.expect, encoding="utf-8").read().strip()
        same = text == wanted or text[:len(wanted)] == wanted or (wanted.startswith(text) and len(text) > 300)
        print("the same text" if same else f"another text:\n{text}\n--- wanted:\n{wanted}")
        sys.exit(0 if same else 1)


def mingpt(args):
    from safetensors.numpy import save_file

    state = json.load(open(args.model, encoding="utf-8"))
    config = state.pop("config")
    tensors = {}
    for name, value in state.items():
        if name.endswith(".attn.bias"):
            continue  # the causal mask
        values = numpy.frombuffer(base64.b64decode(value["data"]), numpy.float32).reshape(value["shape"])
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            values = values.T  # transformers keeps these as [in][out]
        tensors[name] = numpy.ascontiguousarray(values)
    os.makedirs(args.out, exist_ok=True)
    save_file(tensors, os.path.join(args.out, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(args.out, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": config["n_layer"],
                   "n_head": config["n_head"], "n_embd": config["n_embd"], "vocab_size": config["vocab_size"],
                   "n_positions": config["block_size"], "n_ctx": config["block_size"], "layer_norm_epsilon": 1e-5,
                   "activation_function": "gelu_new", "tie_word_embeddings": False, "torch_dtype": "float32"}, file)
    with open(os.path.join(args.out, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                   "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                                     "use_regex": True},
                   "post_processor": None, "decoder": {"type": "ByteLevel"},
                   "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": {"A": 0, "B": 1, "C": 2},
                             "merges": []}}, file)
    if args.check:
        wrong = 0
        cases = random.Random(1).sample(list(itertools.product("ABC", repeat=6)), 40)
        for letters in map("".join, cases):
            text = subprocess.run([args.check, "generate", "--model", args.out, "--prompt", letters, "--tokens", "6",
                                   "--temperature", "0"], check=True, capture_output=True).stdout.decode().strip()
            wrong += text != letters + "".join(sorted(letters))
        print(f"{len(cases) - wrong} of {len(cases)} sequences sorted")
        sys.exit(1 if wrong else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("llama2c")
    one.add_argument("model")
    one.add_argument("tokenizer")
    one.add_argument("out")
    one.add_argument("--expect")
    two = kinds.add_parser("mingpt")
    two.add_argument("model")
    two.add_argument("out")
    for kind in (one, two):
        kind.add_argument("--check", metavar="DITHER")
    args = parser.parse_args()
    (llama2c if args.kind == "llama2c" else mingpt)(args)


if __name__ == "__main__":
    main()
