#!/usr/bin/env bash
# The commands of docs/operations.md, in order, with containers that are up.
# COMPOSE: how `docker compose` is called. BASE_URL: where the API is.
set -euo pipefail
cd "$(dirname "$0")/.."

docker() { # compose, arguments...
  shift
  command $COMPOSE "$@" # not this function
}

blocks=$(mktemp -d)
trap 'rm -rf "$blocks"' EXIT
.venv/bin/python -m tests.blocks operations.md tests/containers.sh \
  | sed "s|http://127.0.0.1:8000|$BASE_URL|; s|^python3 |python3.11 |; s| descent.dump| $blocks/descent.dump|; s| files.tar.gz| $blocks/files.tar.gz|" >"$blocks/run.sh"

# What is there before the backup is there after it.
kept=$(curl -sf "$BASE_URL/v1/datasets?name=kept.csv" --data-binary @examples/penguins.csv | python3.11 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
# shellcheck disable=SC1091
. "$blocks/run.sh"
curl -sf "$BASE_URL/v1/datasets/$kept/content" | cmp - examples/penguins.csv
echo "the dataset is there after the backup"
