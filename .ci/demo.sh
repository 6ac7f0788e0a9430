#!/usr/bin/env bash
# What a newcomer does: `npm start`, `npm run demo` in another terminal, Ctrl-C. A real Minecraft server is installed
# from the npm registry and played with under the process runtime. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
# Database and game run under users of their own, who must be able to get there.
chmod 711 "$work"
ready_seconds=60
panel=

finish() {
  [ -z "$panel" ] || kill -KILL "$panel" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
export PORT=$port DATA_DIR=$work/data RUNTIME=process ADMIN_PASSWORD=$(node -p 'crypto.randomUUID()')
node scripts/start.mjs >"$work/panel.log" 2>&1 &
panel=$!

deadline=$((SECONDS + ready_seconds))
until node -e 'fetch(`http://127.0.0.1:${process.env.PORT}/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))'; do
  if [ $SECONDS -ge $deadline ] || ! kill -0 "$panel" 2>/dev/null; then
    tail -50 "$work/panel.log" >&2
    exit 1
  fi
  sleep 0.2
done

PANEL_URL=http://127.0.0.1:$port npm run --silent demo || { tail -50 "$work/panel.log" >&2; exit 1; }

kill -INT "$panel"
wait "$panel" || { echo "the panel ended with code $?" >&2; tail -50 "$work/panel.log" >&2; exit 1; }
panel=
echo 'the panel stops cleanly'
