#!/bin/sh
# dither train --tokenizer: a new model in the tokens of a file, which the model folder then has.
. "$(dirname "$0")/checks.inc"
write_text text.txt 300
mkdir made
expect 0 "$DITHER" tokenizer train --data text.txt --vocab 300 --out made/tok.json
tokens=$("$DITHER" tokenize --tokenizer made/tok.json text.txt | wc -w)
[ $((3 * tokens)) -lt $((2 * $(wc -c <text.txt))) ] || fail "$tokens tokens are not much fewer than bytes"

# The run, in one go and in two; in the second the folder alone knows the tokenizer.
expect 0 train --tokenizer made/tok.json --out whole --steps 12
prints ',vocab=300$'
held=$(sed -n 's/^data  *\([0-9,]*\) tokens to train on, \([0-9,]*\) held out$/\1 + \2/p' out | tr -d ,)
[ "$(($held))" = "$tokens" ] || fail "$held tokens where the text has $tokens"
cmp made/tok.json whole/tokenizer.json || fail 'the folder has another tokenizer'
grep -q PreTrainedTokenizerFast whole/tokenizer_config.json || fail 'the folder does not say the class of its tokenizer'
expect 0 train --tokenizer made/tok.json --out parts --steps 12 --stop-at 5
mv made away
expect 0 "$DITHER" train --resume --out parts --threads 1
cmp whole/model.safetensors parts/model.safetensors || fail 'the resumed run has other weights'
mv away made

# A folder with one, and what stands beside it.
mkdir beside
cp made/tok.json beside/tokenizer.json
echo '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}' >beside/tokenizer_config.json
expect 0 train --tokenizer beside --out folder --steps 12
cmp whole/model.safetensors folder/model.safetensors || fail 'the same tokenizer from a folder gives other weights'
cmp beside/tokenizer_config.json folder/tokenizer_config.json || fail 'tokenizer_config.json is not copied'
expect 0 "$DITHER" train --model folder --data text.txt --batch 2 --steps 2 --threads 1 --out tuned
cmp beside/tokenizer.json tuned/tokenizer.json || fail 'what was tuned has another tokenizer'

# The model is usable.
expect 0 "$DITHER" generate --model whole --prompt "the quick" --tokens 20 --temperature 0
prints '^the quick'
expect 0 "$DITHER" eval --model whole --data text.txt --json
prints "\"tokens\":$((tokens - 1)),"
bytes=$(sed -n 's/.*"bytes":\([0-9]*\).*/\1/p' out)
[ "$bytes" -lt "$(wc -c <text.txt)" ] && [ "$bytes" -gt $(($(wc -c <text.txt) - 20)) ] ||
    fail "the tokens predicted stand for $bytes bytes of $(wc -c <text.txt)"
expect 0 "$DITHER" inspect whole
prints 'vocab=300'

# ---- mistakes -----------------------------------------------------------------------------------------------
expect 1 train --tokenizer none.json --out x
says_in_one_line 'none.json'
expect 1 train --tokenizer text.txt --out x
says_in_one_line 'text.txt'
expect 2 "$DITHER" train --model whole --tokenizer made/tok.json --data text.txt --out x
says_in_one_line '--tokenizer: it is for a --new model'

# A folder that lost its tokenizer: which file is looked for, and another one for it.
cp -r whole bare
rm -r bare/tokenizer.json bare/state
for command in "generate --model bare" "eval --model bare --data text.txt" "train --model bare --data text.txt --out x" \
    "tokenize --tokenizer bare text.txt"; do
    # shellcheck disable=SC2086
    expect 1 "$DITHER" $command
    says_in_one_line 'bare: no tokenizer: there is no tokenizer.json in it; .*--tokenizer'
done
: >bare/tokenizer.model
expect 1 "$DITHER" generate --model bare
says_in_one_line 'bare: no tokenizer: .*tokenizer.model cannot be read'
rm bare/tokenizer.model
expect 0 "$DITHER" generate --model whole --prompt the --tokens 8 --temperature 0 --threads 1
mv out own
expect 0 "$DITHER" generate --model bare --tokenizer made/tok.json --prompt the --tokens 8 --temperature 0 --threads 1
cmp own out || fail 'generate --tokenizer is not the tokenizer of the folder'
expect 0 "$DITHER" eval --model bare --tokenizer made/tok.json --data text.txt --threads 1
expect 0 "$DITHER" train --model bare --tokenizer made/tok.json --data text.txt --steps 2 --batch 2 --threads 1 --out cured
cmp made/tok.json cured/tokenizer.json || fail 'the tokenizer is not in the new folder'
expect 0 "$DITHER" train --resume --steps 3 --out cured --threads 1
expect 0 "$DITHER" generate --model cured --tokens 2 --threads 1
expect 2 "$DITHER" train --new "$tiny,vocab=299" --tokenizer made/tok.json --data text.txt --out x
says_in_one_line "vocab 299 is smaller than the tokenizer's 300"
printf 'GGUF\003\000\000\000' >model.gguf
expect 2 train --tokenizer model.gguf --out x
says_in_one_line 'GGUF'
[ ! -e x ] || fail 'a run that failed left a folder'
