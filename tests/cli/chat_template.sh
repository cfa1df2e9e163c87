#!/bin/sh
# The chat format that a model was trained in goes with it: into its folder, and from there into GGUF files and back.
# What of it does not fit the model is said.
. "$(dirname "$0")/checks.inc"
cat >chats.jsonl <<'EOF'
{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}
{"messages":[{"role":"user","content":"bye"},{"role":"assistant","content":"see you"}]}
EOF
new() { "$DITHER" train --new layers=1,heads=2,kv_heads=1,dim=32,ffn=64,ctx=256 --batch 4 --threads 1 "$@"; }
chat() { "$DITHER" generate --chat --prompt hi --temperature 0 --threads 1 --tokens 5 --json --model "$@"; }
text() { sed -n 's/.*"prompt_tokens":\([0-9]*\).*/\1/p' out; } # a format's prompt has a length of its own

# A new model: the template of each format is known again, in the folder, in a GGUF file, and in a folder made of that.
expect 1 new --data chats.jsonl --steps 1 --out none
says_in_one_line 'without a model there is no chat template; name one with --chat-format: chatml'
for format in chatml llama-2 llama-3.1 mistral-v3 gemma-3 qwen3 phi-3 zephyr plain; do
    expect 0 new --data chats.jsonl --chat-format $format --steps 2 --out "$format"
    expect 0 chat "$format" --chat-format $format
    wanted=$(text)
    [ -n "$wanted" ] || fail "$format: no length of the prompt"
    expect 0 chat "$format"
    [ "$(text)" = "$wanted" ] || fail "$format: the folder's template is another one"
    expect 0 "$DITHER" convert "$format" "$format.gguf"
    expect 0 chat "$format.gguf"
    [ "$(text)" = "$wanted" ] || fail "$format: the GGUF file's template is another one"
    expect 0 "$DITHER" convert "$format.gguf" "$format.back"
    expect 0 chat "$format.back"
    [ "$(text)" = "$wanted" ] || fail "$format: after GGUF the template is another one"
done
expect 0 "$DITHER" eval --model zephyr --data chats.jsonl
expect 0 "$DITHER" data --model zephyr chats.jsonl
prints '^chat format zephyr'
is_json_lines zephyr/log.jsonl

# Another format in place of the model's own; the rest of tokenizer_config.json stays, a template beside it goes.
sed 's/"clean_up_tokenization_spaces"/"my_key": [1, "two"], "clean_up_tokenization_spaces"/' zephyr/tokenizer_config.json >changed
cp changed zephyr/tokenizer_config.json
printf '{%%- nobody knows me -%%}' >zephyr/chat_template.jinja
expect 1 chat zephyr
says_in_one_line 'none that is known'
tune() { "$DITHER" train --model zephyr --data chats.jsonl --batch 4 --steps 2 --threads 1 "$@"; }
expect 0 tune --chat-format chatml --out other
prints "^note  *what is trained gets the chat template of the format chatml in place of the model's own$"
[ ! -e other/chat_template.jinja ] || fail 'the old template is still there'
grep -q my_key other/tokenizer_config.json || fail 'tokenizer_config.json lost a key'
cat other/tokenizer_config.json | tr -d '\n' >line
is_json_lines line
expect 0 chat other --chat-format chatml
wanted=$(text)
expect 0 chat other
[ "$(text)" = "$wanted" ] || fail 'the template is not the one that was trained with'
rm zephyr/chat_template.jinja
expect 0 tune --chat-format chatml --dry-run
prints "in place of the model's own, that of zephyr$"

# The model's own format: its template stays as it is, byte for byte, and nothing is said.
expect 0 tune --out same
grep -q "the model's own" out && fail 'a template that stays is said to be replaced'
cmp zephyr/tokenizer_config.json same/tokenizer_config.json || fail 'a template that fits was written anew'

# A run that was killed before it wrote the template writes it when it goes on.
expect 0 tune --chat-format chatml --out killed --stop-at 1
cp zephyr/tokenizer_config.json killed/tokenizer_config.json
expect 0 "$DITHER" train --resume --out killed
cmp other/tokenizer_config.json killed/tokenizer_config.json || fail 'a resumed run leaves the old template'

# Marks that are no single tokens are named; those that are, are not.
expect 0 new --data chats.jsonl --chat-format chatml --steps 1 --out marks --json
grep -q '"notice".*no single tokens for <|im_start|>, <|im_end|> of the format chatml' out || fail 'no notice of the marks'
write_text text.txt 60
expect 0 "$DITHER" tokenizer train --data text.txt --vocab 300 --special '<|im_start|>,<|im_end|>' --out tok.json
expect 0 new --tokenizer tok.json --data chats.jsonl --chat-format chatml --steps 1 --out tokens
grep -q 'no single token' out && { cat out >&2; fail 'marks that are tokens are called none'; }
expect 0 "$DITHER" data --model tokens chats.jsonl
grep -q '^no tokens' out && fail 'marks that are tokens are called none'
expect 0 "$DITHER" data --model marks chats.jsonl
prints '^no tokens   <|im_start|>, <|im_end|>: ordinary text to the model$'
expect 0 "$DITHER" train --model tokens --data chats.jsonl --chat-format llama-3 --steps 1 --batch 1 --out llama
prints 'no single tokens for <|begin_of_text|>, <|start_header_id|>, <|end_header_id|>, <|eot_id|> of the format llama-3'

# A model of texts has no template.
write_text text.txt 60
expect 0 train --out texts --steps 1
expect 1 chat texts
says_in_one_line 'zephyr'
exit 0
