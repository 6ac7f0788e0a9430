import type Docker from 'dockerode';
import type { Logger } from 'pino';
import { callEngine } from './call.js';
import { type ContainerRole, Label } from './create.js';
import { DockerError, engineMessage, engineStatus, isMissing, isUnavailable } from './errors.js';

const CREATE_TIMEOUT_MS = 60_000;
/** Removing unmounts and deletes the container's own layer, which takes its time on a busy disk. */
const REMOVE_TIMEOUT_MS = 120_000;

export type ContainerStore = ReturnType<typeof createContainerStore>;

/** This node's containers: the only ones of the engine's that are listed, made or removed. */
export function createContainerStore(docker: Docker, nodeId: string, log: Logger) {
  let canLimitDisk = true;

  return {
    async find(role: ContainerRole, uuid?: string): Promise<string[]> {
      const found = await query(uuid);
      return found.filter(({ Labels }) => Labels[Label.role] === role).map(({ Id }) => Id);
    },

    async uuids(): Promise<string[]> {
      const found = await query();
      return [...new Set(found.map(({ Labels }) => Labels[Label.server] ?? ''))];
    },

    async removeOf(uuid: string): Promise<void> {
      for (const { Id } of await query(uuid)) await remove(Id);
    },

    remove,

    /** Throws an Error that says what the engine has against it. */
    async create(options: Docker.ContainerCreateOptions): Promise<Docker.Container> {
      try {
        return await createOnce(canLimitDisk ? options : withoutDiskLimit(options));
      } catch (error) {
        if (options.HostConfig?.StorageOpt === undefined || !/storage-opt/i.test(engineMessage(error))) {
          throw creationFailure(error, options);
        }
        // Only trying tells whether the file system below overlay2 has its quotas switched on.
        canLimitDisk = false;
        log.warn({ reason: engineMessage(error) }, 'this engine cannot limit the disk of a container');
        return createOnce(withoutDiskLimit(options));
      }
    },
  };

  async function query(uuid?: string): Promise<Docker.ContainerInfo[]> {
    const label = [`${Label.node}=${nodeId}`, uuid === undefined ? Label.server : `${Label.server}=${uuid}`];
    return callEngine(docker, (abortSignal) =>
      docker.listContainers({ all: true, filters: { label }, abortSignal }),
    );
  }

  function createOnce(options: Docker.ContainerCreateOptions): Promise<Docker.Container> {
    return callEngine(
      docker,
      (abortSignal) => docker.createContainer({ ...options, abortSignal }),
      CREATE_TIMEOUT_MS,
    );
  }

  /** Also ends it, and removes the volumes that its image asked for. No error if it is gone. */
  async function remove(id: string): Promise<void> {
    const container = docker.getContainer(id);
    try {
      await callEngine(
        container,
        (abortSignal) => container.remove({ force: true, v: true, abortSignal }),
        REMOVE_TIMEOUT_MS,
      );
    } catch (error) {
      if (isMissing(error)) return;
      if (!/already in progress/.test(engineMessage(error))) throw error;
      const removed = (abortSignal: AbortSignal) => container.wait({ condition: 'removed', abortSignal });
      await callEngine(container, removed, REMOVE_TIMEOUT_MS).catch((gone: unknown) => {
        if (!isMissing(gone)) throw gone;
      });
    }
  }
}

function creationFailure(error: unknown, options: Docker.ContainerCreateOptions): unknown {
  if (isUnavailable(error)) return error;
  const message = engineMessage(error);
  if (engineStatus(error) === 409) {
    // Ours were removed before: whatever still has the name is somebody else's, and stays.
    const sentence = `another container on this node is called ${options.name} and does not belong to this server`;
    return new DockerError('container.name_taken', sentence, { cause: error });
  }
  if (isMissing(error) && /image/i.test(message)) {
    const sentence = `the image ${options.Image} is not on this node: install the server again`;
    return new DockerError('image.missing', sentence, { cause: error });
  }
  const sentence = `the container ${options.name} could not be made: ${message}`;
  return new DockerError('container.failed', sentence, { cause: error });
}

function withoutDiskLimit(options: Docker.ContainerCreateOptions): Docker.ContainerCreateOptions {
  const { StorageOpt: _, ...hostConfig } = options.HostConfig ?? {};
  return { ...options, HostConfig: hostConfig };
}
