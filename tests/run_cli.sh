#!/bin/sh
# Run one script of tests/cli in a fresh directory that is gone afterwards. Usage: run_cli.sh SCRIPT
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
status=0
case $(head -n 1 "$1") in
*bash*) bash "$1" || status=$? ;;
*) sh "$1" || status=$? ;;
esac
exit "$status"
