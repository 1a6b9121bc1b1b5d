#!/bin/sh
# Run once, when the data directory is new: a role and a database it owns per service; no other role may connect.
# The passwords come from the environment, <ROLE>_PASSWORD in capitals, and are read by psql, never logged.
set -eu
for role in gateway billing chat_relay media_tasks oauth; do
  variable="$(printf %s "$role" | tr a-z A-Z)_PASSWORD"
  psql -X -v ON_ERROR_STOP=1 -v role="$role" -U "$POSTGRES_USER" -d postgres <<SQL
\\getenv password $variable
SET log_min_error_statement = panic;
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
done
psql -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC"
