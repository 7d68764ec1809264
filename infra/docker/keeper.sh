#!/bin/bash
# The first process of the sandbox's container: a run there can neither kill nor stop it, whatever it does to the server,
# which has the same user. Starts the server, which says each second on its standard output that it lives. When it no
# longer does, this ends, and the container with all that is in it; the engine starts it afresh. Buries orphans too.
exec 3< <(exec "$@")
server=$!
trap 'stopping=1; kill -TERM "$server"' TERM INT
patience=60
while IFS= read -r -t "$patience" -u 3 _; do patience=10; done
[ -n "$stopping" ] && wait "$server"
