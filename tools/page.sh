#!/bin/sh
# Builds the chat page, web/dist/page, where there is npm and where its sources are newer. Says nothing when
# there is nothing to do.
# Usage: tools/page.sh build|test
#   build: what goes wrong is said and the server does without, or with the page of before
#   test:  what goes wrong is an error, and so are mistakes in types
set -eu
cd "$(dirname "$0")/../web"

say() { echo "page: $*" >&2; }
fail() {
	if [ -e dist/page/index.html ]; then
		say "$*; the server keeps the page that was built before"
	else
		say "$*; the server has a plain page instead"
	fi
	[ "$mode" = build ] || exit 1
	exit 0
}

# newer FILE SOURCES... reports whether one of the sources, files or folders, is newer than the file.
newer() {
	file=$1
	shift
	! [ -e "$file" ] || [ -n "$(find "$@" -newer "$file" | head -n 1)" ]
}

mode=${1-}
case $mode in
build | test) ;;
*) say "usage: tools/page.sh build|test" && exit 2 ;;
esac

built=dist/page/index.html
outdated() { newer "$built" src index.html package.json package-lock.json tsconfig.json vite.config.ts; }

[ "$mode" = test ] || outdated || exit 0

command -v npm >/dev/null || fail "there is no npm, which comes with Node.js 18 or newer and builds the chat page"
if newer node_modules/.package-lock.json package-lock.json; then # npm's own record of what it has put there
	say "the npm packages of web/package-lock.json into web/node_modules: the chat page is built with them"
	npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null || fail "npm could not fetch them"
	touch node_modules/.package-lock.json
fi
if [ "$mode" = test ]; then
	npm run --silent check || fail "the chat page has mistakes in its types"
fi
if outdated; then
	npm run --silent build -- --logLevel warn || fail "the chat page could not be built, which takes Node.js 18 or newer"
	touch "$built"
	say "built, $(cat "$built" dist/page/assets/* | gzip -9 | wc -c) bytes with gzip"
fi
