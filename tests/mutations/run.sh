#!/bin/bash
# Apply each mutation of mutations.txt to a copy of the tree, build, and run the tests that the table names: one of them
# must fail. Prints a table, and exits 1 where a mutation survives or no longer applies.
#
#     tests/mutations/run.sh [TEXT]     only mutations whose name or file holds TEXT
#
# Takes some minutes, which is why it is not part of the test suite. CC chooses the compiler.
set -euo pipefail

only=${1:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
table=$root/tests/mutations/mutations.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
for part in CMakeLists.txt cmake include src tests; do cp -r "$root/$part" "$work/tree"; done
cd "$work/tree"

# Replace `find` by `with` in `file`; what it was is kept beside it. Fails unless it stands there exactly once.
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

# Whether this processor runs what a file compiles to, by the last word of its name.
runs_here() {
    local isa=${1##*_} flag
    case ${isa%.c} in
    avx2) flag=avx2 ;;
    avx512) flag=avx512bw ;;
    avx512vnni) flag=avx512_vnni ;;
    avx512bf16) flag=avx512_bf16 ;;
    *) return 0 ;;
    esac
    grep -qw "$flag" /proc/cpuinfo
}

# each_mutation COMMAND: COMMAND name file find with tests, for those asked for
each_mutation() {
    local line name= file= find= with= tests=
    while IFS= read -r line <&3 || [[ -n $line ]]; do
        case $line in
        'tests: '*) tests=${line#tests: } ;;
        'name: '*) name=${line#name: } ;;
        'file: '*) file=${line#file: } ;;
        'find: '*) find=${line#find: } ;;
        'with:'*)
            with=${line#with:}
            with=${with# }
            if [[ $name$'\n'$file == *"$only"* ]]; then "$1" "$name" "$file" "$find" "$with" "$tests"; fi
            ;;
        esac
    done 3<"$table"
}

survived=0
applied=0
stale=0
declare -A wanted=()

# Every mutation must still apply before the minutes are spent.
check() {
    local test
    if ! apply "$2" "$3" "$4"; then
        echo "$1: \"$3\" does not stand exactly once in $2" >&2
        stale=1
    fi
    cp "$work/original" "$2"
    for test in $5; do wanted[$test]=1; done
}

# Only what changed is built again, headers' users included: the build knows them, and their flags.
build() { cmake --build "$work/build" --target "$@" >"$work/log" 2>&1; }

# What of test $1 fails first; nothing where it passes.
failure_of() {
    local status=0 first
    timeout 60 "$work/build/tests/$1" >"$work/log" 2>&1 || status=$?
    if [[ $status -ne 0 ]]; then
        first=$(sed -n 's/^\[  FAILED  \] \([a-z_0-9]*\)$/\1/p' "$work/log" | head -n 1)
        echo "$1: ${first:-exit $status}"
    fi
}

# The first failure among the tests $1, or what else became of a mutation.
verdict() {
    local test failure
    for test in $1; do
        if ! build "$test"; then
            echo "DOES NOT COMPILE"
            return
        fi
        failure=$(failure_of "$test")
        if [[ -n $failure ]]; then
            echo "$failure"
            return
        fi
    done
    echo "SURVIVES"
}

# One mutation; the tree is as before afterwards.
try() {
    local name=$1 file=$2 find=$3 with=$4 tests=$5 result
    if ! runs_here "$file"; then
        printf '%-66s %s\n' "$name" "skipped: not the instructions of this processor"
        return
    fi
    apply "$file" "$find" "$with"
    result=$(verdict "$tests")
    cp "$work/original" "$file"
    applied=$((applied + 1))
    if [[ $result == [A-Z]* ]]; then survived=$((survived + 1)); fi
    printf '%-66s %s\n' "$name" "$result"
}

each_mutation check
if [[ $stale -ne 0 ]]; then exit 1; fi
if [[ ${#wanted[@]} -eq 0 ]]; then
    echo "no mutation's name or file holds \"$only\"" >&2
    exit 1
fi

cmake -S . -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 && build "${!wanted[@]}" || {
    cat "$work/log" >&2
    exit 1
}
for test in "${!wanted[@]}"; do
    if [[ -n $(failure_of "$test") ]]; then
        echo "$test fails before anything is mutated:" >&2
        cat "$work/log" >&2
        exit 1
    fi
done

each_mutation try
echo "$applied mutations, $survived survived"
[[ $survived -eq 0 && $applied -gt 0 ]]
