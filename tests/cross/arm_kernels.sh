#!/bin/sh
# The Arm kernels, tested on another machine: cross-compiled and run under emulation. Usage: arm_kernels.sh [BUILD_DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)

skip() {
    echo "skipped: $1"
    exit 77
}

[ "$(uname -m)" != aarch64 ] || skip "this machine is Arm itself, and its own tests run the kernels"
command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || skip "no aarch64 cross compiler here (gcc-aarch64-linux-gnu)"
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || skip "no emulator of aarch64 here (qemu-user)"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
build=${1:-$scratch/build}
log=$scratch/log
echo 'int main(void) { return 0; }' >"$scratch/empty.c"
aarch64-linux-gnu-gcc -static -o "$scratch/empty" "$scratch/empty.c" >"$log" 2>&1 ||
    skip "no C library for the aarch64 cross compiler here (libc6-dev-arm64-cross)"

quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log"
        exit 1
    }
}

quietly cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_TOOLCHAIN_FILE="$here/aarch64.cmake" -DQEMU="$qemu"
quietly cmake --build "$build" -j 2
cd "$build" # older versions of ctest have no --test-dir
ctest --output-on-failure -j 2
