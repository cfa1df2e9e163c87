#!/usr/bin/env python3
"""Loss and gradients of two small models of the llama family in PyTorch, float64, by automatic differentiation.

Writes tests/golden/model_tied.safetensors and model_untied.safetensors. Each holds the weights under the names of
Hugging Face llama files, the gradients under "grad." and the same name, "ids" and "targets" (I32, [batch][seq]; a
target of -1 is not trained on), "loss" (F64, the mean over trained tokens in nats), and metadata "config" (as
`dither train --new` takes it).

Prints how far PyTorch's own float32 is from float64, which is what a tolerance has to allow for. Where transformers is
installed, LlamaForCausalLM must give the same loss and gradients.
"""
import argparse
import pathlib

import numpy as np
import safetensors.numpy
import torch

SHAPE = {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 4, "dim": 16, "ffn": 24, "vocab": 32, "ctx": 16}
BATCH, SEQ, EPS, ROPE_BASE, STD = 2, 12, 1e-5, 10000.0, 0.2


def make_weights(tied, rng):
    s = SHAPE
    q, kv = s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"]
    shapes = {"model.embed_tokens.weight": (s["vocab"], s["dim"])}
    for n in range(s["layers"]):
        layer = f"model.layers.{n}."
        shapes |= {
            layer + "input_layernorm.weight": (s["dim"],),
            layer + "self_attn.q_proj.weight": (q, s["dim"]),
            layer + "self_attn.k_proj.weight": (kv, s["dim"]),
            layer + "self_attn.v_proj.weight": (kv, s["dim"]),
            layer + "self_attn.o_proj.weight": (s["dim"], q),
            layer + "post_attention_layernorm.weight": (s["dim"],),
            layer + "mlp.gate_proj.weight": (s["ffn"], s["dim"]),
            layer + "mlp.up_proj.weight": (s["ffn"], s["dim"]),
            layer + "mlp.down_proj.weight": (s["dim"], s["ffn"]),
        }
    shapes["model.norm.weight"] = (s["dim"],)
    if not tied:
        shapes["lm_head.weight"] = (s["vocab"], s["dim"])
    # Norms lie around 1, the rest around 0: no weight has a value that hides a lost factor.
    return {
        name: (STD * rng.standard_normal(shape) + (len(shape) == 1)).astype(np.float32)
        for name, shape in shapes.items()
    }


def rms_norm(x, weight):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * weight


def rope(x):
    """x: [batch][heads][seq][head_dim]; element i is paired with i + head_dim/2."""
    half = x.shape[-1] // 2
    frequency = ROPE_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention(w, layer, h):
    def split(name, heads):
        return (h @ w[layer + f"self_attn.{name}_proj.weight"].T).view(BATCH, SEQ, heads, -1).transpose(1, 2)

    q, k, v = split("q", SHAPE["heads"]), split("k", SHAPE["kv_heads"]), split("v", SHAPE["kv_heads"])
    share = SHAPE["heads"] // SHAPE["kv_heads"]
    k, v = rope(k).repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    scores = rope(q) @ k.transpose(-1, -2) / SHAPE["head_dim"] ** 0.5
    future = torch.ones(SEQ, SEQ, dtype=torch.bool).triu(1)
    o = torch.softmax(scores.masked_fill(future, float("-inf")), -1) @ v
    return o.transpose(1, 2).reshape(BATCH, SEQ, -1) @ w[layer + "self_attn.o_proj.weight"].T


def mean_loss(w, ids, targets):
    x = w["model.embed_tokens.weight"][ids]
    for n in range(SHAPE["layers"]):
        layer = f"model.layers.{n}."
        x = x + attention(w, layer, rms_norm(x, w[layer + "input_layernorm.weight"]))
        h = rms_norm(x, w[layer + "post_attention_layernorm.weight"])
        gate, up = h @ w[layer + "mlp.gate_proj.weight"].T, h @ w[layer + "mlp.up_proj.weight"].T
        x = x + (gate * torch.sigmoid(gate) * up) @ w[layer + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    logits = rms_norm(x, w["model.norm.weight"]) @ head.T
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def differentiate(weights, ids, targets, dtype):
    w = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in weights.items()}
    loss = mean_loss(w, torch.tensor(ids), torch.tensor(targets))
    loss.backward()
    return loss.item(), {name: value.grad.double().numpy() for name, value in w.items()}


def relative(gradients, truth):
    return max(np.abs(gradients[name] - g).max() / np.abs(g).max() for name, g in truth.items())


def check_transformers(weights, tied, ids, targets, loss, gradients):
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return "transformers is not installed: not compared"
    s = SHAPE
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=s["vocab"], hidden_size=s["dim"], intermediate_size=s["ffn"], num_hidden_layers=s["layers"],
            num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"], head_dim=s["head_dim"],
            max_position_embeddings=s["ctx"], rms_norm_eps=EPS, rope_theta=ROPE_BASE, tie_word_embeddings=tied,
        )
    ).double()
    model.load_state_dict({name: torch.tensor(value).double() for name, value in weights.items()}, strict=not tied)
    logits = model(torch.tensor(ids)).logits
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=-1)
    theirs.backward()
    # Their norms and angles are float32 whatever the model is.
    assert abs(theirs.item() - loss) < 1e-5 * loss
    assert relative({name: p.grad.numpy() for name, p in model.named_parameters()}, gradients) < 1e-5
    return "transformers agrees"


def main():
    here = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=here)
    out = parser.parse_args().out
    for tied in (True, False):
        rng = np.random.default_rng(3 if tied else 4)
        weights = make_weights(tied, rng)
        text = rng.integers(0, SHAPE["vocab"], (BATCH, SEQ + 1))
        ids, targets = text[:, :-1].copy(), text[:, 1:].copy()
        if not tied:
            targets[1, 7:] = -1
        loss, gradients = differentiate(weights, ids, targets, torch.float64)
        loss32, gradients32 = differentiate(weights, ids, targets, torch.float32)
        name = "model_tied" if tied else "model_untied"
        print(f"{name}: loss {loss:.9f}; float32 is off by {abs(loss32 - loss) / loss:.1e} in the loss and by at most "
              f"{relative(gradients32, gradients):.1e} of a tensor's largest gradient; "
              f"{check_transformers(weights, tied, ids, targets, loss, gradients)}")
        tensors = dict(weights)
        tensors |= {"grad." + key: value.astype(np.float32) for key, value in gradients.items()}
        tensors |= {"ids": ids.astype(np.int32), "targets": targets.astype(np.int32)}
        config = ",".join(f"{key}={value}" for key, value in SHAPE.items()) + f",tied={int(tied)}"
        # One key: with more, safetensors writes them in an order that changes from run to run.
        data = safetensors.numpy.save(tensors | {"loss": np.array([loss])}, {"config": config})
        (out / f"{name}.safetensors").write_bytes(data)


if __name__ == "__main__":
    main()
