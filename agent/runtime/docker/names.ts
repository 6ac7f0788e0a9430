import { isIP } from 'node:net';
import { posix } from 'node:path';
import type { ServerNetwork } from '../../../src/protocol/server-specification.js';
import { type ServerPlan, UUID_PATTERN } from '../runtime.js';
import { isInSubnet } from './subnets.js';

/**
 * Everything that becomes part of a request to the engine is checked here, whoever checked it before: a
 * mistake of the panel's must not become another container's name or a mount of the host's directories.
 */
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,63}$/;
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/;
/** The engine's own, in which nothing has an address that was chosen. */
const BUILT_IN_NETWORKS = ['bridge', 'host', 'none', 'default'];
/** With a number of a VLAN behind a dot, the engine makes that interface. */
const INTERFACE_NAME = /^[a-zA-Z0-9_-]{1,15}(?:\.[0-9]{1,4})?$/;
const NODE_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/;
const VARIABLE_NAME = /^[a-zA-Z_][a-zA-Z0-9_.-]{0,127}$/;
const DATA_PATH = /^(?:\/[a-zA-Z0-9_.-]+){1,16}$/;
/** A program of the install image: by its name, or where it is. */
const INSTALL_SHELL = /^(?:[a-zA-Z0-9_-]{1,32}|(?:\/[a-zA-Z0-9_.-]{1,32}){1,8})$/;
/** Mounting the server's directory over one of these breaks the container or opens the kernel's files to it. */
const RESERVED_PATHS = ['/proc', '/sys', '/dev', '/etc', '/bin', '/sbin', '/lib', '/lib64', '/usr'];

const IMAGE_MAX_LENGTH = 512;
const HOST = '[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?';
const PATH_PART = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
/** https://pkg.go.dev/github.com/distribution/reference#pkg-overview, without IPv6 hosts. */
const IMAGE = new RegExp(
  `^(?:${HOST}/)?${PATH_PART}(?:/${PATH_PART}){0,9}` +
    '(?::(?<tag>[\\w][\\w.-]{0,127}))?(?:@(?<digest>sha256:[a-f0-9]{64}))?$',
);

export function checkUuid(uuid: string): void {
  if (!UUID_PATTERN.test(uuid)) throw new Error(`not a server's UUID: ${JSON.stringify(uuid)}`);
}

export function checkNodeId(nodeId: string): void {
  if (!NODE_ID.test(nodeId)) throw new Error(`not a node's id: ${JSON.stringify(nodeId)}`);
}

/** `isFloating`: the reference may mean another image tomorrow, so the registry should be asked each time. */
export function parseImage(reference: string): { reference: string; isFloating: boolean } {
  const match = reference.length <= IMAGE_MAX_LENGTH ? IMAGE.exec(reference) : null;
  if (match === null) throw new Error(`not the name of an image: ${JSON.stringify(reference.slice(0, 100))}`);
  const { tag, digest } = match.groups ?? {};
  return { reference, isFloating: digest === undefined && (tag === undefined || tag === 'latest') };
}

/** Throws an Error that names the first thing in the plan which the engine must not be given. */
export function checkPlan(plan: ServerPlan): void {
  checkUuid(plan.uuid);
  parseImage(plan.image);
  if (plan.installImage !== null) parseImage(plan.installImage);
  if (!CONTAINER_NAME.test(plan.containerName)) refuse('container name', plan.containerName);
  if (!NETWORK_NAME.test(plan.networkMode)) refuse('network name', plan.networkMode);
  if (!isDataPath(plan.dataPath)) refuse('data path', plan.dataPath);
  const { installDataPath, installShell, network } = plan;
  if (installDataPath !== null && !isDataPath(installDataPath)) refuse('data path', installDataPath);
  if (!INSTALL_SHELL.test(installShell)) refuse('install shell', installShell);
  if (network !== null) checkNetwork(network);
  if (!posix.isAbsolute(plan.directory) || plan.directory.includes('\0')) refuse('directory', plan.directory);
  for (const [name, value] of Object.entries(plan.environment)) {
    if (!VARIABLE_NAME.test(name)) refuse('variable name', name);
    if (value.includes('\0')) refuse(`value of ${name}`, value);
  }
  for (const word of plan.command) if (word.includes('\0')) refuse('command word', word);
  for (const { hostIp, hostPort, containerPort } of plan.ports) {
    if (isIP(hostIp) === 0) refuse('host address', hostIp);
    for (const port of [hostPort, containerPort]) if (!isPort(port)) refuse('port', String(port));
  }
  for (const size of [plan.memoryMb, plan.cpuCores, plan.diskMb]) {
    if (!(Number.isFinite(size) && size > 0)) refuse('limit', String(size));
  }
}

function checkNetwork({ name, parentInterface, cidr, gateway, ipAddress }: ServerNetwork): void {
  if (!NETWORK_NAME.test(name) || BUILT_IN_NETWORKS.includes(name)) refuse('network name', name);
  if (parentInterface !== null && !INTERFACE_NAME.test(parentInterface)) refuse('interface', parentInterface);
  if (!isInSubnet(ipAddress, cidr)) refuse(`address in ${cidr}`, ipAddress);
  if (gateway !== null && !isInSubnet(gateway, cidr)) refuse(`gateway in ${cidr}`, gateway);
}

function isDataPath(path: string): boolean {
  if (!DATA_PATH.test(path) || posix.normalize(path) !== path) return false;
  return !RESERVED_PATHS.some((reserved) => path === reserved || path.startsWith(`${reserved}/`));
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function refuse(what: string, value: string): never {
  throw new Error(`not a ${what} that a container may have: ${JSON.stringify(value.slice(0, 100))}`);
}
