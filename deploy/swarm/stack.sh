#!/bin/sh
# Print the stack NAME, with the settings of .env (docs/scaling.md):
#
#   sh deploy/swarm/stack.sh shop | docker stack deploy --with-registry-auth --prune -c - shop
set -eu

cd "$(dirname "$0")/../.."
stack=$(docker compose --project-name "$1" --project-directory . -f deploy/swarm/stack.yml config)
# `docker stack deploy` has no `name`, and wants ports and sizes as numbers.
printf '%s\n' "$stack" | sed -e '/^name:/d' -e 's/^\( *\(published\|size\):\) "\([0-9]*\)"$/\1 \3/'
