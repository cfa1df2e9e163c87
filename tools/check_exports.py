#!/usr/bin/env python3
"""Whether transformers, the gguf package and llama.cpp open what `dither convert` writes, and compute the same with it.

    pip install torch transformers gguf llama-cpp-python
    tools/check_exports.py build/release/dither MODEL [--text FILE] [--tokens N] [--work FOLDER]

MODEL is a model folder or a GGUF file; without one, or without a package, what cannot be checked is said and left out.

    tokenizer  ids of texts: transformers on the folder, llama.cpp on the source and on the files made of it
    chat       apply_chat_template on the folder gives the text that the source's own template gives
    tensors    f32 files hold the folder's values; blocks are those that the gguf package makes of them, byte for byte
    loss       mean loss of the next token: llama.cpp on a file, transformers on the folder of its values
"""
import argparse, os, subprocess, sys, tempfile

TEXTS = ["The quick brown fox jumps over 13 lazy dogs.", "  two spaces,\n\n\ttabs and\r\nlines  ", "Größe, naïve, 你好世界, 🙂👍🏽",
         "def f(x):\n    return x**2 + 1234567.89  # ok", "I'll we've DON'T it's", "", " ", "a", "3.14159 1000000 ½ ²"]
WRONG = 0


def say(good, name, detail=""):
    global WRONG
    WRONG += not good
    print(f"{'ok   ' if good else 'WRONG'} {name}{'  ' + detail if detail else ''}", flush=True)


def package(name):
    try:
        return __import__(name)
    except ImportError:
        print(f"skip  what needs {name}: it is not installed")
        return None


def convert(dither, source, target, *options):
    subprocess.run([dither, "convert", source, target, "--force", *options], check=True, stdout=subprocess.DEVNULL)
    return target


def check_tokenizer(folder, files, llama_cpp):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for file in files:
        llama = llama_cpp.Llama(file, vocab_only=True, verbose=False)
        for special in (False, True):
            texts = [t for t in TEXTS if t] + ([f"{tokenizer.eos_token}hello{tokenizer.eos_token}\n"] if special else [])
            for text in texts:
                ours = tokenizer(text, add_special_tokens=False)["input_ids"]
                theirs = llama.tokenize(text.encode(), add_bos=False, special=special)
                if not special and any(t in text for t in tokenizer.all_special_tokens):
                    continue
                if ours != theirs:
                    say(False, f"tokenizer {os.path.basename(file)}", f"{text!r}: {ours} and {theirs}")
                    break
            else:
                say(True, f"tokenizer {os.path.basename(file)}", f"{len(texts)} texts, special {special}")
    return tokenizer


def check_chat(folder, source, tokenizer, gguf):
    if tokenizer.chat_template is None:
        print("skip  chat: the model has no template")
        return
    chat = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "2+2?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    say("2+2?" in text, "chat", repr(text[-60:]))
    if gguf and source.endswith(".gguf"):
        field = gguf.GGUFReader(source).fields["tokenizer.chat_template"]
        say(tokenizer.chat_template == field.contents(), "chat template is the source's")


def folder_tensors(folder):
    from safetensors import safe_open
    tensors = {}
    for name in os.listdir(folder):
        if name.endswith(".safetensors"):
            with safe_open(os.path.join(folder, name), "pt") as file:
                for key in file.keys():
                    tensors[key] = file.get_tensor(key).float().numpy()
    return tensors


