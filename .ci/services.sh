#!/usr/bin/env bash
# The real services that the full test run needs, on a bare Debian machine as root, from Debian's packages alone:
# a Docker engine, a base image under its usual name, the image of a real game server, a MariaDB,
# and the clients that the files are reached with.
#   services.sh up STATE_DIR     prints KEY=value lines for the environment of the tests
#   services.sh down STATE_DIR   stops what `up` started, and only that
set -euo pipefail
command=$1 state=$2
mkdir -p "$state"

game_image=catalyst-test/openttd:13
engine_start_seconds=60
engine_stop_seconds=30
mariadb_start_seconds=60
mariadb_stop_seconds=30

# Debian asks this program whether a package that is installed may start its services.
policy=/usr/sbin/policy-rc.d
made_policy=
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT

# need PROGRAM PACKAGE...: install the packages unless the program is there.
need() {
  command -v "$1" >/dev/null && return
  shift
  install_packages "$@"
}

# Without starting their services.
install_packages() {
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

free_port() {
  local port
  for port in $(shuf -i 20000-30000 -n 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  return 1
}

# A server of our own, whoever else runs one here: its data under STATE_DIR, its port any that is free. The account of
# the tests has what the panel is told to ask for, and the rest that a test needs to look behind it.
up_mariadb() {
  need mariadbd mariadb-server
  local directory=$state/mariadb port password
  port=$(free_port)
  password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  # The server runs as a user of its own, who has to reach its directory.
  chmod o+x "$state"
  install -d -o mysql -g mysql -m 700 "$directory"
  mariadb-install-db --no-defaults --user=mysql --datadir="$directory" --skip-test-db \
    --auth-root-authentication-method=normal >"$state/mariadb.log" 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$directory" --bind-address=127.0.0.1 --port="$port" \
    --socket="$directory/socket" --pid-file="$directory/pid" >>"$state/mariadb.log" 2>&1 </dev/null &
  echo $! >"$state/mariadb.pid"
  local deadline=$((SECONDS + mariadb_start_seconds))
  until mariadb-admin --no-defaults --socket="$directory/socket" --user=root ping >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ] || ! kill -0 "$(cat "$state/mariadb.pid")" 2>/dev/null; then
      tail -20 "$state/mariadb.log" >&2
      return 1
    fi
    sleep 0.2
  done
  mariadb --no-defaults --socket="$directory/socket" --user=root <<SQL
CREATE USER 'panel'@'127.0.0.1' IDENTIFIED BY '$password', 'panel'@'localhost' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO 'panel'@'127.0.0.1', 'panel'@'localhost' WITH GRANT OPTION;
SQL
  mysql_url=mysql://panel:$password@127.0.0.1:$port
}

# What users reach their files with, to be tried against ours, and what other people's archives are made with.
up_clients() {
  type ssh sftp ssh-keygen rclone lftp sshfs fusermount3 rsync zstd pigz zip unzip >/dev/null 2>&1 &&
    /usr/bin/python3 -c 'import paramiko' 2>/dev/null ||
    install_packages openssh-client rclone lftp sshfs rsync python3-paramiko zstd pigz zip unzip
  # Where no udev makes it.
  [ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229
}

# stop SERVICE SECONDS: what `up` started of it, if it did.
stop() {
  local pid_file=$state/$1.pid
  [ -f "$pid_file" ] || return 0
  local pid
  pid=$(cat "$pid_file")
  rm -f "$pid_file"
  kill "$pid" 2>/dev/null || return 0
  local deadline=$((SECONDS + $2))
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
    up_mariadb
    up_clients
    echo "TEST_GAME_IMAGE=$game_image"
    echo "TEST_MYSQL_URL=$mysql_url"
    ;;
  down)
    stop mariadb "$mariadb_stop_seconds"
    stop dockerd "$engine_stop_seconds"
    ;;
  *)
    echo "usage: services.sh up|down STATE_DIR" >&2
    exit 2
    ;;
esac
