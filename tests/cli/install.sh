#!/bin/sh
# What `make install` puts down is enough for others: the headers, dither.pc and either library build the first example,
# and the installed program runs.
. "$(dirname "$0")/checks.inc"

for tool in cmake pkg-config cc; do
    command -v $tool >/dev/null || { echo "skipped: there is no $tool here"; exit 77; }
done
build=$(dirname "$DITHER")
[ -f "$build/CMakeCache.txt" ] || { echo "skipped: $DITHER does not lie in a build folder"; exit 77; }
if grep -q '^DITHER_SANITIZE:STRING=.' "$build/CMakeCache.txt"; then
    echo "skipped: a sanitizer's library needs that sanitizer's compiler flags"
    exit 77
fi

expect 0 cmake --install "$build" --prefix "$PWD/prefix"
description=$(find prefix -name dither.pc)
[ -n "$description" ] || fail 'no dither.pc is installed'
# The prefix that was configured is another one than that of this test.
ask()
{
    PKG_CONFIG_PATH=$(dirname "$description") pkg-config "$@" dither
}
flags=$(ask --cflags --libs) || fail 'pkg-config does not know dither'
libraries=$(ask --variable=libdir)

# The flags are meant to split into words.
# shellcheck disable=SC2086
expect 0 cc -std=c11 "$root/examples/00_round.c" $flags -o round
expect 0 env LD_LIBRARY_PATH="$libraries" ./round
diff -u "$root/examples/00_round.txt" out || fail 'the shared library rounds differently'

# The static library leaves its own libraries to the caller; a training run needs all of them. Where both libraries lie
# in one folder the linker takes the shared one.
rm "$libraries"/libdither.so*
flags=$(ask --static --cflags --libs)
# shellcheck disable=SC2086
expect 0 cc -std=c11 "$root/examples/03_train.c" $flags -o train
expect 0 ./train
diff -u "$root/examples/03_train.txt" out || fail 'the static library trains differently'

expect 0 prefix/bin/dither formats e2m1
expect 0 find prefix -name dither.1
prints 'man1/dither.1$'
exit 0
