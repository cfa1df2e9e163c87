#!/usr/bin/env python3
"""Whether libdither renders chats as transformers' apply_chat_template does.

usage: check_chat_templates.py LIBRARY [TEMPLATES...] [--golden FILE]

LIBRARY is libdither.so. Each of TEMPLATES is a .jinja file, a tokenizer_config.json, a .gguf file, or a folder of
these: llama.cpp's models/templates, model folders. Every template that the library takes for one it knows is rendered
by both on 12 conversations, with and without add_generation_prompt, and must come out the same, or be refused by
both; and so must the template that the library writes for each of its formats. --golden FILE writes the conversations
and what transformers makes of them with the first template of each format, and the written ones, for
tests/unit/test_chat.c.

Exit status 0: all are equal; 1: not; 77: skipped, since a Python module is not installed.
"""
import argparse
import ctypes
import json
import pathlib
import struct
import sys

try:
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ROLES = ["system", "user", "assistant"]
S, U, A = ROLES


def chat(*turns):
    return [{"role": role, "content": text} for role, text in turns]


CONVERSATIONS = [
    chat((U, "Hello")),
    chat((U, "What is 2 + 2?"), (A, "4.")),
    chat((S, "Answer in one word."), (U, "Capital of France?"), (A, "Paris")),
    chat((S, "Be brief."), (U, "One?"), (A, "1"), (U, "Two?"), (A, "2"), (U, "Three?")),
    chat((U, ""), (A, "")),
    chat((S, ""), (U, "no rules"), (A, "fine")),
    chat((S, "  spaces  "), (U, "\n trailing \t\n"), (A, "\u3000 wide\u00a0\u2028 "), (U, "   "), (A, "\n\nlines\n\n")),
    chat((U, "na\u00efve caf\u00e9 \u4f60\u597d \u0645\u0631\u062d\u0628\u0627"), (A, "\U0001f600\u200d\U0001f525 {bos} \"q\" \\n '")),
    chat((U, "first"), (U, "second"), (A, "third")),
    chat((U, "hi"), (S, "late rule"), (U, "go on"), (A, "yes")),
    chat((U, "think"), (A, "<think>\nhm\n\n</think>\n\nyes"), (U, "again"), (A, "<think>\n</think>\n ok")),
    chat((S, "sys"), (U, "a"), (A, "b"), (A, "c")),
]


BOS, EOS = "<BOS>", "<EOS>"


