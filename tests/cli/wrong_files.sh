#!/bin/sh
# Files of another kind: the error says what they seem to be and what is needed. Names in capitals, files by content.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out m --steps 2
expect 0 "$DITHER" convert m model.gguf --threads 1

{ printf '%%PDF-1.4\n'; head -c 3000 /dev/zero; printf '\377'; } >book.pdf
{ printf 'PK\003\004'; head -c 300 /dev/zero; printf '\377'; } >book.zip
{ printf 'PK\003\004archive/data.pkl'; head -c 300 /dev/zero; printf '\377'; } >pytorch.bin
printf '\037\213\010\000\000\000\000\000\000\003\377' >book.gz
printf '{"a": 1}\n' >some.json
: >empty
cp m/model.safetensors weights

for pair in 'book.pdf:a PDF document' 'book.zip:a zip archive' 'pytorch.bin:a PyTorch file' 'book.gz:gzip data' \
    'some.json:JSON' 'empty:an empty file' 'text.txt:UTF-8 text' 'weights:a safetensors file'; do
    file=${pair%%:*}
    for command in "generate --model" "eval --data text.txt --model" "train --data text.txt --out never --model" \
        "convert --to f32"; do
        case $command in convert*) last=never.gguf ;; *) last= ;; esac
        # shellcheck disable=SC2086
        expect 1 "$DITHER" $command $file $last
        says_in_one_line "$file: not a model folder.*it seems to be ${pair#*:}"
    done
    case $file in
    some.json | text.txt | empty) ;;
    *)
        expect 1 train --out never --data $file
        says_in_one_line "$file: not a text; it seems to be ${pair#*:}"
        expect 1 "$DITHER" eval --model m --data $file --threads 1
        says_in_one_line "$file: not a text; it seems to be ${pair#*:}"
        expect 1 "$DITHER" tokenizer train --data $file --vocab 300 --out never.json
        says_in_one_line "$file: not a text; it seems to be ${pair#*:}"
        ;;
    esac
    [ $file != empty ] || continue
    expect 1 "$DITHER" tokenize --tokenizer $file text.txt
    case $file in
    some.json) says_in_one_line 'some.json: no tokenizer: JSON, but without "model"' ;;
    *) says_in_one_line "$file: no tokenizer; it seems to be ${pair#*:}.*tokenizer.json" ;;
    esac
done
expect 1 train --out never --data model.gguf
says_in_one_line 'model.gguf: not a text; it seems to be a GGUF file'
expect 1 "$DITHER" generate --model m/model.safetensors
says_in_one_line 'm/model.safetensors: not a model folder but a file of one, a safetensors file; did you mean m?'
mkdir ggufs
cp model.gguf ggufs/b.gguf
expect 1 "$DITHER" generate --model ggufs
says_in_one_line 'ggufs: not a model folder: there is no config.json in it; did you mean ggufs/b.gguf?'
cp book.pdf fake.gguf
expect 1 "$DITHER" generate --model fake.gguf
says_in_one_line 'fake.gguf: not a GGUF file, as its name says.*a PDF document'
expect 1 "$DITHER" generate --model nowhere/x
says_in_one_line 'nowhere/x: cannot open: No such file'
[ ! -e never ] && [ ! -e never.gguf ] && [ ! -e never.json ] || fail 'a refused command left something'

# Content decides, and a name in capitals is a name.
expect 0 "$DITHER" generate --model model.gguf --tokens 4 --threads 1
mv out want
for name in MODEL.GGUF model_without_ending; do
    cp model.gguf $name
    expect 0 "$DITHER" generate --model $name --tokens 4 --threads 1
    cmp want out || fail "$name is read as something else"
    expect 0 "$DITHER" inspect $name
done
expect 0 "$DITHER" convert m Other.GGUF --threads 1
[ -f Other.GGUF ] || fail 'a name in .GGUF becomes a folder'
cp m/model.safetensors Weights.SafeTensors
expect 0 "$DITHER" inspect Weights.SafeTensors
expect 0 "$DITHER" inspect weights
printf '{"question": "7 + 5?", "answer": "12"}\n' >QA.JSONL
expect 0 "$DITHER" data QA.JSONL --model m --chat-format chatml
