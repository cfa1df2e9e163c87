#!/usr/bin/env python3
"""Fine-tuning against PyTorch: the losses and gradient norms of the first steps, in f32, on a few chats.

    python3 tools/check_finetune.py build/release/dither MODEL.gguf [--steps 20] [--seq 512]

The chats below fit one packed sequence, so that the order in which dither packs them changes no sum: each sees only
itself, positions start at 0 in each, and only the assistant's tokens count. PyTorch (transformers' llama on the same
GGUF, dequantized) packs them by itself, from transformers' own rendering of the chat template.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

CHATS = [
    [("user", "Which is heavier, a kilogram of feathers or a kilogram of iron?"),
     ("assistant", "Neither: both weigh one kilogram. The feathers take far more room.")],
    [("system", "You answer in one short sentence."),
     ("user", "Why is the sky blue?"),
     ("assistant", "Air scatters short wavelengths of sunlight more than long ones."),
     ("user", "And at sunset?"),
     ("assistant", "The light passes more air, so mostly red is left.")],
    [("user", "Write a two-line poem about rounding numbers."),
     ("assistant", "A half is lost, a half is won,\nand in the mean the two are one.")],
    [("user", "Count from three to six."),
     ("assistant", "3, 4, 5, 6")],
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dither")
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--lr", type=float, default=1e-5)  # at higher rates the loss is at 0 before the end
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def run_dither(args, folder):
    data, out = os.path.join(folder, "chats.jsonl"), os.path.join(folder, "out")
    with open(data, "w", encoding="utf-8") as file:
        for chat in CHATS:
            file.write(json.dumps({"messages": [{"role": r, "content": c} for r, c in chat]}) + "\n")
    subprocess.run([args.dither, "train", "--model", args.model, "--data", data, "--scheme", "f32", "--seq", str(args.seq),
                    "--batch", "1", "--steps", str(args.steps), "--lr", str(args.lr), "--schedule", "constant",
                    "--val-fraction", "0", "--out", out], check=True, stdout=subprocess.DEVNULL)
    steps = []
    with open(os.path.join(out, "log.jsonl"), encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if event.get("event") == "step":
                steps.append((event["loss"], event["grad_norm"]))
    return steps


def trained(tokenizer, chat):
    """The ids of a chat, and which of them are the assistant's: its words and the end of its turn."""
    messages = [{"role": r, "content": c} for r, c in chat]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans, at = [], 0
    for role, content in chat:
        head = "<|im_start|>" + role + "\n"
        begin = text.index(head + content + "<|im_end|>", at) + len(head)
        at = begin + len(content) + len("<|im_end|>")
        if role == "assistant":
            spans.append((begin, at))
    coded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    mask = [any(b <= begin < e for b, e in spans) for begin, _ in coded["offset_mapping"]]
    return coded["input_ids"], mask


def run_torch(args):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    folder, name = os.path.split(os.path.abspath(args.model))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32,
                                                 attn_implementation="eager")
    # <|im_end|> pads as well, and PyTorch would leave it out of what it learns of embeddings.
    model.get_input_embeddings().padding_idx = None
    ids, targets, positions, document = [], [], [], []
    for number, chat in enumerate(CHATS):
        tokens, mask = trained(tokenizer, chat)
        ids += tokens
        targets += [t if m else -100 for t, m in zip(tokens[1:], mask[1:])] + [-100]
        positions += range(len(tokens))
        document += [number] * len(tokens)
    if len(ids) > args.seq:
        sys.exit("the chats are longer than --seq")
    document = torch.tensor(document)
    seen = (document[:, None] == document[None, :]).tril()
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]
    ids, positions = torch.tensor([ids]), torch.tensor([positions])
    targets = torch.tensor(targets)
    print(f"{len(document)} tokens, {int((targets >= 0).sum())} trained", file=sys.stderr)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.95), eps=1e-8)
    steps = []
    for _ in range(args.steps):
        optimizer.zero_grad()
        logits = model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100)
        loss.backward()
        # clip_grad_norm_ sums millions of squares in f32, which costs it the fifth digit.
        norm = sum(p.grad.square().sum(-1).double().sum() for p in model.parameters()).sqrt()
        for p in model.parameters():
            p.grad.mul_(min(1.0, 1.0 / norm.item()))
        optimizer.step()
        steps.append((loss.item(), norm.item()))
    return steps


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        ours = run_dither(args, folder)
    theirs = run_torch(args)
    worst = 0.0
    for number, (a, b) in enumerate(zip(ours, theirs), 1):
        errors = [abs(x - y) / abs(y) for x, y in zip(a, b)]
        worst = max(worst, *errors)
        print(f"step {number:2}  loss {a[0]:.7f} {b[0]:.7f}  norm {a[1]:.6f} {b[1]:.6f}  relative {errors[0]:.1e} {errors[1]:.1e}")
    print(f"worst relative difference {worst:.2e}")
    sys.exit(0 if len(ours) == args.steps and worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
