#!/bin/sh
# Stopped at a step, killed, or never stopped: the same model in the end. What --resume takes and refuses.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
long() { train --steps 40 --save-every 7 --eval-every 0 "$@"; }

expect 0 long --out whole
expect 0 long --out parts --stop-at 15
prints '^go on with  dither train --resume --out parts$'
expect 0 "$DITHER" train --resume --out parts --stop-at 30 --threads 1
prints '^resumed '
expect 0 "$DITHER" train --resume --out parts
cmp whole/model.safetensors parts/model.safetensors || fail 'stopped and resumed is not uninterrupted'
is_json_lines parts/log.jsonl
[ "$(grep -c '"event": *"step"' parts/log.jsonl)" = 40 ] || fail 'the log has a step twice or not at all'

# Finished: nothing to do. No checkpoint: a new run, for which the options must be there.
before=$(hash_of whole/model.safetensors)
expect 0 "$DITHER" train --resume --out whole
prints 'finished already'
[ "$(hash_of whole/model.safetensors)" = "$before" ] || fail 'resuming a finished run changed it'
expect 0 long --out fresh --resume
cmp whole/model.safetensors fresh/model.safetensors || fail '--resume without a checkpoint is not a fresh run'
expect 2 "$DITHER" train --resume --out nothing
says_in_one_line 'no checkpoint in nothing to go on from'
[ ! -e nothing ] || fail 'a refused run left a folder'

# A longer run may follow; another one may not.
expect 2 "$DITHER" train --resume --out parts --lr 0.5
says_in_one_line '--lr: 0.5 here, 0.001 in the checkpoint; .* only --steps, --epochs, --noise-every, --auto-batch, --auto-batch-max, --save-every, --eval-every, --eval-tokens, --tensorboard, '
expect 2 "$DITHER" train --resume --out parts --save-format bf16
says_in_one_line '--save-format: bf16 here, f32 in the checkpoint'
expect 2 "$DITHER" train --resume --out parts --new "layers=2,heads=2,dim=16,ctx=16"
says_in_one_line '--new'
expect 2 "$DITHER" train --resume --out parts --scheme f32
says_in_one_line '--scheme'
write_text other.txt 50
expect 2 "$DITHER" train --resume --out parts --data other.txt
says_in_one_line 'other.txt'
expect 2 "$DITHER" train --resume --out parts --steps 20
says_in_one_line '--steps'
expect 2 "$DITHER" train --resume --out parts --stop-at 5
says_in_one_line 'step 40 already'
expect 0 "$DITHER" train --resume --out parts --steps 44 --threads 1
prints 'step 44 of 44'

# Killed in the middle, as soon as the log tells of a step: before the first checkpoint and after some.
slow="train --new layers=2,heads=2,dim=64,ffn=128,ctx=64 --data text.txt --batch 4 --threads 1 --steps 60 --save-every 7
    --eval-every 0"

# Exit 0: the run was killed. Exit 1: it had ended before.
# shellcheck disable=SC2086
kill_after()
{
    rm -rf killed
    "$DITHER" $slow --out killed >killed.out 2>&1 &
    process=$!
    while kill -0 $process 2>/dev/null && ! grep -q "\"step\": $1," killed/log.jsonl 2>/dev/null; do
        sleep 0.01
    done
    kill -9 $process 2>/dev/null
    ended=0
    wait $process 2>/dev/null || ended=$?
    [ $ended = 137 ]
}

# The options are meant to split into words.
# shellcheck disable=SC2086
expect 0 "$DITHER" $slow --out unbroken
for step in 5 13 22; do
    # A busy machine may let a run end before it is this script's turn again.
    kill_after $step || kill_after $step || kill_after $step || fail "no run lasted to be killed after step $step"
    ! grep -q '"event": "end"' killed/log.jsonl || fail 'the run killed was at its end'
    # shellcheck disable=SC2086
    expect 0 "$DITHER" $slow --out killed --resume
    [ $step = 5 ] || prints '^resumed '
    cmp unbroken/model.safetensors killed/model.safetensors ||
        fail "killed after step $step and resumed is not uninterrupted"
    [ "$(grep -c '"event": "step"' killed/log.jsonl)" = 60 ] ||
        fail 'the log of a killed run has a step twice or not at all'
done

# A checkpoint of another shape.
expect 0 "$DITHER" train --new "layers=2,heads=2,dim=16,ctx=16" --data text.txt --batch 2 --threads 1 --steps 4 --stop-at 2 --out two
expect 0 long --out one --stop-at 2
cp two/state/checkpoint.safetensors kept
cp kept one/state/checkpoint.safetensors
expect 2 long --out one --resume
says_in_one_line '--new'
head -c 2000 kept >two/state/checkpoint.safetensors
expect 1 "$DITHER" train --resume --out two
says_in_one_line 'checkpoint'
printf 'no checkpoint' >two/state/checkpoint.safetensors
expect 1 "$DITHER" train --resume --out two
says_in_one_line 'checkpoint'

