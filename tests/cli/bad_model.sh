#!/bin/sh
# Model folders that are cut short, hostile or of another shape: one clear line, exit 1, nothing lost.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out good --steps 2

bad() # a fresh copy of the good model
{
    rm -rf bad
    cp -r good bad
    rm -rf bad/state
}

refused() # WORDS
{
    for command in "generate --tokens 1 --threads 1 --model" "eval --data text.txt --threads 1 --model" \
        "train --data text.txt --batch 2 --threads 1 --steps 1 --out never --model"; do
        # shellcheck disable=SC2086
        expect 1 "$DITHER" $command bad
        says_in_one_line "$1"
    done
    [ ! -e never ] || fail "a refused run left a folder"
}

# header TEXT: a safetensors file with this header and 26 kB behind it
header()
{
    length=$(printf %s "$1" | wc -c)
    printf "\\$(printf %o $((length % 256)))\\$(printf %o $((length / 256)))\\0\\0\\0\\0\\0\\0" >bad/model.safetensors
    printf %s "$1" >>bad/model.safetensors
    head -c 26000 /dev/zero >>bad/model.safetensors
}

for size in 0 1 7 8 9 100 2000; do
    bad
    head -c $size good/model.safetensors >bad/model.safetensors
    refused 'model.safetensors'
    expect 1 "$DITHER" inspect bad
    says_in_one_line 'model.safetensors'
done
bad
printf x >>bad/model.safetensors
refused 'model.safetensors'
bad
printf '\377\377\377\377\377\377\377\377{}' >bad/model.safetensors
refused 'model.safetensors'
for text in '{' '[]' 'null' '{}' '{"a":1}' '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,15]}}' \
    '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}' \
    '{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}' \
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}' \
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[26000,26004]}}' \
    '{"a":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}' \
    '{"a":{"dtype":"F32","shape":[1e99],"data_offsets":[0,4]}}'; do
    bad
    header "$text"
    refused 'model.safetensors'
done
bad
header "$(awk 'BEGIN { for (i = 0; i < 5000; i++) printf "[" }')"
refused 'model.safetensors'

bad
rm bad/model.safetensors
refused 'model.safetensors'
bad
rm bad/config.json
refused 'config.json'
bad
rm bad/tokenizer.json
refused 'tokenizer.json'
for file in config tokenizer; do
    for text in '' '{' '[]' '{}' 'x' '{"a":}'; do
        bad
        printf %s "$text" >bad/$file.json
        refused "$file.json"
    done
done

# Shapes that are not those of the weights, or cannot be.
for change in 's/"hidden_size": *16/"hidden_size": 32/' 's/"num_hidden_layers": *1/"num_hidden_layers": 2/' \
    's/"num_hidden_layers": *1/"num_hidden_layers": 999999999/' 's/"vocab_size": *256/"vocab_size": 255/' \
    's/"intermediate_size": *32/"intermediate_size": 0/' 's/"num_attention_heads": *2/"num_attention_heads": -2/' \
    's/"num_attention_heads": *2/"num_attention_heads": 3/' 's/"hidden_size": *16/"hidden_size": "16"/' \
    's/"hidden_size": *16/"hidden_size": 1e300/'; do
    bad
    sed "$change" good/config.json >bad/config.json
    cmp -s good/config.json bad/config.json && fail "config.json has nothing for $change"
    refused .
done

# What is no folder at all.
for command in "generate --model" "eval --data text.txt --model" "train --data text.txt --out never --model"; do
    # shellcheck disable=SC2086
    expect 1 "$DITHER" $command text.txt
    says_in_one_line 'text.txt: not a model folder'
done
[ ! -e never ] || fail "a refused run left a folder"

# NaN among the weights is told when it is met.
bad
printf '\377\377\377\377' | dd of=bad/model.safetensors bs=1 seek=$(($(wc -c <bad/model.safetensors) - 4)) conv=notrunc 2>/dev/null
expect 1 "$DITHER" eval --model bad --data text.txt --threads 1
says_in_one_line .
