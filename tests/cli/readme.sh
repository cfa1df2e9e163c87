#!/bin/sh
# README.md says what happens: its ```console blocks are run, in order and in one folder, and must print what it prints.
#
# A line "$ COMMAND" is a command, the lines after it are what it writes to either output. In those "…" stands for any
# characters, and a line that is "…" alone for any lines. A command may fail only where its "dither: ..." is shown.
# The folder has text.txt, about 100 kB that are the same every time. Blocks of other kinds are not run.
#
# Then the names: targets of make, links and files that README.md, CONTRIBUTING.md and docs/ speak of are there.
# README=/PATH checks another page than README.md, and that page alone.
. "$(dirname "$0")/checks.inc"

page=${README:-$root/README.md}
set -- "$page"
[ -n "${README:-}" ] || set -- "$page" "$root/CONTRIBUTING.md" "$root"/docs/*.md
[ -f "$page" ] || fail "there is no $page"
LC_ALL=C
export LC_ALL
wrong=0

# ---- the console blocks --------------------------------------------------------------------------------------

# cut/N.run, cut/N.line and cut/N.want: each command, where it stands, what it should print.
mkdir cut path work
awk '
    /^```console$/ { inside = 1; first = 1; next }
    /^```/ { inside = 0 }
    !inside { next }
    /^\$ / {
        n++
        print substr($0, 3) >("cut/" n ".run")
        print NR >("cut/" n ".line")
        printf "" >("cut/" n ".want")
        first = 0
        next
    }
    first { print "line " NR ": a console block begins with a command" >"cut/wrong"; next }
    { print >("cut/" n ".want") }
    END { print n + 0 >"cut/count" }
' "$page"
[ ! -s cut/wrong ] || fail "$(cat cut/wrong)"
[ "$(cat cut/count)" -gt 0 ] || fail "$page has no console block"

# matches WANT GOT: a glob of lines over a glob of characters. Where they differ, it prints both from there on.
matches()
{
    awk '
        function same(pattern, text,   n, i, at, part) {
            n = split(pattern, part, "…")
            if (n < 2)
                return pattern == text
            if (substr(text, 1, length(part[1])) != part[1])
                return 0
            text = substr(text, length(part[1]) + 1)
            for (i = 2; i < n; i++) {
                at = index(text, part[i])
                if (part[i] != "" && !at)
                    return 0
                if (part[i] != "")
                    text = substr(text, at + length(part[i]))
            }
            return length(text) >= length(part[n]) && substr(text, length(text) - length(part[n]) + 1) == part[n]
        }
        FILENAME == ARGV[1] { want[++wants] = $0; next }
        { got[++gots] = $0 }
        END {
            w = g = 1
            while (g <= gots) {
                if (w <= wants && want[w] == "…") {
                    star = w++
                    from = g
                } else if (w <= wants && same(want[w], got[g])) {
                    w++
                    g++
                } else {
                    if (w > far) { far = w; far_got = g }
                    if (!star)
                        break
                    w = star + 1
                    g = ++from
                }
            }
            while (g > gots && w <= wants && want[w] == "…")
                w++
            if (g > gots && w > wants)
                exit 0
            if (w > far) { far = w; far_got = g }
            for (i = far; i <= wants && i < far + 8; i++)
                print "  - " want[i]
            for (i = far_got; i <= gots && i < far_got + 8; i++)
                print "  + " got[i]
            exit 1
        }' "$1" "$2"
}

ln -s "$DITHER" path/dither
awk 'BEGIN {
    n = split("the quick brown fox jumps over lazy dogs while small cats sleep near warm stones and rivers", word, " ")
    x = 1
    for (i = 1; i <= 2000; i++) {
        text = "line " i ":"
        for (k = 0; k < 8; k++) { x = (x * 1103 + 12345) % 65536; text = text " " word[int(x / 256) % n + 1] }
        print text "."
    }
}' >work/text.txt

PATH=$PWD/path:$PATH
i=0
while [ "$i" -lt "$(cat cut/count)" ]; do
    i=$((i + 1))
    command=$(cat cut/$i.run)
    where="${page##*/}:$(cat cut/$i.line): \$ $command"
    for word in $(printf '%s\n' "$command" | sed 's/ | /\n/g; s/ && /\n/g' | sed 's/^ *//; s/ .*//'); do
        case $word in
        dither | cat | head | ls | printf | grep | xz | cp | wc | sed) ;;
        *) fail "$where: $word is not among the commands that may be shown" ;;
        esac
    done
    code=0
    (cd work && sh ../cut/$i.run) >got 2>&1 </dev/null || code=$?
    if ! matches cut/$i.want got >difference; then
        printf '%s\n  prints other lines than the page (-) says:\n' "$where" >&2
        cat difference >&2
        wrong=1
    elif [ "$code" -ge 126 ] || { [ "$code" != 0 ] && ! grep -q '^dither: ' cut/$i.want; }; then
        printf '%s\n  ends with exit code %s:\n' "$where" "$code" >&2
        tail -n 8 got | sed 's/^/  + /' >&2
        wrong=1
    fi
done

# ---- the names -----------------------------------------------------------------------------------------------

# named PAGE: the make targets in its code, as "make X"; its relative links and paths of this repository, as they stand.
named()
{
    awk '
        /^```/ { fence = !fence; next }
        {
            code = ""
            if (fence)
                code = $0
            else {
                n = split($0, part, "`")
                for (i = 2; i < n; i += 2)
                    code = code part[i] "\n"
            }
            while (match(code, /(^|[ \n])make +[a-z][a-z0-9-]*/)) {
                target = substr(code, RSTART, RLENGTH)
                sub(/.* /, "", target)
                print NR " make " target
                code = substr(code, RSTART + RLENGTH)
            }
        }
        {
            text = $0
            while (match(text, /\]\([^)#:]+[)#]/)) {
                print NR " path " substr(text, RSTART + 2, RLENGTH - 3)
                text = substr(text, RSTART + RLENGTH)
            }
            text = $0
            gsub(/[^A-Za-z0-9_.\/<>*…-]/, " ", text)
            n = split(text, word, " ")
            for (i = 1; i <= n; i++) {
                sub(/[.]+$/, "", word[i])
                if (word[i] ~ /^(\.ci|cli|cmake|docs|examples|include|src|tests|tools)\/[a-z0-9_.\/-]*$/ ||
                    word[i] ~ /^[A-Za-z]+\.md$/)
                    print NR " path " word[i]
            }
        }' "$1"
}

for one in "$@"; do
    named "$one" | sort -u >names
    while read -r line kind name; do
        case $kind in
        make) grep -q "^$name:" "$root/Makefile" && continue ;;
        path) [ -e "$(dirname "$one")/$name" ] || [ -e "$root/$name" ] && continue ;;
        esac
        echo "${one##*/}:$line: $kind $name, which is not there" >&2
        wrong=1
    done <names
done
[ "$wrong" = 0 ] || fail 'a page says what is not so'
