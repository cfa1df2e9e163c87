#!/bin/sh
# The tree is as docs/architecture.md says, files are short and have names of their own, and floating point is exact.
set -eu
status=0
say() {
    echo "$1"
    status=1
}

for file in $(find src include cli tests examples tools -name '*.[ch]' -o -name '*.sh' -o -name '*.py'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || say "$file: $lines lines, more than 600"
done

wide=$(find src include cli tests examples -name '*.[ch]' -exec awk 'length > 120 { print FILENAME ":" FNR }' {} +)
[ -z "$wide" ] || say "lines of more than 120 columns: $wide"

for name in $(find src include cli -name '*.[ch]' -printf '%f\n' | sort | uniq -d); do
    say "the name $name stands for several files: $(find src include cli -name "$name" | sort | tr '\n' ' ')"
done

rooms=$(cd src && ls -d */ | sort)
written=$(grep -oE '^src/[a-z]+/' docs/architecture.md | sed 's#^src/##' | sort -u)
[ "$rooms" = "$written" ] || say "docs/architecture.md names the rooms $(echo $written), src/ has $(echo $rooms)"
for folder in include/dither cli tests examples docs tools; do
    grep -q "^$folder/" docs/architecture.md || say "docs/architecture.md does not name $folder/"
    [ -d "$folder" ] || say "$folder/ does not exist"
done

# The flags are put together here, so that this file does not find itself.
for flag in "-ffast""-math" "-march=""native"; do
    found=$(grep -rln -e "$flag" CMakeLists.txt CMakePresets.json Makefile cmake src cli tests examples tools .ci 2>/dev/null || true)
    [ -z "$found" ] || say "$flag in: $found"
done
grep -q -e '-ffp-contract=off' cmake/compile_rules.cmake || say "cmake/compile_rules.cmake lost -ffp-contract=off"

exit $status
