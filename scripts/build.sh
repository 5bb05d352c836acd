# shellcheck shell=bash
# Builds: one folder build/KIND for each kind, set up once and renewed by itself.

build_options() { # KIND: meson's options, the compiler first
    case $1 in
    release) echo gcc --buildtype=release ;;
    debug) echo gcc --buildtype=debug ;;
    asan) echo gcc --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ;;
    tsan) echo gcc --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ;;
    clang) echo clang --buildtype=debugoptimized ;;
    coverage) echo gcc --buildtype=debug -Db_coverage=true -Dc_args=-fprofile-update=atomic ;;
    fuzz) echo clang --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true ;;
    *) return 1 ;;
    esac
}

# Where a program stands inside a build folder.
program_target() { # NAME
    case $1 in
    decnet-broker) echo lib/bus/decnet-broker ;;
    decnet-ttp) echo workers/ttp/decnet-ttp ;;
    decnet-attribution) echo workers/attribution/decnet-attribution ;;
    decnetctl | decnet-vectors) echo "tools/$1" ;;
    *) return 1 ;;
    esac
}

program() { # NAME: path of the release build
    printf '%s' "$BUILD/release/$(program_target "$1")"
}

# Build TARGETs (all without any) of a kind; quiet unless it fails. Two runs in one tree take turns.
build() { # KIND [TARGET...]
    local kind=$1 started
    shift

    first_writable "$BUILD" >/dev/null ||
        die "cannot write $BUILD: it belongs to $(stat -c %U -- "$BUILD" 2>/dev/null || echo another user)"
    started=$(now_us)
    if ! attend build_locked "$kind" "$@"; then
        say "run: building '$kind' failed"
        return 1
    fi
    step build "$kind, $(seconds_since "$started") s"
}

build_programs() { # NAME...: of the release build
    local targets=() name
    for name in "$@"; do
        targets+=("$(program_target "$name")")
    done
    build release "${targets[@]}"
}

build_locked() { # KIND [TARGET...]
    local kind=$1
    shift
    (
        flock 9
        build_configure "$kind" && build_compile "$kind" "$@"
    ) 9>"$BUILD/$kind.lock"
}

# What the set-up of a folder depends on besides meson's own files: a moved tree or other options need a new one.
build_signature() { # KIND
    echo "$TOP $(build_options "$1") $(meson --version)"
}

build_configure() { # KIND
    local kind=$1 options
    read -ra options <<<"$(build_options "$kind")"
    if [ -f "$BUILD/$kind/build.ninja" ] && [ "$(build_signature "$kind")" = "$(cat "$BUILD/$kind.setup" 2>/dev/null)" ]; then
        return 0
    fi
    rm -rf -- "${BUILD:?}/$kind" "$BUILD/$kind.setup"
    if ! CC=${options[0]} meson setup "$BUILD/$kind" "$TOP" "${options[@]:1}" >"$BUILD/$kind.log" 2>&1; then
        tail -n 30 "$BUILD/$kind.log" >&2
        return 1
    fi
    build_signature "$kind" >"$BUILD/$kind.setup"
}

build_compile() { # KIND [TARGET...]
    local kind=$1
    shift
    if [ -t 2 ]; then # ninja keeps its progress on one line there
        ninja -C "$BUILD/$kind" -j "$(nproc)" "$@" >&2
        return
    fi
    ninja -C "$BUILD/$kind" -j "$(nproc)" "$@" >"$BUILD/$kind.log" 2>&1 || {
        grep -A 25 -m 3 '^FAILED' "$BUILD/$kind.log" >&2 || tail -n 30 "$BUILD/$kind.log" >&2
        say "run: the whole output is in $BUILD/$kind.log"
        return 1
    }
}
