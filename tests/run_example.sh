#!/bin/sh
# Run an example in a fresh directory and compare what it prints. Usage: run_example.sh PROGRAM EXPECTED
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
"$1" >printed
diff -u "$2" printed