# A vocabulary smaller than that of bytes.
cat >few.json <<'END'
{"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
 "post_processor": null, "decoder": {"type": "ByteLevel"},
 "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}}
END
awk 'BEGIN { for (i = 0; i < 200; i++) printf "%s", i % 3 ? "ab ba " : "a b" }' >few.txt
few() { "$DITHER" train --new "layers=1,heads=2,dim=16,ctx=16,vocab=4" --tokenizer few.json --data few.txt --batch 2 --threads 1 \
    --steps 6 "$@"; }
expect 0 few --out few
expect 0 few --out few2 --stop-at 3
expect 0 "$DITHER" train --resume --out few2 --new "layers=1,heads=2,ctx=16,dim=16,vocab=4"
cmp few/model.safetensors few2/model.safetensors || fail 'with few tokens, resumed is not uninterrupted'

# From a GGUF file, whose tokenizer the folder has as tokenizer.json: the same tokens, the file gone or not. This one
# composes letters and marks, which is not written in the file but known by its name.
awk 'BEGIN { for (i = 0; i < 300; i++) printf "u\314\210ber %d o\314\210l, \303\274ber\n", i * 37 % 101 }' >marks.txt
expect 0 "$DITHER" tokenizer train --data marks.txt --out marks.json --vocab 300 --pattern qwen2
expect 0 train --tokenizer marks.json --data marks.txt --out marks --steps 1
expect 0 "$DITHER" convert marks marks.gguf
awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"question\": \"u\314\210ber %d?\", \"answer\": \"o\314\210l %d\"}\n", i, i }' \
    >marks.jsonl
for data in marks.txt "marks.jsonl --chat-format plain"; do
    rm -rf from from2 from3
    cp marks.gguf base.gguf
    tuned="train --model base.gguf --data $data --batch 2 --seq 16 --threads 1 --steps 6 --eval-every 0"
    # shellcheck disable=SC2086
    {
        expect 0 "$DITHER" $tuned --out from
        expect 0 "$DITHER" $tuned --out from2 --stop-at 3
        expect 0 "$DITHER" $tuned --out from3 --stop-at 3
    }
    expect 0 "$DITHER" train --resume --out from2
    cmp from/model.safetensors from2/model.safetensors || fail "$data: from a GGUF file, resumed is not uninterrupted"
    rm base.gguf
    expect 0 "$DITHER" train --resume --out from3 --stop-at 5
    cp "${data%% *}" own
    sed 's/7/8/' own >"${data%% *}"
    expect 2 "$DITHER" train --resume --out from3
    says_in_one_line 'the data are not those'
    cp own "${data%% *}"
    expect 0 "$DITHER" train --resume --out from3
    cmp from/model.safetensors from3/model.safetensors || fail "$data: without its GGUF file, resumed is another model"
done

# Another tokenizer in the folder makes other tokens of the same text.
expect 0 train --data marks.txt --tokenizer marks.json --out swapped --stop-at 2 --steps 4
expect 0 "$DITHER" tokenizer train --data few.txt --out swapped/tokenizer.json --vocab 258 --force
expect 2 "$DITHER" train --resume --out swapped
says_in_one_line 'the data are not those'

# Killed before its first checkpoint: whatever is there is its own, and is made anew.
mkdir -p early/state
echo 'a run begins' >early/state/begun
echo '{"vocab_size": 7' >early/config.json
printf 'half' >early/model.safetensors
printf 'half' >early/tokenizer.json
printf 'half' >early/model.safetensors.1234-0.tmp
printf 'half' >early/state/checkpoint.safetensors.1234-0.tmp
printf 'mine' >early/notes.tmp
printf 'mine' >early/model.safetensors.tmp
expect 0 long --out early
cmp whole/model.safetensors early/model.safetensors || fail 'a run that was killed at its beginning left its mark'
cmp whole/tokenizer.json early/tokenizer.json || fail 'half a tokenizer.json was kept'
[ "$(cat early/notes.tmp early/model.safetensors.tmp)" = minemine ] || fail "somebody's file is gone"
ls early early/state >out
! grep -q '1234-0\|begun' out || fail 'what a killed run left is still there'

# From what such a run left, which goes, no other can begin; the file it had its tokenizer from may be anywhere.
mkdir -p left/state
echo 'a run begins' >left/state/begun
cp marks.json left/tokenizer.json
cp marks.json left/other.json
expect 2 train --data marks.txt --tokenizer left/tokenizer.json --out left --steps 1
says_in_one_line '--tokenizer'
expect 2 train --data marks.txt --tokenizer left --out left --steps 1
cmp marks.json left/tokenizer.json || fail 'the tokenizer to begin with is gone'
expect 0 train --data marks.txt --tokenizer left/other.json --out left --steps 1

# What is somebody else's: every file that a run might write over.
for name in vocab.json merges.txt chat_template.jinja generation_config.json; do
    mkdir -p "of_$name"
    printf 'mine' >"of_$name/$name"
    expect 2 long --out "of_$name"
    says_in_one_line "it holds a $name without a checkpoint"
    [ "$(cat "of_$name/$name")" = mine ] || fail "a $name was written over"
done
mkdir -p theirs
printf 'mine' >theirs/model.safetensors
expect 2 long --out theirs
says_in_one_line 'without a checkpoint'
[ "$(cat theirs/model.safetensors)" = mine ] || fail 'a model was written over'
expect 2 long --out theirs
says_in_one_line 'without a checkpoint'

# What is missing of the model is written again; what cannot be written is an error.
expect 0 long --out again --stop-at 2
rm again/config.json again/tokenizer.json again/model.safetensors
expect 0 "$DITHER" train --resume --out again --stop-at 2
cmp whole/config.json again/config.json || fail 'config.json did not come back'
rm again/config.json
mkdir again/config.json
expect 1 "$DITHER" train --resume --out again
says_in_one_line 'again/config.json'
