#!/bin/sh
# Installs the project into a folder, looks at what libdecnet-repo shows, and builds a program with it as others would:
# with nothing but the installed files.
#
# usage: build.sh BUILD SOURCE FOLDER CC SANITIZERS
set -eu
build=$1 source=$2 folder=$3 cc=$4 sanitizers=$5
here=$source/tests/live/library

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

meson install -C "$build" --no-rebuild --destdir "$folder/root" >"$folder/install.log" 2>&1 ||
    fail "cannot install: $(cat "$folder/install.log")"
pc=$(find "$folder/root" -name decnet-repo.pc)
lib=$(find "$folder/root" -name libdecnet-repo.so)
if [ -z "$pc" ] || [ -z "$lib" ]; then
    fail "decnet-repo.pc or libdecnet-repo.so is not installed"
fi
[ -z "$(find "$folder/root" -name '*.a')" ] || fail "a static library is installed"

# What it shows.
readelf -d "$lib" | grep -q 'SONAME.*\[libdecnet-repo\.so\.1\]' || fail "another soname than libdecnet-repo.so.1"
nm -D --defined-only "$lib" | awk '{ print $NF }' | sed 's/@.*//' >"$folder/symbols"
strangers=$(grep -v -e '^decnet_repo_' -e '^DECNET_REPO_1$' "$folder/symbols") && fail "exported, too: $strangers"

# What pkg-config says, for the folder in which the files lie now.
root=$(dirname "$(dirname "$(find "$folder/root" -path '*/decnet/repo.h')")")
prefix=$(dirname "$root")
query() {
    PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" "$@" decnet-repo
}
flags="-I$here $(query --cflags)" libs=$(query --libs)
[ "$(query --modversion)" = "$(sed -n "s/^project(.*, version: '\([^']*\)'.*/\1/p" "$source/meson.build")" ] ||
    fail "decnet-repo.pc has another version than the project"
case " $libs " in
*" -ljson-c "* | *" -lpq "*) fail "programs are made to link what only the library needs: $libs" ;;
esac

# Every method of the table, as the sources list it: declared if this compiles, exported if it links.
{
    printf '#include <decnet/repo.h>\n#include "every_function.h"\n'
    printf 'const EveryFunction every_function[] = {\n'
    sed -n 's/^LISTED(.*, \(.*\))$/    {"\1", (void (*)(void))decnet_repo_\1},/p' "$source/lib/repo/methods/list.h"
    printf '    {NULL, NULL}};\n'
} >"$folder/every_function.c"

# shellcheck disable=SC2086 # lists of options
$cc -std=c11 -Wall -Wextra -Wpedantic -Werror $sanitizers $flags -o "$folder/consumer" "$here/consumer.c" \
    "$folder/every_function.c" $libs "-Wl,-rpath,$(dirname "$lib")"
if command -v g++ >/dev/null; then
    # shellcheck disable=SC2086
    g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $flags -x c++ "$folder/every_function.c"
fi