def check_tensors(file, folder, kind, gguf, config):
    """Undo what llama files do to query and key; the other tensors lie as in folders."""
    import numpy as np
    types = {"llama": gguf.MODEL_ARCH.LLAMA, "mistral": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
             "qwen3": gguf.MODEL_ARCH.QWEN3, "gemma3_text": gguf.MODEL_ARCH.GEMMA3, "gpt2": gguf.MODEL_ARCH.GPT2}
    names = gguf.get_tensor_name_map(types[config.model_type], config.num_hidden_layers)
    written = {t.name: t for t in gguf.GGUFReader(file).tensors}
    blocks = wrong = 0
    for name, x in folder_tensors(folder).items():
        stem, ending = name.rsplit(".", 1)
        tensor = written.pop(f"{names.get_name(name, try_suffixes=('.weight', '.bias'))}", None)
        if tensor is None:
            if name != "lm_head.weight":
                say(False, f"tensors {kind}", f"{name} is not in {file}")
            continue
        if config.model_type in ("llama", "mistral") and stem.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if stem.endswith("q_proj") else config.num_key_value_heads
            x = x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
        if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
            x = x + np.float32(1)
        if config.model_type == "gpt2" and x.ndim == 2 and ".h." in name:
            x = x.T
        expected = gguf.quants.quantize(np.ascontiguousarray(x), tensor.tensor_type)
        blocks += tensor.tensor_type.name not in ("F32", "F16", "BF16")
        wrong += not np.array_equal(np.asarray(tensor.data).view(np.uint8).ravel(), expected.view(np.uint8).ravel())
    written.pop("rope_freqs.weight", None)
    say(not wrong and not written, f"tensors {kind}", f"{blocks} in blocks, {wrong} differ, {len(written)} too much")


def loss_llama(file, ids, llama_cpp):
    import numpy as np
    llama = llama_cpp.Llama(file, n_ctx=len(ids), n_batch=512, logits_all=True, type_k=0, type_v=0, verbose=False)
    llama.eval(ids)
    logits = np.array(llama.scores[:len(ids) - 1], dtype=np.float64)
    top = logits.max(1, keepdims=True)
    norm = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return float(np.mean(norm - logits[np.arange(len(ids) - 1), ids[1:]]))


def loss_transformers(folder, ids, torch):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1].double()
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dither")
    parser.add_argument("model")
    parser.add_argument("--text", help="a text to take tokens from; without it, the texts above repeated")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--types", default="f32,q8_0,q4_0,q4_1")
    parser.add_argument("--work", help="folder to write into")
    options = parser.parse_args()
    if not os.path.exists(options.model):
        print(f"skip  everything: there is no {options.model}")
        return 0
    torch, transformers, gguf = package("torch"), package("transformers"), package("gguf")
    llama_cpp = package("llama_cpp")
    if not (torch and transformers):
        return 0
    work = options.work or tempfile.mkdtemp()
    folder = convert(options.dither, options.model, os.path.join(work, "folder"), "--to", "f32")
    files = {kind: convert(options.dither, folder, os.path.join(work, f"{kind}.gguf"), "--to", kind)
             for kind in options.types.split(",")}
    source = [options.model] if options.model.endswith(".gguf") else []
    from transformers import AutoConfig, AutoTokenizer
    config = AutoConfig.from_pretrained(folder)
    tokenizer = check_tokenizer(folder, source + list(files.values()), llama_cpp) if llama_cpp \
        else AutoTokenizer.from_pretrained(folder)
    check_chat(folder, options.model, tokenizer, gguf)
    again = convert(options.dither, files["f32"], os.path.join(work, "again"))
    a, b = folder_tensors(folder), folder_tensors(again)
    # gemma3's norms are held less 1 in folders and whole in files: half a unit in the last place.
    loose = [k for k in a if config.model_type == "gemma3_text" and k.endswith("norm.weight")]
    same = a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a if k not in loose)
    say(same and all(abs(a[k] - b[k]).max() < 2.0**-22 for k in loose), "folder, file, folder: the same bytes",
        f"but for {len(loose)} norms" if loose else "")
    if gguf:
        for kind, file in files.items():
            check_tensors(file, folder, kind, gguf, config)
    text = open(options.text, encoding="utf-8").read() if options.text else "\n".join(TEXTS) * options.tokens
    ids = tokenizer(text[:options.tokens * 12], add_special_tokens=False)["input_ids"][:options.tokens]
    for kind, file in files.items():
        plain = folder if kind == "f32" else convert(options.dither, file, os.path.join(work, "plain"))
        theirs = loss_transformers(plain, ids, torch)
        line = f"{len(ids)} tokens: transformers {theirs:.5f}"
        if llama_cpp:
            own = loss_llama(file, ids, llama_cpp)
            say(abs(own - theirs) <= (1e-3 if kind == "f32" else 1e-2), f"loss {kind}",
                f"{line}, llama.cpp {own:.5f}, apart by {abs(own - theirs):.5f}")
        else:
            print(f"      loss {kind}  {line}")
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
