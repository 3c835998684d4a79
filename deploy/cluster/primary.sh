#!/bin/sh
# Prepares the first server of deploy/compose-cluster.yaml as a primary. Runs once, while its database is created.
set -e
echo 'host replication all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
cat >> "$PGDATA/postgresql.conf" <<'END'
# Commits wait until a standby has them, and readers of the standby see them.
synchronous_commit = remote_apply
synchronous_standby_names = '*'
# A standby that was away finds what it missed.
wal_keep_size = 512MB
END
