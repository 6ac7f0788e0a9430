import { randomUUID } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import type { Config } from './config.js';
import type { LocalNode } from './database/seed.js';
import type { Log } from './lib/log.js';
import { readOrCreate } from './lib/read-or-create.js';
import { reachableDirectory } from './lib/unprivileged.js';

/** The user games run as when the agent is root, unless SERVER_UID and SERVER_GID say otherwise. */
const SERVER_ID = 28_000;
const MEGABYTE = 1024 * 1024;
const LOCAL_HOST = '127.0.0.1';
/** They listen everywhere, so also where this machine finds them. */
const WILDCARDS = new Set(['0.0.0.0', '::', 'localhost', '']);

const Identity = z.object({ nodeId: z.string().min(1).max(64) });

/** This machine as a node. Its id stays with the data directory. */
export function describeLocalNode(config: Config): LocalNode {
  const file = path.join(config.DATA_DIR, 'local-node.json');
  const text = readOrCreate(file, () => `${JSON.stringify({ nodeId: randomUUID() })}\n`);
  return {
    id: Identity.parse(JSON.parse(text)).nodeId,
    hostname: os.hostname(),
    publicAddress: config.PUBLIC_URL ? new URL(config.PUBLIC_URL).hostname : LOCAL_HOST,
    memoryMb: Math.floor(os.totalmem() / MEGABYTE),
    cpuCores: os.availableParallelism(),
  };
}

/** Where the local agent keeps its data and the servers' directories: their unprivileged user must get there. */
export function agentDirectory(config: Config, log: Log): string {
  const isRoot = process.getuid?.() === 0;
  const identity = isRoot
    ? { uid: Number(process.env.SERVER_UID || SERVER_ID), gid: Number(process.env.SERVER_GID || SERVER_ID) }
    : null;
  return reachableDirectory({ dataDir: config.DATA_DIR, name: 'agent', identity, log });
}

/** By which a program on this machine reaches a panel that listens there. */
export function urlOfPanel(host: string, port: number): string {
  const name = WILDCARDS.has(host) ? LOCAL_HOST : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
