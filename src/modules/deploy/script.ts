export interface DeployScriptOptions {
  /** Without a slash at the end. */
  panelUrl: string;
  nodeId: string;
  nodeName: string;
  token: string;
  agentSha256: string;
}

/** The shell script that makes a machine with Node the node of a deployment token. Can be run again. */
export function deployScript(options: DeployScriptOptions): string {
  const { panelUrl, nodeId, nodeName, token, agentSha256 } = options;
  return `#!/bin/sh
# Sets up the Catalyst agent on this machine.
#   CATALYST_HOME  where it goes; default: /opt/catalyst-agent, without root: ~/.catalyst-agent
#   RUNTIME        auto (default), docker or process
set -eu

PANEL_URL=${quote(panelUrl)}
NODE_ID=${quote(nodeId)}
NODE_NAME=${quote(nodeName)}
NODE_TOKEN=${quote(token)}
AGENT_SHA256=${quote(agentSha256)}
${BODY}`;
}

/** One word for a POSIX shell, whatever is in it. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** All in functions and called in the last line: a download that breaks off does nothing. */
const BODY = String.raw`
say() { printf '%s\n' "$*"; }
fail() { printf 'catalyst: %s\n' "$*" >&2; exit 1; }
quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

find_node() {
  command -v node >/dev/null 2>&1 ||
    fail "Node.js is not installed here. Install version 20.19 or newer (https://nodejs.org) and run this again."
  NODE=$(node -p process.execPath)
  "$NODE" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed, but this is $("$NODE" -v). Update it and run this again."
}

choose_home() {
  if [ "$(id -u)" -eq 0 ]; then
    IS_ROOT=yes
    CATALYST_HOME=${'$'}{CATALYST_HOME:-/opt/catalyst-agent}
  else
    IS_ROOT=no
    CATALYST_HOME=${'$'}{CATALYST_HOME:-$HOME/.catalyst-agent}
    say "You are not root: the agent and its game servers will run as $(id -un), and no service is installed."
  fi
  case $CATALYST_HOME in
    /*) ;;
    *) fail "CATALYST_HOME has to be an absolute path." ;;
  esac
  case $CATALYST_HOME in
    *[!A-Za-z0-9._/-]*) fail "CATALYST_HOME may only have letters, digits, '.', '_', '-' and '/' in it." ;;
  esac
  RUNTIME=${'$'}{RUNTIME:-auto}
  case $RUNTIME in
    auto | docker | process) ;;
    *) fail "RUNTIME has to be auto, docker or process." ;;
  esac
  if [ -f "$CATALYST_HOME/agent.env" ] && ! grep -qxF "NODE_ID='$NODE_ID'" "$CATALYST_HOME/agent.env"; then
    fail "$CATALYST_HOME belongs to another node. Remove it, or set CATALYST_HOME to another directory."
  fi
}

download() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --connect-timeout 10 --max-time 300 -o "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 60 -O "$2" "$1"
  else
    fail "Neither curl nor wget is installed here. Install one of them and run this again."
  fi
}

install_agent() {
  mkdir -p "$CATALYST_HOME/data"
  chmod 755 "$CATALYST_HOME"
  TEMPORARY=$(mktemp "$CATALYST_HOME/.new.XXXXXX")
  trap 'rm -f "$TEMPORARY"' EXIT
  trap 'exit 1' HUP INT TERM
  say "Downloading the agent from $PANEL_URL ..."
  download "$PANEL_URL/api/agent/catalyst-agent.mjs" "$TEMPORARY" ||
    fail "The agent could not be downloaded from $PANEL_URL. Can this machine reach the panel there?"
  FOUND=$("$NODE" -e 'console.log(require("node:crypto").createHash("sha256").update(require("node:fs").readFileSync(process.argv[1])).digest("hex"))' "$TEMPORARY")
  [ "$FOUND" = "$AGENT_SHA256" ] ||
    fail "The download is damaged, or the panel was updated in the meantime. Fetch this script again."
  chmod 755 "$TEMPORARY"
  mv -f "$TEMPORARY" "$CATALYST_HOME/catalyst-agent.mjs"
}

write_settings() {
  TEMPORARY=$(umask 077 && mktemp "$CATALYST_HOME/.new.XXXXXX")
  {
    printf 'PANEL_URL=%s\n' "$(quote "$PANEL_URL")"
    printf 'NODE_ID=%s\n' "$(quote "$NODE_ID")"
    printf 'NODE_TOKEN=%s\n' "$(quote "$NODE_TOKEN")"
    printf 'AGENT_DATA_DIR=%s\n' "$(quote "$CATALYST_HOME/data")"
    printf 'RUNTIME=%s\n' "$(quote "$RUNTIME")"
  } > "$TEMPORARY"
  chmod 600 "$TEMPORARY"
  mv -f "$TEMPORARY" "$CATALYST_HOME/agent.env"

  TEMPORARY=$(mktemp "$CATALYST_HOME/.new.XXXXXX")
  {
    say '#!/bin/sh'
    say '# Runs the agent. Settings of your own, such as DOCKER_SOCKET, go into local.env: it is never overwritten.'
    say "cd '$CATALYST_HOME'"
    say 'set -a'
    say '. ./agent.env'
    say 'if [ -f local.env ]; then . ./local.env; fi'
    say 'set +a'
    say "exec $(quote "$NODE") ./catalyst-agent.mjs"
  } > "$TEMPORARY"
  chmod 755 "$TEMPORARY"
  mv -f "$TEMPORARY" "$CATALYST_HOME/run.sh"
}

has_systemd() {
  [ "$IS_ROOT" = yes ] && [ -d "${'$'}{CATALYST_ROOT:-}/run/systemd/system" ] && command -v systemctl >/dev/null 2>&1
}

# Game servers outlive the agent: KillMode and OOMPolicy keep systemd from stopping them with it.
install_service() {
  UNIT="${'$'}{CATALYST_ROOT:-}/etc/systemd/system/catalyst-agent.service"
  cat > "$UNIT.new" <<UNIT_END
[Unit]
Description=Catalyst agent
After=network-online.target docker.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh $CATALYST_HOME/run.sh
Restart=always
RestartSec=5
KillMode=process
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1048576
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
UNIT_END
  mv -f "$UNIT.new" "$UNIT"
  systemctl daemon-reload
  systemctl enable --quiet catalyst-agent.service
  systemctl restart catalyst-agent.service
}

main() {
  find_node
  choose_home
  install_agent
  write_settings
  [ "$RUNTIME" = process ] || [ -S /var/run/docker.sock ] ||
    say "No Docker engine was found: game servers will run as plain processes until there is one."
  if has_systemd; then
    install_service
    say "Done: the agent of node \"$NODE_NAME\" runs as catalyst-agent.service."
    say "Next: the panel shows the node as online within seconds. If it does not: journalctl -u catalyst-agent -e"
  else
    say "Done: the agent of node \"$NODE_NAME\" is in $CATALYST_HOME."
    say "Next: there is no systemd to run it, so run it yourself, and keep it running:"
    say "  sh $CATALYST_HOME/run.sh"
  fi
}

main
`;
