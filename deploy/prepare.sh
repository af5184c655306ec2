#!/bin/sh
# Folders and the database's password for compose.yaml, owned by the users of the containers. Run it once, as root, in
# the folder it is in; what is there already stays.
set -eu
ours=10001 database=999 # the user of our images; the user of the image of PostgreSQL

umask 077
cd "$(dirname "$0")"
for folder in keys data data/broker data/crl data/enrolment secrets; do
  [ -d "$folder" ] || mkdir "$folder"
done
if [ ! -e secrets/database_password ]; then
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >secrets/database_password
  # The form that PostgreSQL's clients read (.pgpass).
  printf 'database:5432:stroomwacht:stroomwacht:%s\n' "$(cat secrets/database_password)" >secrets/database_passfile
fi
chown "$ours" keys data data/* secrets/database_passfile
chown "$database" secrets/database_password
chmod 711 secrets