class Message(ctypes.Structure):
    _fields_ = [("role", ctypes.c_int), ("text", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Marks(ctypes.Structure):
    _fields_ = [("bos", ctypes.c_char * 64), ("eos", ctypes.c_char * 64)]


class Span(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_size_t), ("end", ctypes.c_size_t)]


class Text(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("length", ctypes.c_size_t), ("spans", ctypes.POINTER(Span)),
                ("count", ctypes.c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("where", ctypes.c_char * 256), ("text", ctypes.c_char * 512)]


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        for name in ("dither_chat_format_find", "dither_chat_format_named"):
            getattr(self.c, name).restype = ctypes.c_void_p
            getattr(self.c, name).argtypes = [ctypes.c_char_p]
        self.c.dither_chat_format_name.restype = ctypes.c_char_p
        self.c.dither_chat_format_name.argtypes = [ctypes.c_void_p]
        self.c.dither_chat_render.argtypes = [ctypes.c_void_p, ctypes.POINTER(Marks), ctypes.POINTER(Message),
                                              ctypes.c_size_t, ctypes.c_bool, ctypes.POINTER(Text),
                                              ctypes.POINTER(Error)]
        self.c.dither_chat_text_free.argtypes = [ctypes.POINTER(Text)]
        self.c.dither_chat_format_at.restype = ctypes.c_void_p
        self.c.dither_chat_format_at.argtypes = [ctypes.c_size_t]
        self.c.dither_chat_format_template.argtypes = [ctypes.c_void_p, ctypes.POINTER(Marks),
                                                       ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(Error)]

    def written(self):
        """The template that is written beside a trained model, of each format."""
        index = 0
        while chat_format := self.c.dither_chat_format_at(index):
            text = ctypes.c_void_p()
            if self.c.dither_chat_format_template(chat_format, Marks(BOS.encode(), EOS.encode()), text, Error()):
                raise MemoryError
            yield self.name(chat_format), ctypes.string_at(text).decode()  # the process ends before the memory matters
            index += 1

    def find(self, template):
        return self.c.dither_chat_format_find(template.encode())

    def name(self, chat_format):
        return self.c.dither_chat_format_name(chat_format).decode()

    def render(self, chat_format, messages, prompt, bos, eos):
        """The text, or None where the conversation is refused."""
        array = (Message * len(messages))()
        for slot, message in zip(array, messages):
            text = message["content"].encode()
            slot.role, slot.text, slot.length = ROLES.index(message["role"]), text, len(text)
        text, error = Text(), Error()
        if self.c.dither_chat_render(chat_format, Marks(bos.encode(), eos.encode()), array, len(messages), prompt,
                                     text, error):
            return None
        out = ctypes.string_at(text.text, text.length).decode()
        self.c.dither_chat_text_free(text)
        return out


def gguf_template(path):
    """The value of tokenizer.chat_template, found by its key: enough for a check."""
    key = b"tokenizer.chat_template" + struct.pack("<I", 8)
    with open(path, "rb") as file:
        head = file.read(64 << 20)
    at = head.find(key)
    if at < 0:
        return None
    at += len(key)
    size, = struct.unpack_from("<Q", head, at)
    return head[at + 8:at + 8 + size].decode()


def templates(path):
    path = pathlib.Path(path)
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            if inner.suffix in (".jinja", ".gguf") or inner.name == "tokenizer_config.json":
                yield from templates(inner)
    elif path.suffix == ".jinja":
        yield path.name, path.read_text()
    elif path.suffix == ".gguf":
        template = gguf_template(path)
        if template:
            yield path.name, template
    else:
        template = json.loads(path.read_text()).get("chat_template")
        if isinstance(template, str):
            yield f"{path.parent.name}/{path.name}", template


def transformers_render(template, messages, prompt, bos, eos):
    try:
        rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=prompt,
                                            bos_token=bos, eos_token=eos, date_string="26 Jul 2024")
        return rendered[0]
    except (jinja2.TemplateError, TypeError):
        return None


# A late system message is dropped without a word, or given the name of no role, by templates that alternate.
STRICTER = 9


def compare(library, name, template, golden, strict=False):
    chat_format = library.find(template)
    if not chat_format:
        print(f"{name:60s} unknown")
        return 0
    format_name = library.name(chat_format)
    wrong, refused, rows = 0, 0, []
    for index, messages in enumerate(CONVERSATIONS):
        pair = []
        for prompt in (False, True):
            theirs = transformers_render(template, messages, prompt, BOS, EOS)
            ours = library.render(chat_format, messages, prompt, BOS, EOS)
            if ours is None and index == STRICTER and not strict:
                theirs = None
            refused += theirs is None
            pair.append(theirs)
            if ours != theirs:
                wrong += 1
                print(f"{name}: conversation {index}, prompt {prompt}:\n  theirs {theirs!r}\n  ours   {ours!r}")
        rows.append(pair)
    print(f"{name:60s} {format_name:18s} {len(CONVERSATIONS)} conversations x 2: {wrong} differ, {refused} refused")
    golden.setdefault(format_name, rows)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared_object", metavar="LIBRARY")
    parser.add_argument("templates", nargs="*")
    parser.add_argument("--golden")
    options = parser.parse_args()
    library = Library(str(pathlib.Path(options.shared_object).resolve()))
    golden, wrong, seen = {}, 0, 0
    for path in options.templates:
        for name, template in templates(path):
            seen += 1
            wrong += compare(library, name, template, golden)
    written = dict(library.written())
    for name, template in written.items():
        chat_format = library.find(template)
        if not chat_format or library.name(chat_format) != name:
            print(f"{name}: its own template is taken for {library.name(chat_format) if chat_format else 'unknown'}")
            wrong += 1
        else:
            wrong += compare(library, f"written for {name}", template, {}, strict=True)
    print(f"{seen} templates, {len(golden)} formats: {', '.join(sorted(golden))}; {wrong} renderings differ")
    if options.golden:
        conversations = [[[m["role"], m["content"]] for m in c] for c in CONVERSATIONS]
        with open(options.golden, "w", encoding="utf-8") as file:
            json.dump({"bos": BOS, "eos": EOS, "conversations": conversations, "formats": golden,
                       "written": written}, file, ensure_ascii=False, indent=0,
                      sort_keys=True)
            file.write("\n")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
