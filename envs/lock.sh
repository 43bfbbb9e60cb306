#!/bin/sh
# Resolve envs/*.in into envs/*.lock. Run after a change of a .in file, and commit the result.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip="$work/venv/bin/python -m pip"
freeze() { $pip freeze --all --exclude pip --exclude nephroscale | sed 's/+cpu$//' | LC_ALL=C sort; }
$pip install --quiet "$(grep '^torch==' envs/requirements.in)"
$pip install --quiet "setuptools>=77" -r envs/requirements.in
{ echo "# Made by envs/lock.sh from requirements.in."; freeze; } > envs/requirements.lock
$pip install --quiet -r envs/dev.in -c envs/requirements.lock
{ echo "# Made by envs/lock.sh from dev.in: additions to requirements.lock."; freeze | grep -vxFf envs/requirements.lock; } > envs/dev.lock
for name in crate docs; do
  python3 -m venv "$work/$name"
  pip="$work/$name/bin/python -m pip"
  $pip install --quiet -r "envs/$name.in"
  { echo "# Made by envs/lock.sh from $name.in."; $pip freeze | LC_ALL=C sort; } > "envs/$name.lock"
done
