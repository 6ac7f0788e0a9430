import type Docker from 'dockerode';
import type { ServerNetwork } from '../../../src/protocol/server-specification.js';
import type { ServerPlan } from '../runtime.js';
import { isIpv6 } from './subnets.js';

/** Who a container is for; with the node's id it makes the labels by which containers are found again. */
export type ContainerRole = 'server' | 'install';

export const Label = { server: 'catalyst.server', node: 'catalyst.node', role: 'catalyst.role' } as const;

export interface ContainerSetting {
  nodeId: string;
  /** What the container's processes run as: never 0. */
  uid: number;
  gid: number;
  /** The engine refuses a limit above what the machine has. */
  machineCores: number;
  /** Whether the engine's storage driver can limit a container's own layer. */
  canLimitDisk: boolean;
}

const PIDS_MAX = 512;
/** Package managers and unpackers need this much, however small the server is. */
const INSTALL_MEMORY_MIN_MB = 1024;
/** When the machine runs out of memory, a game goes before the agent, the engine and the database. */
const OOM_SCORE_ADJUSTMENT = 300;
/**
 * So much of each server's output the engine keeps, which is how far back an agent that was away can go on.
 * Each line costs about 75 bytes more there than on the console.
 */
const LOG_FILE_MAX = '16m';
const LOG_FILES_MAX = '3';
/**
 * What package managers and unpackers need as root: to write, give away and change files of others (apt, dpkg, tar, chown),
 * and to become another user (apt's downloads, su). Nothing that reaches beyond the container's own files.
 */
const ROOT_CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID'];
const MEGABYTE = 1024 * 1024;

/** The server's own container, as `docker create` would be told. */
export function serverContainer(plan: ServerPlan, setting: ContainerSetting): Docker.ContainerCreateOptions {
  const publishes = plan.networkMode !== 'host' && plan.network === null;
  return {
    ...commonOptions(plan, setting, 'server'),
    name: plan.containerName,
    Image: plan.image,
    OpenStdin: true,
    // The image's own command may rely on its own working directory.
    ...(plan.command.length > 0 && { Cmd: plan.command, WorkingDir: plan.dataPath }),
    ...(publishes && { ExposedPorts: exposedPorts(plan) }),
    HostConfig: {
      ...hostConfig(plan, setting, plan.memoryMb),
      NetworkMode: plan.network?.name ?? plan.networkMode,
      Mounts: [mount(plan, plan.dataPath)],
      ...(publishes && { PortBindings: portBindings(plan) }),
    },
    ...(plan.network !== null && { NetworkingConfig: networkingConfig(plan.network) }),
  };
}

function networkingConfig({ name, ipAddress }: ServerNetwork) {
  const address = isIpv6(ipAddress) ? { IPv6Address: ipAddress } : { IPv4Address: ipAddress };
  return { EndpointsConfig: { [name]: { IPAMConfig: address } } };
}

/** The container that runs the template's install script in the server's directory, once. */
export function installContainer(
  plan: ServerPlan,
  setting: ContainerSetting,
  script: string,
): Docker.ContainerCreateOptions {
  const dataPaths = new Set([plan.dataPath, plan.installDataPath ?? plan.dataPath]);
  return {
    ...commonOptions(plan, setting, 'install'),
    name: `${plan.containerName}-install`,
    Image: plan.installImage ?? plan.image,
    OpenStdin: false,
    Entrypoint: [plan.installShell, '-c'],
    Cmd: [script.replaceAll('\r\n', '\n')],
    WorkingDir: plan.installDataPath ?? plan.dataPath,
    HostConfig: {
      ...hostConfig(plan, setting, Math.max(plan.memoryMb, INSTALL_MEMORY_MIN_MB)),
      ...(plan.installAsRoot && { CapAdd: ROOT_CAPABILITIES }),
      // An address of its own is the server's; the script only has to reach others.
      NetworkMode: plan.network === null ? plan.networkMode : 'bridge',
      Mounts: [...dataPaths].map((path) => mount(plan, path)),
    },
  };
}

function commonOptions(plan: ServerPlan, setting: ContainerSetting, role: ContainerRole) {
  const isRoot = role === 'install' && plan.installAsRoot;
  // The unprivileged user has no entry in the image's passwd, so its home would be `/`, where it may not write.
  const environment = { HOME: isRoot ? '/root' : plan.dataPath, ...plan.environment };
  return {
    User: isRoot ? '0:0' : `${setting.uid}:${setting.gid}`,
    Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    Labels: { [Label.server]: plan.uuid, [Label.node]: setting.nodeId, [Label.role]: role },
    Tty: false,
    StdinOnce: false,
  } satisfies Docker.ContainerCreateOptions;
}

/**
 * What holds for every container. No capability is added back: processes of an unprivileged user lose them
 * at exec anyway, ports below 1024 are the host side's business, and images that change the owner of
 * their files as root skip that when they find themselves started as another user.
 */
function hostConfig(plan: ServerPlan, setting: ContainerSetting, memoryMb: number): Docker.HostConfig {
  const memoryBytes = Math.round(memoryMb * MEGABYTE);
  return {
    Privileged: false,
    CapDrop: ['ALL'],
    CapAdd: [],
    SecurityOpt: ['no-new-privileges'],
    PidsLimit: PIDS_MAX,
    Memory: memoryBytes,
    MemorySwap: memoryBytes,
    NanoCpus: Math.round(Math.min(plan.cpuCores, setting.machineCores) * 1e9),
    OomScoreAdj: OOM_SCORE_ADJUSTMENT,
    // A core dump of a game of many gigabytes would fill the disk.
    Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
    ...(setting.canLimitDisk && { StorageOpt: { size: `${Math.ceil(plan.diskMb)}M` } }),
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    IpcMode: 'private',
    ReadonlyRootfs: false,
    // Reaps the zombies of games that start programs, and passes signals to a game that, as process 1, would ignore them.
    Init: true,
    LogConfig: {
      Type: 'json-file',
      // Blocking: the other mode drops lines silently once its buffer is full. What a game waits for here is a
      // write to the engine's local file, never an agent, a panel or a subscriber.
      Config: { 'max-size': LOG_FILE_MAX, 'max-file': LOG_FILES_MAX, mode: 'blocking' },
    },
  };
}

function mount({ directory }: ServerPlan, path: string): Docker.MountSettings {
  return { Type: 'bind', Source: directory, Target: path, BindOptions: { Propagation: 'rprivate' } };
}

function exposedPorts(plan: ServerPlan): Record<string, object> {
  return Object.fromEntries(
    plan.ports.flatMap(({ containerPort }) => [
      [`${containerPort}/tcp`, {}],
      [`${containerPort}/udp`, {}],
    ]),
  );
}

function portBindings(plan: ServerPlan): Docker.PortMap {
  const bindings: Docker.PortMap = {};
  for (const { hostIp, hostPort, containerPort } of plan.ports) {
    for (const protocol of ['tcp', 'udp']) {
      const name = `${containerPort}/${protocol}`;
      bindings[name] = [...(bindings[name] ?? []), { HostIp: hostIp, HostPort: String(hostPort) }];
    }
  }
  return bindings;
}
