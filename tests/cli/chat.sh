#!/bin/sh
# Conversations: one answer, or one after another on standard input; what was said is kept, and read once.
. "$(dirname "$0")/checks.inc"
cat >chats.jsonl <<'END'
{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}
{"messages":[{"role":"user","content":"bye"},{"role":"assistant","content":"see you"}]}
END
expect 0 "$DITHER" train --new layers=1,heads=2,kv_heads=1,dim=32,ffn=64,ctx=512 --data chats.jsonl \
    --chat-format zephyr --seq 64 --batch 4 --steps 150 --lr 2e-2 --threads 1 --out m

chat()
{
    "$DITHER" generate --model m --chat --chat-format zephyr --temperature 0 --threads 1 "$@"
}

# say LINES ARGUMENTS...: a conversation of these lines.
say()
{
    printf "$1" >lines
    shift
    chat "$@" <lines >out 2>err || { cat err >&2; fail 'a conversation failed'; }
}

expect 0 chat --prompt hi
prints '^hello$'
[ "$(wc -l <out)" = 1 ] || fail 'more than the answer'
expect 0 chat --prompt bye --json
is_json_lines out
prints '"prompt":"bye","text":"see you","tokens":11,'
prints '"ending":"stop","dropped":0}$'
expect 0 chat --prompt bye --tokens 3 --json
prints '"text":"see","tokens":3,'
prints '"ending":"tokens"'
expect 0 chat --prompt bye --stop 'e y'
prints '^se$'

# Line by line. The second question reads only what is new: the last byte that was written, and what was said;
# after /clear it is the first again.
say 'hi\nbye\n/clear\nbye\n' --json
is_json_lines out
[ "$(wc -l <out)" = 3 ] || { cat out >&2; fail 'not an answer a message'; }
sed -n 1p out | grep -q '"text":"hello"' || fail 'the first answer is another one'
whole=$(sed -n 1p out | grep -o '"prompt_tokens":[0-9]*' | cut -d: -f2)
new=$(sed -n 2p out | grep -o '"prompt_tokens":[0-9]*' | cut -d: -f2)
[ "$whole" = 30 ] || fail "the first turn has 30 tokens, not $whole"
[ "$new" = 33 ] || fail "the second turn read $new tokens"
sed -n 3p out | grep -q '"text":"see you"' || fail 'a cleared conversation answers otherwise'
sed -n 3p out | grep -q '"dropped":0' || fail 'what was cleared counts as dropped'
say 'hi\n\n  \nhi' # no newline at the end; empty lines are nothing
[ "$(wc -l <out)" = 2 ] || fail 'empty lines were answered'
say 'by\\\ne\n' --json
prints '"prompt":"by\\ne"'
say '/system be kind\nhi\n/exit\nhi\n' --json
[ "$(wc -l <out)" = 1 ] || fail '/exit did not leave'
say '/nothing\n'
grep -q '/clear, /system TEXT and /exit' err || fail 'an unknown command went unsaid'

# A context that is full lets go of the oldest turns; one message that is too long is an error.
say 'hi\nhi\nhi\nhi\nhi\nhi\nhi\n' --ctx 100 --json
[ "$(wc -l <out)" = 7 ] || fail 'a full context ends the conversation'
grep -q 'oldest' err || fail 'it is not said that messages were left out'
tail -n 1 out | grep -q '"dropped":[1-9]' || fail 'nothing was dropped'
printf '%0200d\n' 0 >lines
got=0
chat --ctx 100 <lines >out 2>err || got=$?
[ $got = 1 ] || fail "a message that is too long gives $got"
says_in_one_line 'no room for an answer of 25: a shorter message, or a model with a longer one'

# The whole of a conversation is what one text with the same marks would be.
printf '<|user|>\nbye</s>\n<|assistant|>\n' >prompt
expect 0 "$DITHER" generate --model m --prompt "$(cat prompt)
" --temperature 0 --threads 1 --tokens 7
tail -n 1 out | grep -q '^see you$' || fail "as one text the answer is $(tail -n 1 out)"

expect 0 "$DITHER" generate --model m --chat --prompt hi --temperature 0 --threads 1 # in the format of its template
prints '^hello$'
expect 2 "$DITHER" generate --model m --chat --chat-format chatlm --prompt hi
says_in_one_line 'chatml'
exit 0
