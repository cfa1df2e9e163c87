#!/bin/bash
# Apply each mutation of mutations.txt to a copy of the tree, build, and run the tests of the quantizers and of the
# linear layer: at least one must fail. Prints a table, and exits 1 where a mutation survives or no longer applies.
#
#     tests/mutations/run.sh [TEXT]     only mutations whose name holds TEXT
#
# Takes a few minutes, which is why it is not part of the test suite. CC chooses the compiler.
set -euo pipefail

only=${1:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
table=$root/tests/mutations/mutations.txt
cc=${CC:-cc}
flags=(-std=c11 -D_GNU_SOURCE -O2 -ffp-contract=off -fopenmp -Iinclude -Isrc -Itests)
read -ra blas_flags <<<"$(pkg-config --cflags openblas 2>/dev/null || true)"
read -ra blas_libs <<<"$(pkg-config --libs openblas 2>/dev/null || echo -lopenblas)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests"
cp -r "$root/src" "$root/include" "$work"
cp -r "$root/tests/unit" "$work/tests"
find "$root/tests" -maxdepth 1 -name '*.h' -exec cp {} "$work/tests" \;
cd "$work"

sources=(src/base/*.c src/quant/*.c src/kernel/gemm_f32.c src/nn/context.c src/nn/linear.c)
tests=()
for path in tests/unit/test_*.c; do
    name=$(basename "$path" .c)
    if [[ $name == test_linear* || -e src/quant/${name#test_}.c ]]; then
        tests+=("$name")
    fi
done

object_of() { echo "$work/$(tr / _ <<<"${1%.c}").o"; }

compile() { "$cc" "${flags[@]}" "${blas_flags[@]}" -w -c "$1" -o "$(object_of "$1")"; }

# Link test $1 with every source's object.
link_test() {
    local objects=()
    for source in "${sources[@]}"; do objects+=("$(object_of "$source")"); done
    "$cc" -fopenmp "$(object_of "tests/unit/$1.c")" "${objects[@]}" -o "$work/$1" -lcmocka "${blas_libs[@]}" -lm
}

# What of test $1 fails first; nothing where it passes.
failure_of() {
    local status=0
    link_test "$1"
    DITHER_TEST_DATA=$root/tests/golden timeout 60 "$work/$1" >"$work/log" 2>&1 || status=$?
    if [[ $status -ne 0 ]]; then
        local first
        first=$(sed -n 's/^\[  FAILED  \] \([a-z_0-9]*\)$/\1/p' "$work/log" | head -n 1)
        echo "$1: ${first:-exit $status}"
    fi
}

# Replace `find` by `with` in `file`; what it was is kept beside it.
apply() {
    cp "$1" "$work/original"
    FIND=$2 WITH=$3 awk '
        { at = index($0, ENVIRON["FIND"])
          if (at > 0) {
              count++
              $0 = substr($0, 1, at - 1) ENVIRON["WITH"] substr($0, at + length(ENVIRON["FIND"]))
              if (index(substr($0, at + length(ENVIRON["WITH"])), ENVIRON["FIND"]) > 0) count++
          }
          print }
        END { exit count == 1 ? 0 : 1 }' "$work/original" >"$1"
}

survived=0
applied=0
stale=0

# Every mutation must still apply before the minutes are spent.
check() {
    if ! apply "$2" "$3" "$4"; then
        echo "$1: \"$3\" does not stand exactly once in $2" >&2
        stale=1
    fi
    cp "$work/original" "$2"
}

# One mutation; the tree is as before afterwards.
try() {
    local name=$1 file=$2 find=$3 with=$4 caught=()
    apply "$file" "$find" "$with"
    compile "$file"
    for test in "${tests[@]}"; do
        local failure
        failure=$(failure_of "$test")
        if [[ -n $failure ]]; then caught+=("$failure"); fi
    done
    cp "$work/original" "$file"
    compile "$file"
    applied=$((applied + 1))
    if [[ ${#caught[@]} -eq 0 ]]; then
        caught=("SURVIVES")
        survived=$((survived + 1))
    fi
    printf '%-58s %s\n' "$name" "${caught[0]}"
    for more in "${caught[@]:1}"; do printf '%-58s %s\n' "" "$more"; done
}

# each_mutation COMMAND: COMMAND name file find with, for those asked for
each_mutation() {
    local line name= file= find= with=
    while IFS= read -r line || [[ -n $line ]]; do
        case $line in
        'name: '*) name=${line#name: } ;;
        'file: '*) file=${line#file: } ;;
        'find: '*) find=${line#find: } ;;
        'with:'*)
            with=${line#with:}
            with=${with# }
            if [[ $name == *"$only"* ]]; then "$1" "$name" "$file" "$find" "$with"; fi
            ;;
        esac
    done <"$table"
}

each_mutation check
if [[ $stale -ne 0 ]]; then exit 1; fi

for source in "${sources[@]}"; do compile "$source"; done
for test in "${tests[@]}"; do
    compile "tests/unit/$test.c"
    if [[ -n $(failure_of "$test") ]]; then
        echo "$test fails before anything is mutated:" >&2
        cat "$work/log" >&2
        exit 1
    fi
done

each_mutation try
echo "$applied mutations, $survived survived"
[[ $survived -eq 0 && $applied -gt 0 ]]
