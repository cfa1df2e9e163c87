#!/bin/sh
# Every public header compiles alone, in C and in C++, and is under 300 lines; every internal header compiles alone in C.
set -eu

cc=${CC:-cc}
status=0
alone() { # compiler, flags..., header
    compiler=$1
    shift
    for last in "$@"; do :; done
    if ! "$compiler" -Iinclude -Isrc -Wall -Wextra -Wpedantic -Werror -fsyntax-only "$@"; then
        echo "$last does not compile alone with $compiler"
        status=1
    fi
}

cxx=
for candidate in "${CXX:-}" c++ g++ clang++; do
    if [ -n "$candidate" ] && echo 'int main() {}' | "$candidate" -x c++ -fsyntax-only - 2>/dev/null; then
        cxx=$candidate
        break
    fi
done
[ -n "$cxx" ] || echo "no C++ compiler here: headers are checked in C alone"

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
for header in include/dither/*.h; do
    # Included from a file, as a user would: a header handed to the compiler itself warns of "pragma once" and the like.
    echo "#include \"dither/$(basename "$header")\"" >"$directory/alone.c"
    alone "$cc" -std=c11 "$directory/alone.c"
    if [ -n "$cxx" ]; then
        cp "$directory/alone.c" "$directory/alone.cpp"
        alone "$cxx" -std=c++11 "$directory/alone.cpp"
    fi
    if ! grep -q "extern \"C\"" "$header" && [ "$header" != include/dither/dither.h ]; then
        echo "$header: no extern \"C\""
        status=1
    fi
    if [ "$(wc -l <"$header")" -gt 300 ]; then
        echo "$header: over 300 lines"
        status=1
    fi
    name=$(basename "$header")
    if [ "$name" != dither.h ] && ! grep -q "\"dither/$name\"" include/dither/dither.h; then
        echo "include/dither/dither.h does not include $name"
        status=1
    fi
done
for header in src/*/*.h; do
    echo "#include \"${header#src/}\"" >"$directory/alone.c"
    alone "$cc" -std=c11 -D_GNU_SOURCE "$directory/alone.c"
done
exit $status
