# What the checks of command line tools begin with: a folder of their own that goes with them, and check.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

check() { # WHAT COMMAND...: the command succeeds
	what=$1
	shift
	if "$@" >out 2>&1; then echo "ok $what"; else
		echo "not ok $what"
		tail -c 500 out
	fi
}
