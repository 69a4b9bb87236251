#!/bin/sh
# Installs what a make target needs and this machine lacks, on Debian or Ubuntu, and says what and
# why in a line each. Says nothing when nothing is missing.
# Usage: tools/install.sh build|test
set -eu
cd "$(dirname "$0")/.."

# Fetched as a Go module when neither the machine nor its packages have a Go that is new enough.
go_release=1.26.8
go_wanted=$(awk '$1 == "go" { print $2 }' go.mod)

PATH=$PWD/.tools/go/bin:$PATH:/usr/local/go/bin:/snap/bin
export PATH

say() { echo "install: $*" >&2; }
fail() {
	say "$*"
	exit 2
}

# at_least A B reports whether version A is B or newer.
at_least() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# go_version prints the version that this module would be built with: asked inside the module, a Go
# since 1.21 answers for the toolchain that it switches to, unless GOTOOLCHAIN=local forbids it.
go_version() {
	version=$(go env GOVERSION 2>/dev/null) || version=$(GOTOOLCHAIN=local go version 2>/dev/null | awk '{ print $3 }')
	version=${version#go}
	echo "${version%% *}"
}

go_usable() {
	command -v go >/dev/null && at_least "$(go_version)" "$go_wanted"
}

# want PACKAGES WHY notes Debian packages to install.
packages=
want() {
	say "$1: $2"
	packages="$packages $1"
}

# install_packages installs all that was noted, in one go.
install_packages() {
	[ -n "$packages" ] || return 0
	command -v apt-get >/dev/null || fail "no apt-get here: install by your system's own means:$packages"
	if [ "$(id -u)" -eq 0 ]; then
		as_root=
	elif sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	else
		fail "not permitted without a password; run: sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends$packages'"
	fi
	options="-qq -o DPkg::Lock::Timeout=300"
	# shellcheck disable=SC2086 # lists of words, to be split
	if ! { $as_root apt-get $options update && $as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get $options install -y --no-install-recommends $packages >/dev/null; }; then
		fail "apt-get could not install:$packages"
	fi
	packages=
}

# fetch_go puts a Go toolchain in .tools/go, fetched by an older Go as the module that Go itself
# switches toolchains with, and checked by the checksum database as every module is.
fetch_go() {
	say "go $go_release into .tools/go: go.mod wants $go_wanted, the go at hand is $(go_version)"
	cache=$PWD/.tools/fetch
	module=golang.org/toolchain@v0.0.1-go$go_release.$(go env GOOS 2>/dev/null || echo linux)-$(go env GOARCH 2>/dev/null || dpkg --print-architecture)
	mkdir -p "$cache"
	# Behind a go.mod of its own: an old Go refuses to read this module's.
	echo "module fetch" >"$cache/go.mod"
	(cd "$cache" && GO111MODULE=on GOFLAGS=-modcacherw GOMODCACHE="$cache" go mod download "$module") ||
		fail "could not fetch go $go_release; install Go $go_wanted or newer from https://go.dev/dl/ and put its bin folder in PATH"
	rm -rf .tools/go
	mv "$cache/$module" .tools/go
	rm -rf "$cache"
	# What Go does with a toolchain on first use: a module keeps no execute bits and no nested go.mod.
	chmod -R u+w .tools/go
	chmod +x .tools/go/bin/* .tools/go/pkg/tool/*/*
	find .tools/go -name _go.mod | while read -r file; do cp "$file" "${file%_go.mod}go.mod"; done
	hash -r # the shell remembers where it last found go
}

case "${1-}" in
build | test) ;;
*) fail "usage: tools/install.sh build|test" ;;
esac

if ! command -v go >/dev/null; then
	want golang-go "builds the server"
	# Debian's golang-go only suggests it, and no module can be fetched without.
	[ -e /etc/ssl/certs/ca-certificates.crt ] || want ca-certificates "checks the hosts that modules come from"
fi
if [ "$1" = test ]; then
	if ! command -v gcc >/dev/null || ! [ -e /usr/include/stdlib.h ]; then
		want "gcc libc6-dev" "the race detector needs a C compiler"
	fi
	if ! command -v chromium >/dev/null; then
		browser=chromium
		if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then
			browser=chromium-browser # which installs the snap of that command
		fi
		want "$browser" "the page is tested in a real browser"
	fi
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
		want "nodejs npm" "the chat page is built with them, the server tested with a JavaScript client"
	fi
fi
install_packages
go_usable || fetch_go
go_usable || fail "go.mod wants Go $go_wanted, found $(go_version); install it from https://go.dev/dl/ and put its bin folder in PATH"
if [ "$1" = test ]; then
	lock=interop/package-lock.json
	installed=interop/node_modules/.package-lock.json # npm's own record of what it has put there
	if ! [ -e "$installed" ] || [ -n "$(find "$lock" -newer "$installed")" ]; then
		say "the npm packages ws and centrifuge into interop/node_modules: JavaScript clients that the server is tested with"
		(cd interop && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null) ||
			fail "npm could not fetch what $lock names"
	fi
fi
