import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import pino from 'pino';
import { onTestFinished } from 'vitest';
import { createDockerRuntime } from '../../agent/runtime/docker.js';
import type { InstallListener, Runtime, ServerPlan } from '../../agent/runtime/runtime.js';
import { baseImage, dockerSocket } from '../helpers/docker.js';

/** The engine itself, to see what the runtime really did. */
export const docker = new Docker({ socketPath: dockerSocket });

/** An agent's own identity when it is not root: then servers run as it. */
const ownUid = process.getuid?.() ?? 0;
export const uid = ownUid === 0 ? 28_000 : ownUid;
export const gid = ownUid === 0 ? 28_000 : (process.getgid?.() ?? uid);

/** A node of its own for one test, and nothing of it left afterwards. */
export async function createNode(socketPath = dockerSocket): Promise<{ nodeId: string; runtime: Runtime }> {
  const nodeId = `test-${randomUUID()}`;
  const runtime = await createRuntime(nodeId, socketPath);
  onTestFinished(async () => {
    const cleaner = await createRuntime(nodeId);
    for (const uuid of await cleaner.list()) await cleaner.remove(uuid);
  });
  return { nodeId, runtime };
}

/** A runtime as the next agent process of this node would make it. */
export function createRuntime(nodeId: string, socketPath = dockerSocket): Promise<Runtime> {
  return createDockerRuntime({ socketPath, nodeId, uid, gid, log: pino({ level: 'silent' }) });
}

/** A plan for a shell script as a game, in a directory of its own. */
export async function makePlan(script: string, changes: Partial<ServerPlan> = {}): Promise<ServerPlan> {
  const uuid = randomUUID();
  const directory = await mkdtemp(join(tmpdir(), 'catalyst-docker-'));
  await chown(directory, uid, gid);
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return {
    serverId: 'test',
    uuid,
    containerName: `catalyst-test-${uuid.slice(0, 8)}`,
    image: baseImage,
    command: ['bash', '-c', script],
    environment: {},
    memoryMb: 128,
    cpuCores: 1,
    diskMb: 1024,
    ports: [],
    networkMode: 'bridge',
    network: null,
    directory,
    dataPath: '/data',
    installImage: null,
    installScript: null,
    installShell: 'sh',
    installDataPath: null,
    installAsRoot: false,
    ...changes,
  };
}

export interface Recording extends InstallListener {
  /** All whole lines so far, and what came after the last. */
  lines: string[];
  rest: string;
  cursor: string | null;
  losses: number;
  progress: { phase: string; percent: number | null; message: string | undefined }[];
}

export function record(): Recording {
  const recording: Recording = {
    lines: [],
    rest: '',
    cursor: null,
    losses: 0,
    progress: [],
    onOutput(chunk) {
      const lines = (recording.rest + chunk.data.toString()).split('\n');
      recording.rest = lines.pop() ?? '';
      for (const line of lines) recording.lines.push(line);
      recording.cursor = chunk.cursor;
    },
    onOutputLost() {
      recording.losses += 1;
    },
    onProgress(phase, percent, message) {
      recording.progress.push({ phase, percent, message });
    },
  };
  return recording;
}

/** A socket in front of the engine's whose connections can be cut, as a restart of the engine cuts them. */
export async function createProxy(target: string) {
  const directory = await mkdtemp(join(tmpdir(), 'catalyst-engine-'));
  const path = join(directory, 'docker.sock');
  const connections = new Set<Socket>();
  let server = createServer();
  const reconnect = async () => {
    server = createServer({ allowHalfOpen: true }, (client) => {
      const engine = connect({ path: target, allowHalfOpen: true });
      for (const socket of [client, engine]) {
        connections.add(socket);
        socket.on('close', () => connections.delete(socket));
        socket.on('error', () => undefined);
      }
      client.pipe(engine).pipe(client);
    });
    server.listen(path);
    await once(server, 'listening');
  };
  const disconnect = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of connections) socket.destroy();
    await closed;
  };
  await reconnect();
  onTestFinished(async () => {
    await disconnect();
    await rm(directory, { recursive: true, force: true });
  });
  return { path, disconnect, reconnect };
}
