#!/bin/sh
# Text from a model: the prompt first, the same for the same seed, for any number of threads.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
expect 0 train --out m --steps 30 --lr 1e-2

expect 0 "$DITHER" generate --model m --tokens 60 --seed 5 --threads 1
[ ! -s err ] || fail 'something on standard error, which is no terminal'
mv out first
[ "$(wc -c <first)" = 61 ] || fail "60 bytes and a newline, not $(wc -c <first)"
expect 0 "$DITHER" generate --model m --tokens 60 --seed 5 --threads 2
cmp first out || fail 'the same seed wrote another text'
expect 0 "$DITHER" generate --model m --tokens 60 --seed 6 --threads 1
cmp -s first out && fail 'another seed wrote the same text'

expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --threads 1
prints '^the qu'
mv out first
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --top-k 1 --seed 9 --threads 1
cmp first out || fail 'the likeliest of one is not the likeliest'
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --top-p 1e-9 --seed 9 --threads 1
cmp first out || fail 'the likeliest of the smallest share is not the likeliest'

# Longer than the context; a prompt that is longer; bytes that are not UTF-8; JSON.
expect 0 "$DITHER" generate --model m --tokens 100 --prompt 'the quick brown fox jumps over lazy dogs' --threads 1
expect 0 "$DITHER" generate --model m --tokens 50 --temperature 50 --json --threads 1 --prompt "$(printf '\303\274 \377 "\\')"
is_json_lines out
for key in prompt text tokens tokens_per_s; do
    prints "\"$key\":"
done
prints '"tokens":50,'
expect 0 "$DITHER" generate --model m --tokens 5 --scheme int8 --threads 1

# A text of --stop is not written, nor what follows it, wherever the tokens' borders are.
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --threads 1
stop=$(cut -c 12-14 out)
front=$(cut -c 7- out)
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --threads 1 --stop zzz "$stop"
[ "$(cut -c 7- out)" = "${front%%"$stop"*}" ] || fail "--stop '$stop' left '$(cat out)' of '$front'"
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --threads 1 --json --stop "$stop"
prints '"ending":"stop"'

# Cuts and penalties: what leaves one token alone is the likeliest; a penalty changes the text.
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --threads 1
mv out first
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --min-p 1 --seed 9 --threads 1
cmp first out || fail 'the likeliest of those as likely is not the likeliest'
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 20 --temperature 0 --repeat-penalty 50 --threads 1
cmp -s first out && fail 'a penalty changes nothing'
expect 0 "$DITHER" generate --model m --prompt 'the qu' --tokens 3 --temperature 0 --threads 1 --json --logprobs 2
is_json_lines out
prints '"prompt_tokens":6,'
[ "$(grep -o '"likeliest":\[{"id":[^]]*},{"id":[^]]*}\]' out | wc -l)" = 3 ] || fail 'not two of the likeliest for each token'

# A smaller context.
expect 0 "$DITHER" generate --model m --tokens 40 --ctx 8 --threads 1
expect 2 "$DITHER" generate --model m --ctx 17
says_in_one_line '16'
expect 2 "$DITHER" generate --model m --logprobs 2
says_in_one_line 'json'
expect 2 "$DITHER" generate --model m --stop ''
says_in_one_line 'stop'
expect 2 "$DITHER" generate --model m --system 'be brief'
says_in_one_line 'chat'

expect 2 "$DITHER" generate --model m --scheme int9
says_in_one_line 'int8'
expect 1 "$DITHER" generate --model nowhere
says_in_one_line 'nowhere'
if [ -w /dev/full ]; then
    "$DITHER" generate --model m --tokens 5 --threads 1 >/dev/full 2>err && fail 'a full disk under the output went unsaid'
    says_in_one_line 'standard output'
fi
exit 0

# An empty text needs a token to begin with, which bytes have not.
expect 2 "$DITHER" generate --model m --prompt ''
says 'empty'
