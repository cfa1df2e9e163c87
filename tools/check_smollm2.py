#!/usr/bin/env python3
"""SmolLM2-135M-Instruct in a GGUF file, here and in transformers (f32 on the same file).

    pip install torch transformers gguf accelerate
    make smollm2
    python3 tools/check_smollm2.py --dither build/release/dither --model build/models/SmolLM2-135M-Instruct.Q4_1.gguf \
        --text wiki.valid.raw

Checks the logits of five prompts, one of 1,000 tokens of the text; 64 tokens of greedy writing after each; an answer in
a chat; and, on the text, the loss of the first 10,240 predictions in windows of 512 and the memory that takes. Without
--text, the long prompt and the loss are left out.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

LOGITS_APART = 2e-3
NATS, NATS_APART = 3.14857, 2e-4
MEMORY = 450e6
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n",
    "<|im_start|>user\nWhat is 12 * 7?<|im_end|>\n<|im_start|>assistant\n",
    "Gravity is caused by",
]
QUESTION = "What is the largest planet?"


def run(arguments, **more):
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, **more).stdout


def logits_of(options, ids, tokenizer, folder):
    """Of all tokens but the last, which predicts nothing in a text of its own."""
    text, out = os.path.join(folder, "text"), os.path.join(folder, "logits.npy")
    with open(text, "w", encoding="utf-8", newline="") as file:
        file.write(tokenizer.decode(ids))
    run([options.dither, "eval", "--model", options.model, "--data", text, "--seq", str(len(ids)), "--logits", out])
    return numpy.load(out)


def greedy(options, prompt, tokens):
    line = run([options.dither, "generate", "--model", options.model, "--prompt", prompt, "--temperature", "0",
                "--tokens", str(tokens), "--json", "--logprobs", "0"])
    return [token["id"] for token in json.loads(line)["logprobs"]]


def theirs_greedy(model, ids, tokens):
    with torch.no_grad():
        whole = model.generate(torch.tensor([ids]), max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return whole[0, len(ids):].tolist()


def check_prompts(options, model, tokenizer, prompts):
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for prompt in prompts:
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                theirs = model(torch.tensor([ids])).logits[0, :-1].numpy()
            has_marks = any(i in tokenizer.all_special_ids for i in ids)  # which texts of eval do not have
            apart = float("nan") if has_marks else abs(logits_of(options, ids, tokenizer, folder) - theirs).max()
            ours, others = greedy(options, prompt, 64), theirs_greedy(model, ids, 64)
            good = ours == others and not apart > LOGITS_APART
            failed += not good
            print(f"{len(ids):5} tokens: logits {apart:.2e} apart, greedy "
                  f"{'the same ' if ours == others else 'NOT THE SAME '}{len(ours)}{'' if good else '   FAILED'}")
    return failed


def check_chat(options, model, tokenizer):
    ids = tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], add_generation_prompt=True,
                                        return_dict=False)
    theirs = tokenizer.decode(theirs_greedy(model, ids, 48), skip_special_tokens=True)
    line = run([options.dither, "generate", "--model", options.model, "--chat", "--prompt", QUESTION, "--temperature",
                "0", "--tokens", "48", "--json"])
    ours = json.loads(line)["text"]
    print(f"chat: {ours!r}" + ("" if ours == theirs else f"   FAILED: {theirs!r}"))
    return ours != theirs


def check_loss(options):
    result = json.loads(run([options.dither, "eval", "--model", options.model, "--data", options.text, "--seq", "512",
                             "--max-tokens", "10240", "--json"]))
    nats = result["nats_per_token"]
    good = abs(nats - NATS) <= NATS_APART and result["tokens"] == 10240
    print(f"loss: {nats:.6f} nats a token{'' if good else f'   FAILED: {NATS} is right'}")
    return not good


def check_memory(options):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = before * 1024
    print(f"memory: at most {peak / 1e6:.0f} MB in any of these runs{'' if peak < MEMORY else '   FAILED'}")
    return peak >= MEMORY


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dither", default="build/release/dither")
    parser.add_argument("--model", default="build/models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--text", help="wikitext-2's wiki.valid.raw")
    options = parser.parse_args()
    if not os.path.exists(options.model):
        print(f"{options.model} is not there: make smollm2 fetches it; nothing was checked")
        return 0
    folder, name = os.path.split(os.path.abspath(options.model))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    prompts = list(PROMPTS)
    if options.text:
        with open(options.text, encoding="utf-8", newline="") as file:
            ids = tokenizer(file.read(100000), add_special_tokens=False)["input_ids"]
        prompts.append(tokenizer.decode(ids[:1000]))
    failed = check_prompts(options, model, tokenizer, prompts) + check_chat(options, model, tokenizer)
    if options.text:
        failed += check_loss(options) + check_memory(options)
    print("all as it should be" if not failed else f"{failed} FAILED")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
