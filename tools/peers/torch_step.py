#!/usr/bin/env python3
"""Time training steps of our block in PyTorch on the CPU, with random weights and tokens, and print one JSON object.

The block is that of src/model/network.h: RMS norm, rotary positions, grouped attention, SwiGLU, one embedding for input
and output. --dtype bf16 is autocast over f32 weights.

    torch_step.py --new smollm2-135m --batch 4 --seq 256 --dtype bf16 --steps 5 --threads 2
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

SHAPES = {
    "smollm2-135m": dict(layers=30, dim=576, heads=9, kv_heads=3, ffn=1536, vocab=49152, rope_base=1e5),
    "gpt2-124m": dict(layers=12, dim=768, heads=12, kv_heads=12, ffn=2048, vocab=50257, rope_base=1e4),
}


def read_shape(text):
    """A name of SHAPES, or layers=4,heads=4,dim=128,... with the program's defaults for the rest."""
    if text in SHAPES:
        return SHAPES[text]
    given = {key: float(value) if key == "rope_base" else int(value)
             for key, value in (pair.split("=") for pair in text.split(","))}
    dim, heads = given["dim"], given["heads"]
    shape = dict(kv_heads=heads, ffn=(dim * 8 // 3 + 31) // 32 * 32, vocab=256, rope_base=1e4)
    shape.update((key, value) for key, value in given.items() if key != "ctx")
    return shape


def rotate(x, cosine, sine):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def plain_attention(q, k, v):
    """Causal attention with all its weights in memory, as scaled_dot_product_attention avoids."""
    tokens = q.shape[-2]
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ v


def fused_attention(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class Norm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return functional.rms_norm(x.float(), self.weight.shape, self.weight, 1e-5)


class Block(nn.Module):
    def __init__(self, dim, heads, kv_heads, ffn, attention):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.attention = heads, kv_heads, dim // heads, attention
        kv = kv_heads * self.head_dim
        self.norm1, self.norm2 = Norm(dim), Norm(dim)
        self.q, self.k, self.v = (nn.Linear(dim, width, bias=False) for width in (dim, kv, kv))
        self.o = nn.Linear(dim, dim, bias=False)
        self.gate, self.up = nn.Linear(dim, ffn, bias=False), nn.Linear(dim, ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def split(self, x, heads):
        return x.unflatten(-1, (heads, self.head_dim)).transpose(1, 2)

    def forward(self, x, cosine, sine):
        h = self.norm1(x)
        q = rotate(self.split(self.q(h), self.heads), cosine, sine)
        k = rotate(self.split(self.k(h), self.kv_heads), cosine, sine)
        v = self.split(self.v(h), self.kv_heads)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        mixed = self.attention(q.to(v.dtype), k.to(v.dtype), v)  # the angles are f32, and so is what they turn
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, attention, layers, dim, heads, kv_heads, ffn, vocab, rope_base, seq):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, kv_heads, ffn, attention) for _ in range(layers))
        self.norm = Norm(dim)
        head_dim = dim // heads
        rates = rope_base ** (-torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.arange(seq)[:, None] * rates
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, targets):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        logits = functional.linear(self.norm(x), self.embedding.weight).float()
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", required=True, help="smollm2-135m, gpt2-124m, or layers=4,heads=4,dim=128,vocab=256")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="bf16")
    parser.add_argument("--steps", type=int, default=5, help="measured ones; two come before them")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--attention", choices=("fused", "plain"), default="fused")
    parser.add_argument("--adamw", choices=("loop", "foreach", "fused"), default="fused")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    shape = read_shape(options.new)
    model = Model({"fused": fused_attention, "plain": plain_attention}[options.attention], seq=options.seq, **shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1,
                                  foreach=options.adamw == "foreach", fused=options.adamw == "fused" or None)
    steps = []
    for _ in range(options.steps + 2):
        tokens = torch.randint(shape["vocab"], (2, options.batch, options.seq))
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = model(tokens[0], tokens[1])
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        end = time.perf_counter()
        steps.append((end - begin, forward - begin, backward - forward, end - backward))
    all_s, forward_s, backward_s, optimizer_s = (statistics.median(part) for part in zip(*steps[2:]))
    print(json.dumps(dict(
        program=f"PyTorch {torch.__version__}", model=options.new, dtype=options.dtype, batch=options.batch,
        seq=options.seq, threads=torch.get_num_threads(), attention=options.attention, adamw=options.adamw,
        parameters=sum(p.numel() for p in model.parameters()), steps=options.steps,
        tokens_per_s=options.batch * options.seq / all_s, step_s=all_s, forward_s=forward_s, backward_s=backward_s,
        optimizer_s=optimizer_s, loss=loss.item(),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))


if __name__ == "__main__":
    main()
