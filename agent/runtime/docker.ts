import { Agent } from 'node:http';
import Docker from 'dockerode';
import type { Logger } from 'pino';
import { callEngine, inspectContainer } from './docker/call.js';
import { createContainerStore } from './docker/containers.js';
import { type ContainerSetting, serverContainer } from './docker/create.js';
import { engineMessage, isUnavailable, startFailure } from './docker/errors.js';
import { createInput } from './docker/input.js';
import { runInstallScript } from './docker/install.js';
import { checkNodeId, checkPlan, checkUuid } from './docker/names.js';
import { createNetworkStore } from './docker/networks.js';
import { ensureImage } from './docker/pull.js';
import { followServer } from './docker/server.js';
import { InstallError, type Runtime } from './runtime.js';

const ANSWER_TIMEOUT_MS = 2000;
const START_TIMEOUT_MS = 60_000;

/** Whether a Docker engine answers on this socket, within 2 s. */
export async function dockerAnswers(socketPath: string): Promise<boolean> {
  try {
    await new Docker({ socketPath, timeout: ANSWER_TIMEOUT_MS }).ping();
    return true;
  } catch {
    return false;
  }
}

/**
 * Servers as containers of a Docker engine. Of all the containers that the engine has, only those with this node's
 * labels are ever touched. `uid` and `gid` are what the servers run as; 0 is refused.
 */
export async function createDockerRuntime(options: {
  socketPath: string;
  nodeId: string;
  uid: number;
  gid: number;
  log: Logger;
}): Promise<Runtime> {
  const { socketPath, nodeId, uid, gid, log } = options;
  checkNodeId(nodeId);
  if (uid === 0 || gid === 0)
    throw new Error('servers never run as root: choose another SERVER_UID and SERVER_GID');
  // An engine that is being stopped still serves the connections it has, and would start a server only to end it
  // again at once. It takes no new ones, so with a connection for each call it is seen to be away.
  const connection = { socketPath, agent: new Agent({ keepAlive: false }) };
  const docker = new Docker(connection);
  const info = await callEngine(docker, () => docker.info());
  const setting: ContainerSetting = {
    nodeId,
    uid,
    gid,
    machineCores: info.NCPU,
    canLimitDisk: canLimitDisk(info),
  };
  const containers = createContainerStore(docker, nodeId, log);
  const networks = createNetworkStore(docker, nodeId, log);
  // An installation dies with the agent that ran it: nobody would learn of its end.
  for (const container of await containers.find('install')) await containers.remove(container);

  return {
    kind: 'docker',

    async install(plan, listener, signal) {
      return installing(signal, async () => {
        listener.onProgress('preparing', null);
        checkPlan(plan);
        await ensureImage(docker, plan.image, listener, signal);
        await containers.removeOf(plan.uuid);
        const script = plan.installScript?.trim() ? plan.installScript : null;
        if (script !== null) {
          if (plan.installImage !== null) await ensureImage(docker, plan.installImage, listener, signal);
          listener.onProgress('installing', null);
          await runInstallScript({ containers, plan, script, setting, listener, signal, log });
        }
        listener.onProgress('creating', null);
        if (plan.network !== null) await networks.ensure(plan.network);
        const container = await containers.create(serverContainer(plan, setting));
        return { containerId: container.id };
      });
    },

    async start(plan, listener) {
      checkPlan(plan);
      if (plan.network !== null) await networks.ensure(plan.network);
      await containers.removeOf(plan.uuid);
      const container = await containers.create(serverContainer(plan, setting));
      const input = createInput(container);
      try {
        await input.open();
        await callEngine(container, (abortSignal) => container.start({ abortSignal }), START_TIMEOUT_MS);
        const { State } = await inspectContainer(container);
        const startedAt = new Date(State.StartedAt);
        return followServer({ docker, container, startedAt, input, cursor: null, listener, log });
      } catch (error) {
        input.close();
        await containers.remove(container.id);
        throw startFailure(error, plan.containerName);
      }
    },

    async adopt(uuid, cursor, listener) {
      checkUuid(uuid);
      const [id] = await containers.find('server', uuid);
      if (id === undefined) return null;
      const container = docker.getContainer(id);
      const { State } = await inspectContainer(container);
      if (State.Status === 'created') return null;
      const startedAt = new Date(State.StartedAt);
      return followServer({
        docker,
        container,
        startedAt,
        input: createInput(container),
        cursor,
        listener,
        log,
      });
    },

    list: () => containers.uuids(),

    async remove(uuid) {
      checkUuid(uuid);
      await containers.removeOf(uuid);
    },
  };
}

/** overlay2 can on XFS with project quotas only; whether those are on turns out with the first container. */
function canLimitDisk(info: { Driver: string; DriverStatus?: [string, string][] | null }): boolean {
  if (['btrfs', 'zfs'].includes(info.Driver)) return true;
  const fileSystem = info.DriverStatus?.find(([name]) => name === 'Backing Filesystem')?.[1];
  return info.Driver === 'overlay2' && fileSystem === 'xfs';
}

/** Whatever goes wrong in an installation is told as one of the errors that the interface promises. */
async function installing<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  try {
    signal.throwIfAborted();
    return await work();
  } catch (error) {
    if (signal.aborted) throw new DOMException('the installation was stopped', 'AbortError');
    if (error instanceof InstallError || isUnavailable(error)) throw error;
    throw new InstallError(engineMessage(error), null, { cause: error });
  }
}
