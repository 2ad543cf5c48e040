#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, as many at once as there are processors.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME="${1:-60s}"

# one PACKAGE TARGET: fuzzes, and tells how it went in one line unless it went wrong.
one() {
	local log status=0
	log="$(mktemp)"
	# The go command sometimes takes the end of the time for a failure of its own; only what it found counts.
	GOMAXPROCS=1 go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 10x -parallel 1 "$1" >"$log" 2>&1 || status=$?
	if [ "$status" -ne 0 ] && grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
		status=0
	fi
	if [ "$status" -ne 0 ]; then
		cat "$log"
	fi
	printf '%-24s %-24s %s\n' "$1" "$2" "$(grep -oE 'execs: [0-9]+' "$log" | tail -1) exit $status"
	rm -f "$log"
	return "$status"
}
export -f one

grep -rE '^func Fuzz[A-Za-z0-9_]+\(f \*testing\.F\)' --include='*_test.go' . |
	sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]+).*|\1 \2|' |
	xargs -P "$(nproc)" -L 1 bash -c 'one "$0" "$1"'
