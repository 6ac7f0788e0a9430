#!/usr/bin/env bash
# Builds the image and sees it answer: the panel on /ready and by SFTP, the agent about its settings. Leaves nothing behind.
# Where no container registry is reachable, the base image is made under its usual name from the Debian base image
# and this machine's Node.
set -euo pipefail
cd "$(dirname "$0")/.."

base=node:20-bookworm-slim
image=catalyst-test/image:$$
container=catalyst-test-image-$$
ready_seconds=90
made_base=
work=$(mktemp -d)

finish() {
  docker rm --force --volumes "$container" >/dev/null 2>&1 || true
  # Not by force, which would only take the names away and leave the layers.
  docker image rm "$image" >/dev/null 2>&1 || true
  docker image rm "$image-build" >/dev/null 2>&1 || true
  [ -z "$made_base" ] || docker image rm "$base" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

# With the builder that every engine has; what it prints is shown only when it fails.
build() {
  DOCKER_BUILDKIT=0 docker build --force-rm "$@" >"$work/build.log" 2>&1 || {
    tail -50 "$work/build.log" >&2
    return 1
  }
}

make_base() {
  docker image inspect "$base" >/dev/null 2>&1 && return
  made_base=yes
  local node
  node=$(readlink -f "$(command -v node)")
  mkdir -p "$work/bin" "$work/lib/node_modules" "$work/include" "$work/certs"
  cp "$node" "$work/bin/node"
  cp -r "$(dirname "$node")/../lib/node_modules/npm" "$work/lib/node_modules/npm"
  cp -r "$(dirname "$node")/../include/node" "$work/include/node"
  # Whatever authorities this machine trusts to reach the npm registry, the build must trust too.
  cp /etc/ssl/certs/ca-certificates.crt "$work/certs/" 2>/dev/null || : >"$work/certs/ca-certificates.crt"
  cat >"$work/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends libstdc++6 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 1000 --user-group --create-home --shell /bin/bash node
COPY certs/ /etc/ssl/certs/
COPY bin/ /usr/local/bin/
COPY lib/ /usr/local/lib/
COPY include/ /usr/local/include/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["node"]
DOCKERFILE
  build --tag "$base" "$work"
}

answer() { # the status of a path of the panel's, from inside its container
  docker exec "$container" node -e \
    'fetch(`http://127.0.0.1:3000${process.argv[1]}`).then((r) => console.log(r.status), () => console.log("none"))' "$1"
}

make_base
# The first stage has a name of its own, so that it can be removed afterwards.
build --target build --tag "$image-build" .
build --tag "$image" .
echo "the image has $(($(docker image inspect --format '{{.Size}}' "$image") / 1024 / 1024)) MB"

docker run --detach --name "$container" --init "$image" >/dev/null
deadline=$((SECONDS + ready_seconds))
until [ "$(answer /ready)" = 200 ]; do
  if [ $SECONDS -ge $deadline ] || [ "$(docker inspect --format '{{.State.Running}}' "$container")" != true ]; then
    echo 'the panel in the image did not become ready:' >&2
    docker logs --tail 50 "$container" >&2
    exit 1
  fi
  sleep 0.5
done
echo "the panel in the image answers /ready as user $(docker exec "$container" id -un)"

greeting=$(docker exec "$container" node -e \
  'require("node:net").connect(2022, "127.0.0.1").once("data", (bytes) => { console.log(`${bytes}`); process.exit() }).on("error", (e) => { console.log(e.message); process.exit() })')
[[ "$greeting" = SSH-2.0-Catalyst* ]] || { echo "SFTP in the image says: $greeting" >&2; exit 1; }
if docker logs "$container" 2>&1 | grep -q 'without its native part'; then
  echo 'the image has ssh2 without its native part' >&2
  exit 1
fi
echo 'SFTP in the image answers, with its native cryptography'

answered=$(docker exec "$container" node dist/catalyst-agent.mjs 2>&1 || true)
grep -q NODE_ID <<<"$answered" || { echo "the agent in the image says: $answered" >&2; exit 1; }
echo 'the agent in the image asks for its settings'

docker stop --time 30 "$container" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" = 0 ] || { echo "the panel ended with code $code" >&2; exit 1; }
echo 'the panel in the image stops cleanly'

if docker compose version >/dev/null 2>&1; then
  POSTGRES_PASSWORD=check docker compose --profile agent config --quiet
  echo 'docker-compose.yml is valid'
fi
