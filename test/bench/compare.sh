#!/usr/bin/env bash
# Runs the benchmarks of the working tree, as it is, and those of a commit in turn, and compares them with benchstat.
# Both sides of each package run one after the other, COUNT times, so that what else the machine does hits both.
#
#   REF=v1.0.0 BENCH='^BenchmarkIssue$' PKG=./gbt COUNT=6 BENCHTIME=1s test/bench/compare.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

REF="${REF:-}" BENCH="${BENCH:-.}" PKG="${PKG:-./...}" COUNT="${COUNT:-6}" BENCHTIME="${BENCHTIME:-1s}" GO="${GO:-go}"
# What compares: a command that is installed, or a module's at a version, which is built for the occasion.
BENCHSTAT="${BENCHSTAT:-golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da}"

say() { echo "compare: $*" >&2; }
fail() {
	say "$*"
	exit 1
}

[ -n "$REF" ] || fail "REF is missing: say which commit or tag to compare with, as in make bench-compare REF=HEAD~1"
[[ "$COUNT" =~ ^[1-9][0-9]*$ ]] || fail "COUNT=$COUNT is not a number above 0"
commit="$(git rev-parse --verify --quiet --end-of-options "$REF^{commit}")" ||
	fail "$REF is no commit, tag or branch here: git fetch --tags may bring it"

work="$(mktemp -d)"
before="$work/tree"
cleanup() {
	git worktree remove --force "$before" >/dev/null 2>&1 || true
	rm -rf "$work"
	git worktree prune
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [[ "$BENCHSTAT" == *@* ]]; then
	GOBIN="$work/bin" "$GO" install "$BENCHSTAT" || fail "$BENCHSTAT cannot be built: is the module proxy within reach?"
	BENCHSTAT="$work/bin/benchstat"
fi
git worktree add --quiet --detach "$before" "$commit"
module="$("$GO" list -m)"
say "$REF is $(git log -1 --format='%h, %s' "$commit")"

# where SIDE: what people call it.
where() { [ "$1" = after ] && echo here || echo "at $REF"; }

# build SIDE TREE DIR: the test binary of a package and the names of its benchmarks that are asked for, if it has any.
build() {
	local bin="$work/$1/$3/test" names="$work/$1/$3/names"
	mkdir -p "$work/$1/$3"
	: >"$names"
	grep -qsE '^func Benchmark' "$2/$3"/*_test.go || return 0
	(cd "$2" && "$GO" test -c -o "$bin" "./$3") || fail "the tests of $3 do not build: $(where "$1")"
	(cd "$2/$3" && "$bin" -test.list "${BENCH%%/*}") | { grep '^Benchmark' || true; } >"$names"
}

# run SIDE TREE DIR: what is asked for of a package, once.
run() {
	[ -s "$work/$1/$3/names" ] || return 0
	(cd "$2/$3" && "$work/$1/$3/test" -test.run '^$' -test.bench "$BENCH" -test.benchmem -test.benchtime "$BENCHTIME" -test.timeout 2h) \
		>"$work/last.txt" 2>&1 || {
		cat "$work/last.txt" >&2
		fail "a benchmark of $3 fails: $(where "$1")"
	}
	cat "$work/last.txt" >>"$work/$1.txt"
}

packages=()
: >"$work/before.txt"
: >"$work/after.txt"
# shellcheck disable=SC2086 # PKG may name several
listed="$("$GO" list $PKG)" || fail "PKG=$PKG names no package here"
for package in $listed; do
	dir="${package#"$module"}"
	dir="${dir#/}"
	dir="${dir:-.}"
	build after . "$dir"
	build before "$before" "$dir"
	new="$(comm -13 <(sort "$work/before/$dir/names") <(sort "$work/after/$dir/names"))"
	gone="$(comm -23 <(sort "$work/before/$dir/names") <(sort "$work/after/$dir/names"))"
	[ -z "$new" ] || say "$dir: not at $REF, so with nothing to compare:" $new
	[ -z "$gone" ] || say "$dir: at $REF alone:" $gone
	[ -z "$(comm -12 <(sort "$work/before/$dir/names") <(sort "$work/after/$dir/names"))" ] || packages+=("$dir")
done
[ "${#packages[@]}" -gt 0 ] || fail "no benchmark that BENCH=$BENCH names is in PKG=$PKG both here and at $REF"

for ((n = 1; n <= COUNT; n++)); do
	for dir in "${packages[@]}"; do
		say "$n of $COUNT: $dir"
		# Who comes second may find the machine warmer, or throttled.
		if ((n % 2)); then
			run before "$before" "$dir"
			run after . "$dir"
		else
			run after . "$dir"
			run before "$before" "$dir"
		fi
	done
done
grep -q '^Benchmark' "$work/after.txt" || fail "BENCH=$BENCH names no benchmark: the part after the / fits nothing"
"$BENCHSTAT" "$REF=$work/before.txt" "here=$work/after.txt"
