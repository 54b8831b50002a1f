# Functions for the scripts in this directory, which source this file.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Each module is built with its own go.mod, as a dependent project would build it. go.work is for editors.
export GOWORK=off CGO_ENABLED=0 LC_ALL=C

# modules prints the directories of the modules, without those that only pin tools. $MODULES limits a script to some modules.
modules() {
  if [ -n "${MODULES:-}" ]; then
    tr -s ' ' '\n' <<<"$MODULES"
  else
    sed -n 's|^\t\./||p' "$root/go.work"
  fi
}

# tool MODULE NAME prints the path of a tool that scripts/tools/MODULE pins. The first use builds it into Go's build cache.
tool() { (cd "$root/scripts/tools/$1" && go tool -n "$2"); }

# in_module DIR COMMAND... runs a command in the directory of a module.
in_module() { (cd "$root/$1" && shift && "$@"); }

# copy_tree DIR copies the tracked files, and the untracked ones that are not ignored, into a new git repository.
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
