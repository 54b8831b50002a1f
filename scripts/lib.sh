# Sourced by the scripts of this directory.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Every module is built by its own go.mod, as it would be by someone who depends on it; go.work is for editors.
export GOWORK=off CGO_ENABLED=0 LC_ALL=C

# modules prints the directories of the modules, the ones that only pin tools left out; $MODULES limits a script to some of them.
modules() {
  if [ -n "${MODULES:-}" ]; then
    tr -s ' ' '\n' <<<"$MODULES"
  else
    sed -n 's|^\t\./||p' "$root/go.work"
  fi
}

# tool MODULE NAME prints the path of a tool pinned in scripts/tools/MODULE; on first use it is built into Go's build cache.
tool() { (cd "$root/scripts/tools/$1" && go tool -n "$2"); }

# in_module DIR COMMAND... runs a command in a module's directory.
in_module() { (cd "$root/$1" && shift && "$@"); }

# copy_tree DIR copies what is in git, and what is not yet added, into a git repository of its own.
copy_tree() {
  (
    cd "$root"
    git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
      [ ! -e "$file" ] || printf '%s\0' "$file"
    done | tar --null --files-from=- -cf - | tar -xf - -C "$1"
  )
  git -C "$1" init -q
  git -C "$1" add -A
}
