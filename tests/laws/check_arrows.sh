#!/bin/sh
# Includes only point down the tree, headers are named from the root of src/ or include/, and the program knows the
# public headers alone. Run in the root of the repository, or with another root as the argument.
set -eu
cd "${1:-.}"

# A room may include itself and the rooms left of it here; those that share a number do not see each other.
rank() {
    case $1 in
    base) echo 0 ;; quant) echo 1 ;; kernel) echo 2 ;; nn) echo 3 ;; file) echo 4 ;;
    model | optim | data | cluster) echo 5 ;;
    train) echo 6 ;; bench) echo 7 ;; study) echo 8 ;;
    *) echo unknown ;;
    esac
}

wrong=$(mktemp)
trap 'rm -f "$wrong"' EXIT

for directory in src/*/; do
    room=$(basename "$directory")
    own=$(rank "$room")
    [ "$own" != unknown ] || echo "src/$room: no such room in this check's list" >>"$wrong"
    grep -rnoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*"' "$directory" --include='*.[ch]' |
        sed -E 's/:[[:space:]]*#[^"]*"([^"]*)"/ \1/' |
        while read -r place header; do
            target=${header%%/*}
            [ "$target" = dither ] && continue
            [ "$target" = "$room" ] && continue
            other=$(rank "$target")
            if [ "$target" = "$header" ] || [ "$other" = unknown ]; then
                echo "$place: \"$header\" is neither \"dither/...\" nor \"room/...\""
            elif [ "$own" = unknown ] || [ "$other" -ge "$own" ]; then
                echo "$place: $room may not include \"$header\""
            fi
        done >>"$wrong"
done

# Program and public headers: nothing of src/.
if [ -d cli ]; then
    grep -rnoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*"' cli --include='*.[ch]' |
        sed -E 's/:[[:space:]]*#[^"]*"([^"]*)"/ \1/' |
        while read -r place header; do
            case $header in
            dither/*) ;;
            */*) echo "$place: the program may include \"dither/...\" only, not \"$header\"" ;;
            *) [ -f "cli/$header" ] || echo "$place: \"$header\" is not in cli/" ;;
            esac
        done >>"$wrong"
fi
grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' include | grep -v '"dither/' |
    sed 's/$/: a public header includes public headers only/' >>"$wrong" || true

# In angle brackets: the C library, POSIX and the libraries of docs/architecture.md, so nothing of ours.
grep -rnE '#[[:space:]]*include[[:space:]]*<(dither|base|quant|kernel|nn|file|model|optim|data|train|bench|study)/' src cli include |
    sed 's/$/: our own headers stand in quotes/' >>"$wrong" || true
grep -rnE '#[[:space:]]*include[[:space:]]*<(omp|cblas|cjson/)' cli include |
    sed 's/$/: a library of the inside/' >>"$wrong" || true

if [ -s "$wrong" ]; then
    cat "$wrong"
    exit 1
fi
