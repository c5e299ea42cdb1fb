#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the system parts that the tests use: MariaDB and PostgreSQL servers (started by the tests
# themselves, as private instances). As an ordinary user it names what is missing instead.
set -u

missing=()
command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ] || [ -x /usr/libexec/mariadbd ] || missing+=(mariadb)
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "not root: the tests that need ${missing[*]} are left out"
    exit 0
fi

if command -v apt-get >/dev/null 2>&1; then
    declare -A package=([mariadb]=mariadb-server [postgresql]=postgresql)
    export DEBIAN_FRONTEND=noninteractive
    # Packages must not start servers of their own here.
    policy=/usr/sbin/policy-rc.d
    made_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made_policy=1
    fi
    echo "installing ${missing[*]}"
    apt-get update -qq
    names=()
    for part in "${missing[@]}"; do names+=("${package[$part]}"); done
    apt-get install -y -qq --no-install-recommends "${names[@]}" >/dev/null
    status=$?
    [ -n "$made_policy" ] && rm -f $policy
    exit $status
fi
if command -v dnf >/dev/null 2>&1; then
    declare -A package=([mariadb]=mariadb-server [postgresql]=postgresql-server)
    names=()
    for part in "${missing[@]}"; do names+=("${package[$part]}"); done
    echo "installing ${names[*]}"
    exec dnf install -y -q "${names[@]}"
fi
echo "neither apt-get nor dnf is here: install ${missing[*]} by hand" >&2
exit 1
