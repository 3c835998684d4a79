#!/bin/sh
# Starts a server of deploy/compose-cluster.yaml that follows the other one; at the first start it copies it.
# PRIMARY names the other one (postgres-1).
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  chmod 0700 "$PGDATA"
  pg_basebackup --host "${PRIMARY:-postgres-1}" --username gateway --pgdata "$PGDATA" --write-recovery-conf --checkpoint fast
fi
exec postgres
