#!/bin/sh
# bench-compare.sh BENCHSTAT BASE: the benchmarks in Go of the work tree next to those of commit BASE,
# by turns in one run, since a machine's speed changes from minute to minute. BENCHSTAT compares.
set -eu

benchstat=$1
base=${2:?"name a commit to compare with: make bench-compare BASE=main~1"}
rounds=${ROUNDS:-8}

git rev-parse --verify --quiet "$base^{commit}" >/dev/null || { echo "bench-compare: there is no commit $base" >&2; exit 2; }
dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/tree" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" "$base"

build() { # into $dir/$1-N.test from the tree $2
	n=0
	for pkg in ./internal/wire ./internal/broadcast .; do
		n=$((n + 1))
		(cd "$2" && go test -c -o "$dir/$1-$n.test" "$pkg")
	done
}
build old "$dir/tree"
build new .

round=1
while [ "$round" -le "$rounds" ]; do
	echo "bench-compare: round $round of $rounds" >&2
	for n in 1 2 3; do
		for side in old new; do
			"$dir/$side-$n.test" -test.run '^$' -test.bench . -test.benchmem -test.benchtime 200ms >>"$dir/$side.txt"
		done
	done
	round=$((round + 1))
done
"$benchstat" "$base=$dir/old.txt" "work tree=$dir/new.txt"
