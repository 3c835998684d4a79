#!/bin/sh
# Starts a server of deploy/compose-cluster.yaml that follows the other one; at the first start it copies it.
# PRIMARY names the other one (postgres-1).
set -e
# Copies that earlier versions of this script made lie in PGDATA itself.
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # It has this name only if it is complete: one that is killed leaves a PG_VERSION too.
  if [ ! -d "$PGDATA/data" ]; then
    rm -rf "$PGDATA/copying"
    pg_basebackup --host "${PRIMARY:-postgres-1}" --username gateway --pgdata "$PGDATA/copying" --write-recovery-conf --checkpoint fast
    mv "$PGDATA/copying" "$PGDATA/data"
  fi
  export PGDATA="$PGDATA/data"
fi
exec postgres
