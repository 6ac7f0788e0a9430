import { randomBytes, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { createDatabase } from '../../src/database/client.js';
import { type Bus, type ConsoleLines, createBus, type Events } from '../../src/events.js';
import type { AgentConnection } from '../../src/gateway/connection.js';
import { createAgentGateway } from '../../src/gateway/gateway.js';
import type { ServerStatus } from '../../src/generated/prisma/enums.js';
import { AppError } from '../../src/lib/errors.js';
import { createConsole } from '../../src/modules/console/service.js';
import { createServerAccess } from '../../src/modules/servers/access.js';
import { Capability, type PanelMessage } from '../../src/protocol/agent-messages.js';
import type { Message } from './mailbox.js';

type Database = ReturnType<typeof createDatabase>;

export function openDatabase(url: string): Database {
  return createDatabase({ url, poolSize: 5, log: pino({ level: 'silent' }) });
}

export interface ServerRow {
  id: string;
  uuid: string;
  nodeId: string;
  ownerId: string;
}

/** A running server; its node and owner are made unless they are given. */
export async function insertServer(
  database: Database,
  fields: { nodeId?: string; ownerId?: string; status?: ServerStatus } = {},
): Promise<ServerRow> {
  const { prisma } = database;
  const name = randomBytes(6).toString('hex');
  const ownerId = fields.ownerId ?? (await insertOwner(database, name));
  const nodeId = fields.nodeId ?? (await insertNode(database, name));
  const template = await prisma.template.create({ data: { name, dockerImage: 'none', startCommand: [] } });
  const { id, uuid } = await prisma.server.create({
    data: {
      uuid: randomUUID(),
      name,
      ownerId,
      nodeId,
      templateId: template.id,
      status: fields.status ?? 'running',
      allocatedMemoryMb: 128,
      allocatedCpuCores: 1,
      allocatedDiskMb: 128,
      primaryPort: 25_565,
      containerName: name,
    },
  });
  return { id, uuid, nodeId, ownerId };
}

async function insertOwner({ prisma }: Database, name: string): Promise<string> {
  const email = `${name}@example.com`;
  const { id } = await prisma.user.create({
    data: { email, emailKey: email, username: name, usernameKey: name, passwordHash: 'none' },
  });
  return id;
}

async function insertNode({ prisma }: Database, name: string): Promise<string> {
  const { id } = await prisma.node.create({
    data: {
      name,
      location: { create: { name } },
      hostname: 'node.example.com',
      publicAddress: '192.0.2.1',
      secretEncrypted: 'none',
      maxMemoryMb: 1024,
      maxCpuCores: 1,
    },
  });
  return id;
}

/** The panel's end of an agent's connection, with what was sent through it. */
export interface FakeConnection extends AgentConnection {
  sent: PanelMessage[];
  closedWith: number | undefined;
  pauses: number;
  acknowledged(serverId: string): number;
}

export function createConnection(
  nodeId: string,
  capabilities = [Capability.consoleSequence],
): FakeConnection {
  const sent: PanelMessage[] = [];
  return {
    nodeId,
    secretVersion: '1',
    capabilities: new Set<string>(capabilities),
    sent,
    closedWith: undefined,
    pauses: 0,
    send(message) {
      sent.push(message);
      return true;
    },
    close(code) {
      this.closedWith = code;
    },
    pause() {
      this.pauses += 1;
    },
    resume() {
      this.pauses -= 1;
    },
    acknowledged(serverId) {
      const acks = sent.flatMap((message) =>
        message.type === 'console_ack' && message.serverId === serverId ? [message.seq] : [],
      );
      return Math.max(0, ...acks);
    },
  };
}

/** The console service of one panel on a real database, and what it published. */
export function openConsole(database: Database) {
  const bus: Bus = createBus();
  const agents = createAgentGateway();
  const lines: ConsoleLines[] = [];
  const gaps: Events['console.gap'][0][] = [];
  const warnings: string[] = [];
  bus.on('console.lines', (batch) => lines.push(batch));
  bus.on('console.gap', (gap) => gaps.push(gap));
  const service = createConsole({
    pool: database.pool,
    agents,
    access: createServerAccess({ pool: database.pool }),
    nodes: { absence: async () => new AppError('node.offline') },
    bus,
    log: pino({ level: 'warn' }, { write: (line) => warnings.push(line) }),
  });
  return { bus, agents, service, lines, gaps, warnings };
}

/** `console_output` as a numbering agent sends it. */
export function numberedOutput(serverId: string, firstSeq: number, texts: readonly string[]) {
  return {
    type: 'console_output' as const,
    serverId,
    stream: 'stdout' as const,
    data: texts.map((text) => `${text}\n`).join(''),
    firstSeq,
    seq: firstSeq + texts.length - 1,
    timestamp: new Date().toISOString(),
  } satisfies Message;
}

/** The stored lines of a server in the order of their numbers. */
export async function storedLines({ pool }: Database, serverId: string) {
  const { rows } = await pool.query<{ seq: string; data: string; stream: string; at: string }>(
    `SELECT "seq"::text AS "seq", "data", "stream", "at"::text AS "at" FROM history.server_logs
     WHERE "serverId" = $1 ORDER BY server_logs."seq", server_logs."at"`,
    [serverId],
  );
  return rows.map(({ seq, ...row }) => ({ seq: Number(seq), ...row }));
}
