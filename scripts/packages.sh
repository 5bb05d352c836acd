# shellcheck shell=bash
# Debian packages: only what is missing is installed, and it is said before.

packages_wanted() { # build | test | kafka | kafka-fetch: docs/dependencies.md says why each
    case $1 in
    build)
        echo gcc libc6-dev pkg-config meson ninja-build python3 \
            librdkafka-dev libpq-dev libjson-c-dev uuid-dev libssl-dev libcrypt-dev zlib1g-dev liblz4-dev \
            libsystemd-dev libmicrohttpd-dev libhyperscan-dev libpcre2-dev libcyaml-dev libxxhash-dev uthash-dev \
            libcriterion-dev \
            postgresql kcat
        ;;
    test)
        echo clang llvm libclang-rt-14-dev clang-tidy clang-format gcovr shellcheck mandoc
        ;;
    kafka) echo default-jre-headless ;;
    kafka-fetch) echo maven ;;
    esac
}

packages_missing() { # PACKAGE...
    local package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            printf '%s ' "$package"
        fi
    done
}

# Make sure that the packages of the sets are there.
packages_ensure() { # SET...
    local set wanted=() missing=()

    for set in "$@"; do
        read -ra missing <<<"$(packages_wanted "$set")"
        wanted+=("${missing[@]}")
    done
    if ! command -v dpkg-query apt-get >/dev/null; then
        step packages "not a Debian system: what these packages hold must be there: ${wanted[*]}"
        return 0
    fi
    read -ra missing <<<"$(packages_missing "${wanted[@]}")"
    [ ${#missing[@]} -gt 0 ] || return 0
    packages_install "${missing[@]}"
    read -ra missing <<<"$(packages_missing "${missing[@]}")"
    [ ${#missing[@]} -eq 0 ] || die "apt-get did not install: ${missing[*]}"
}

packages_install() { # PACKAGE...
    local sudo=()

    if ! is_root; then
        command -v sudo >/dev/null || die "these Debian packages are missing: $*
     You are neither root nor is there sudo; ask an administrator for: apt-get install $*"
        sudo=(sudo)
    fi
    step packages "installing $*${sudo[*]:+ (with sudo)}"
    case " $* " in
    *' postgresql '*) step '' "(Debian's postgresql also sets up a server of its own, which ./run does not use)" ;;
    esac
    if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -print -quit 2>/dev/null)" ]; then
        attend "${sudo[@]}" apt-get update -qq >&2 || die "apt-get update failed: is the network there?"
    fi
    if ! packages_apt "${sudo[@]}" -- "$@"; then # lists may be old: once more with new ones
        attend "${sudo[@]}" apt-get update -qq >&2 || die "apt-get update failed: is the network there?"
        packages_apt "${sudo[@]}" -- "$@" || die "apt-get could not install: $*"
    fi
}

packages_apt() { # [sudo] -- PACKAGE...
    local sudo=()
    while [ "$1" != -- ]; do
        sudo+=("$1")
        shift
    done
    shift
    attend "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" 2>&1 |
        sed -un 's/^\(Get:\|Setting up\|E:\|W:\).*/    &/p' >&2
}
