#!/bin/sh
# Builds one Go tool from its module at a pinned version and puts it in place under a name of ours.
# Usage: tools/gotool.sh <file> <package>@<version>
set -eu

file=$1
package=$2
dir=$(dirname "$file")

echo "building $package into .tools/bin (once; a minute or two)"
mkdir -p "$dir"
work=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Outside the module, so that its go.mod has no say in the tool's own dependencies.
(cd "$work" && GOBIN="$work" GOFLAGS=-buildvcs=false go install "$package")
name=${package%@*}
mv "$work/${name##*/}" "$file"
