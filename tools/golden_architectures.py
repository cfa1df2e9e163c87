#!/usr/bin/env python3
"""Tiny random models of each architecture in transformers: logits, loss and gradients, computed in float64.

Writes tests/golden/architectures/NAME/: config.json and model.safetensors as save_pretrained writes them, and
expected.safetensors with "ids" and "targets" (I32, [batch][seq]; a target of -1 is not trained on), "logits" (F32),
"loss" (F64, the mean over trained tokens in nats), and the gradients under "grad." and the parameter's name. llama has
a second set under "packed.": rows of several documents that do not see each other, "packed.positions" (two apart:
turns are relative, so that steps of one would show nothing) and "packed.first" (where in its row each token's document
begins).

transformers computes norms and angles in float32 whatever the model is; the rest is float64.
"""
import argparse
import pathlib
import shutil

import numpy as np
import safetensors.numpy
import torch
import transformers

BATCH, SEQ, VOCAB = 2, 12, 97
SIZES = {"vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 24}
DOCUMENTS = [[5, 4, 3], [1, 11]]  # lengths in each row of the packed batch


def configs():
    """Every switch is on in one of them, and sizes differ where they can."""
    rope = {"rope_type": "default", "rope_theta": 500.0}
    llama3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    linear = {"rope_type": "linear", "factor": 2.5, "rope_theta": 1e4}
    return {
        "llama": transformers.LlamaConfig(**SIZES, head_dim=8, rope_parameters=llama3, attention_bias=True,
                                          mlp_bias=True, rms_norm_eps=1e-3),
        "mistral": transformers.MistralConfig(**SIZES, head_dim=6, rope_parameters=rope, sliding_window=5),
        "qwen2": transformers.Qwen2Config(**SIZES, rope_parameters=rope, use_sliding_window=True, sliding_window=4,
                                          max_window_layers=1),
        "qwen3": transformers.Qwen3Config(**SIZES, head_dim=10, rope_parameters=rope, tie_word_embeddings=True),
        "gemma3": transformers.Gemma3TextConfig(
            **SIZES, head_dim=8, sliding_window=3, layer_types=["sliding_attention", "full_attention"],
            query_pre_attn_scalar=11, rms_norm_eps=1e-4,
            rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                             "full_attention": linear}),
        "gpt2": transformers.GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=16, n_layer=2, n_head=4, n_inner=20),
    }


def randomise(model, rng):
    """No weight has a value that hides a lost factor: norms lie around what leaves things as they are."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = 0.25 * rng.standard_normal(parameter.shape)
            if parameter.dim() == 1 and name.endswith("weight") and "gemma3" not in model.config.model_type:
                value += 1
            parameter.copy_(torch.tensor(value.astype(np.float32)))


def run(model, ids, targets, **arguments):
    model.zero_grad()
    logits = model(torch.tensor(ids), use_cache=False, **arguments).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=-1)
    loss.backward()
    result = {"ids": ids.astype(np.int32), "targets": targets.astype(np.int32),
              "logits": logits.detach().numpy().astype(np.float32), "loss": np.array(loss.item())}
    for name, parameter in model.named_parameters():
        result["grad." + name] = parameter.grad.numpy().astype(np.float32)
    return result


def packed_arguments():
    """Positions that begin again, where documents begin, and a mask to add to scores."""
    positions = np.array([[p for length in row for p in range(length)] for row in DOCUMENTS])
    first = np.arange(SEQ)[None] - positions
    key = np.arange(SEQ)[None, None]
    seen = (key <= np.arange(SEQ)[None, :, None]) & (key >= first[:, :, None])
    mask = torch.zeros(BATCH, 1, SEQ, SEQ, dtype=torch.float64)
    mask.masked_fill_(torch.tensor(~seen)[:, None], float("-inf"))
    return 2 * positions, first, mask


def write(name, config, folder, rng):
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    randomise(model, rng)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for extra in folder.iterdir():
        if extra.name not in ("config.json", "model.safetensors"):
            extra.unlink()
    model = model.double()
    ids, targets = rng.integers(0, VOCAB, (2, BATCH, SEQ))
    targets[0, 3] = targets[1, 7] = -1
    expected = run(model, ids, targets)
    if name == "llama":
        positions, first, mask = packed_arguments()
        packed = run(model, ids, targets, attention_mask=mask, position_ids=torch.tensor(positions))
        expected |= {"packed." + key: value for key, value in packed.items()}
        expected["packed.positions"], expected["packed.first"] = positions.astype(np.int32), first.astype(np.int32)
    safetensors.numpy.save_file(expected, folder / "expected.safetensors")
    print(f"{name}: loss {expected['loss']:.6f}, {sum(f.stat().st_size for f in folder.iterdir())} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden")
    out = parser.parse_args().out
    for seed, (name, config) in enumerate(configs().items()):
        write(name, config, out / "architectures" / name, np.random.default_rng(seed))


if __name__ == "__main__":
    main()
