#!/bin/sh
# Mosquitto with a revocation list that may change at any time: it reads the list when it is told to (SIGHUP), so this
# tells it. Usage: broker.sh MOSQUITTO.CONF CA.CRL [FOLDER FOR THE CONFIGURATION AS USED]
set -eu
conf=$1 crl=$2 work=${3:-/tmp}
look_every_s=${LOOK_EVERY_S:-5}

sed "s#^crlfile .*#crlfile $crl#" "$conf" >"$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" &
broker=$!
trap 'kill -TERM "$broker"' TERM INT

seen=$(cksum <"$crl")
while kill -0 "$broker" 2>/dev/null; do
  sleep "$look_every_s" &
  wait $! || true
  now=$(cksum <"$crl") || continue
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP "$broker"
  fi
done
wait "$broker"
