#!/bin/sh
# Runs every fuzz target of the module for a while, one after the other.
# Usage: tools/fuzz.sh [time each, as go test's -fuzztime takes it]
set -eu
cd "$(dirname "$0")/.."

time=${1:-10s}
found=0
for package in $(go list ./...); do
	# A package that doesn't compile must stop the run, so not behind a pipe, which would hide it.
	listed=$(go test -list '^Fuzz' "$package")
	for target in $(printf '%s\n' "$listed" | grep '^Fuzz' || true); do
		found=$((found + 1))
		echo "fuzz: $package $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
echo "fuzz: $found targets"
