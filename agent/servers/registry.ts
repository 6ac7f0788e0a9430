import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { AgentMessage, InventoryEntry } from '../../src/protocol/agent-messages.js';
import { readFileIfExists, writeFileAtomically } from '../atomic-file.js';
import type { Configurator } from '../config-files/configurator.js';
import { type Runtime, UUID_PATTERN } from '../runtime/runtime.js';
import { createConsole } from './console.js';
import type { ServerDirectories } from './directories.js';
import type { DiskUsage } from './disk-limit.js';
import { type Launch, newRecord, ServerRecord } from './record.js';
import { Refusal } from './refusal.js';
import { createServer, type GameServer, type ServerTimings } from './server.js';

export interface RegistryOptions {
  dataDir: string;
  runtime: Runtime;
  directories: ServerDirectories;
  configurator: Configurator;
  diskUsage: DiskUsage;
  timings: ServerTimings;
  /** False: there is no connection or no room; what was sent is lost, or sent again by whoever asks. */
  send(message: AgentMessage): boolean;
  log: Logger;
}

/** Every server that this agent knows. */
export interface Registry {
  /** Read what earlier agent processes wrote down and take their servers up. */
  load(): Promise<void>;
  all(): GameServer[];
  /** @throws Refusal when the server is not known, or known by another UUID. */
  get(address: ServerAddress): GameServer;
  find(serverId: string): GameServer | null;
  findByUuid(uuid: string): GameServer | null;
  /** As `get`, but a server that is not known is added. */
  getOrAdd(address: ServerAddress, launch: Launch): GameServer;
  /** Remove everything there is of the server, also of one that is not known any more. */
  remove(address: ServerAddress): Promise<void>;
  inventory(): InventoryEntry[];
  /** The link is up: consoles go on where the panel says it is. */
  connectConsoles(panel: PanelConsoles): void;
  detach(): Promise<void>;
}

export interface PanelConsoles {
  /** The last line that the panel has, by server. */
  storedSeqs: Map<string, number>;
  /** Whether the panel will say what it has stored. */
  acknowledges: boolean;
}

export interface ServerAddress {
  serverId: string;
  serverUuid: string;
}

/** All consoles share so much memory for lines that the panel has not acknowledged. */
const CONSOLE_BUFFERS_MAX_BYTES = 64 * 1024 * 1024;
const CONSOLE_BUFFER_MAX_BYTES = 8 * 1024 * 1024;
const CONSOLE_BUFFER_MIN_BYTES = 512 * 1024;
const OTHER_RUNTIME_REASON = 'This node runs servers in another way now: install the server again.';

export function createRegistry(options: RegistryOptions): Registry {
  const { dataDir, runtime, directories, send, log } = options;
  const stateDirectory = join(dataDir, 'state');
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const servers = new Map<string, GameServer>();
  /** What the panel said at the last handshake; null before the first. */
  let panel: PanelConsoles | null = null;

  const statePath = (uuid: string) => join(stateDirectory, `${uuid}.json`);
  const journalPath = (uuid: string) => join(dataDir, 'journals', `${uuid}.log`);
  const bufferLimitBytes = () =>
    Math.max(
      CONSOLE_BUFFER_MIN_BYTES,
      Math.min(CONSOLE_BUFFER_MAX_BYTES, CONSOLE_BUFFERS_MAX_BYTES / Math.max(1, servers.size)),
    );

  function save(record: ServerRecord) {
    try {
      writeFileAtomically(statePath(record.uuid), JSON.stringify(record));
    } catch (error) {
      // The server goes on with what is in memory; the next change tries again.
      log.error({ error, serverId: record.serverId }, 'the state of a server could not be written');
    }
  }

  function add(record: ServerRecord): GameServer {
    const { serverId, uuid } = record;
    const console = createConsole({
      serverId,
      journalPath: journalPath(uuid),
      bufferLimitBytes,
      send,
      log,
    });
    const server = createServer({ ...options, record, console, save, publish: send });
    servers.set(serverId, server);
    if (panel !== null) console.connect(panel.storedSeqs.get(serverId) ?? null, panel.acknowledges);
    return server;
  }

  function find(serverId: string): GameServer | null {
    return servers.get(serverId) ?? null;
  }

  function findChecked({ serverId, serverUuid }: ServerAddress): GameServer | null {
    if (!UUID_PATTERN.test(serverUuid))
      throw new Refusal('server.uuid_invalid', 'This is not the UUID of a server.');
    const server = find(serverId);
    const isOther = server !== null && server.uuid !== serverUuid;
    const isTaken = server === null && [...servers.values()].some(({ uuid }) => uuid === serverUuid);
    if (isOther || isTaken)
      throw new Refusal('server.mismatch', 'The id and the UUID are of two different servers.');
    return server;
  }

  return {
    async load() {
      const names = readdirSync(stateDirectory).filter((name) =>
        UUID_PATTERN.test(name.replace(/\.json$/, '')),
      );
      const loaded = names.map((name) => loadRecord(join(stateDirectory, name), runtime.kind, log));
      for (const record of loaded) if (record !== null) add(record);
      await Promise.all([...servers.values()].map((server) => server.recover()));
      const known = new Set([...servers.values()].map(({ uuid }) => uuid));
      const unknown = (await runtime.list()).filter((uuid) => !known.has(uuid));
      if (unknown.length > 0) log.warn({ unknown }, 'the runtime has servers that nothing is known of');
    },
    all: () => [...servers.values()],
    get(address) {
      const server = findChecked(address);
      if (server === null)
        throw new Refusal('server.not_installed', 'The server is not installed on this node.');
      return server;
    },
    find,
    findByUuid: (uuid) => [...servers.values()].find((server) => server.uuid === uuid) ?? null,
    getOrAdd(address, launch) {
      const { serverId, serverUuid: uuid } = address;
      return findChecked(address) ?? add(newRecord({ serverId, uuid, runtime: runtime.kind }, launch));
    },
    async remove(address) {
      const server = findChecked(address);
      if (server === null) {
        await runtime.remove(address.serverUuid);
        await directories.remove(address.serverUuid);
      } else {
        await server.destroy();
        servers.delete(server.serverId);
      }
      for (const path of [journalPath(address.serverUuid), statePath(address.serverUuid)]) {
        // The second is there when an agent was killed in the middle of writing.
        for (const file of [path, `${path}.tmp`]) rmSync(file, { force: true });
      }
      log.info({ serverId: address.serverId }, 'server removed');
    },
    inventory: () => [...servers.values()].map((server) => server.observe()),
    connectConsoles(connected) {
      panel = connected;
      for (const { serverId, console } of servers.values()) {
        console.connect(connected.storedSeqs.get(serverId) ?? null, connected.acknowledges);
      }
    },
    async detach() {
      await Promise.all([...servers.values()].map((server) => server.detach()));
    },
  };
}

function loadRecord(path: string, kind: Runtime['kind'], log: Logger): ServerRecord | null {
  try {
    const record = ServerRecord.parse(JSON.parse(readFileIfExists(path) ?? ''));
    if (record.runtime === kind) return record;
    log.warn({ serverId: record.serverId, before: record.runtime, now: kind }, 'the runtime has changed');
    return {
      ...newRecord({ serverId: record.serverId, uuid: record.uuid, runtime: kind }, record.launch),
      isOwnershipUnsettled: record.isOwnershipUnsettled,
      reason: OTHER_RUNTIME_REASON,
    };
  } catch (error) {
    log.error({ error, path }, 'the state of a server cannot be read; the server is left alone');
    return null;
  }
}
