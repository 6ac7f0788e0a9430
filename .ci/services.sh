#!/usr/bin/env bash
# The real services that the full test run needs, on a bare Debian machine as root, from Debian's packages alone:
# a Docker engine, a base image under its usual name, and the image of a real game server.
#   services.sh up STATE_DIR     prints KEY=value lines for the environment of the tests
#   services.sh down STATE_DIR   stops what `up` started, and only that
set -euo pipefail
command=$1 state=$2
mkdir -p "$state"

game_image=catalyst-test/openttd:13
engine_start_seconds=60
engine_stop_seconds=30

# Debian asks this program whether a package that is installed may start its services.
policy=/usr/sbin/policy-rc.d
made_policy=
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT

# need PROGRAM PACKAGE...: install the packages unless the program is there, without starting their services.
need() {
  command -v "$1" >/dev/null && return
  shift
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

answers() { docker version >/dev/null 2>&1; }

up_docker() {
  need docker docker.io iptables
  # Somebody's engine answers: it is used and not stopped.
  answers && return
  need dockerd docker.io iptables
  setsid dockerd >"$state/dockerd.log" 2>&1 </dev/null &
  echo $! >"$state/dockerd.pid"
  local deadline=$((SECONDS + engine_start_seconds))
  until answers; do
    if [ $SECONDS -ge $deadline ] || ! kill -0 "$(cat "$state/dockerd.pid")" 2>/dev/null; then
      tail -20 "$state/dockerd.log" >&2
      return 1
    fi
    sleep 0.2
  done
}

up_base_image() {
  docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return
  need mmdebstrap mmdebstrap
  mmdebstrap --variant=apt --quiet bookworm "$state/bookworm.tar" 2>"$state/mmdebstrap.log" ||
    { tail -20 "$state/mmdebstrap.log" >&2; return 1; }
  docker import "$state/bookworm.tar" debian:bookworm-slim >/dev/null
  rm -f "$state/bookworm.tar"
}

# OpenTTD: a dedicated server with its console on standard input (say, clients, quit), ready in under a second.
up_game_image() {
  docker image inspect "$game_image" >/dev/null 2>&1 && return
  DOCKER_BUILDKIT=0 docker build --quiet --tag "$game_image" - >/dev/null <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends openttd openttd-opengfx \
  && rm -rf /var/lib/apt/lists/*
DOCKERFILE
}

down_docker() {
  [ -f "$state/dockerd.pid" ] || return 0
  local pid
  pid=$(cat "$state/dockerd.pid")
  rm -f "$state/dockerd.pid"
  kill "$pid" 2>/dev/null || return 0
  local deadline=$((SECONDS + engine_stop_seconds))
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || { kill -KILL -- "-$pid"; break; }
    sleep 0.2
  done
}

case $command in
  up)
    up_docker
    up_base_image
    up_game_image
    echo "TEST_GAME_IMAGE=$game_image"
    ;;
  down) down_docker ;;
  *)
    echo "usage: services.sh up|down STATE_DIR" >&2
    exit 2
    ;;
esac
