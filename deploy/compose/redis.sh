#!/bin/sh
# Run Redis. Arguments are options of `redis-server`, such as --maxmemory 1gb.
set -eu
# shellcheck source=deploy/compose/backing.sh
. /usr/local/bin/backing.sh

password REDIS_PASSWORD

# On standard input, since command lines are visible to other processes.
#
# appendonly: all writes go to a log on disk, which is synchronized every second. noeviction: writes fail
# when the memory is full, where other policies would drop jobs of a queue. maxmemory: half of the
# container's limit, since Redis forks to rewrite the log.
exec redis-server - --maxmemory 128mb "$@" <<EOF
requirepass $REDIS_PASSWORD
bind * -::*
dir /var/lib/redis
appendonly yes
save ""
maxmemory-policy noeviction
EOF
