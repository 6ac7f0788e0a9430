import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { generateSecret } from 'otplib';
import { inject } from 'vitest';
import type { PrismaClient } from '../../src/generated/prisma/client.js';
import { createSecrets, hashToken } from '../../src/lib/secrets.js';
import { createAccessTokens } from '../../src/modules/auth/access-tokens.js';
import { createApiKeyTokens } from '../../src/modules/auth/keys/api-key-tokens.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { PanelOptions, TestUser } from '../helpers/panel.js';
import { JWT_SECRET, SECRETS_KEY } from '../helpers/panel.js';

/** Of every account here. */
const PASSWORD = 'a perfectly good password';

export type World = Awaited<ReturnType<typeof createWorld>>;

/** Somebody who asks. `token` is a session's or an API key. */
export interface Caller extends TestUser {
  apiKeyId?: string;
}

/** A panel with a connected node and a template, and quick ways to make whatever a request can be about. */
export async function createWorld(options: PanelOptions = {}) {
  const panel: PanelWithDoors = await startPanelWithDoors(options);
  const { prisma } = panel.context.database;
  const {
    id: nodeId,
    secret,
    location,
  } = await panel.createNode({
    maxMemoryMb: 10_000_000,
    maxCpuCores: 4000,
  });
  const template = await panel.createTemplate({
    variables: [{ name: 'MOTD', description: 'What players read', default: 'hello' }],
  });
  const agent: DocumentedAgent = await panel.connect({ nodeId, token: secret });
  await agent.next('node_handshake_response');
  const secrets = createSecrets(SECRETS_KEY);
  // Signing in and hashing a password for each caller would take minutes in all.
  const accessTokens = createAccessTokens(JWT_SECRET);
  const apiKeyTokens = createApiKeyTokens(SECRETS_KEY);
  const databaseServer = serverAddress(inject('databaseServerUrl'));
  const sample = await panel.createUser();
  let fileNode: Promise<FileNode> | undefined;
  const { passwordHash } = await prisma.user.findUniqueOrThrow({ where: { id: sample.id } });

  return {
    panel,
    prisma,
    /** What nobody may be shown. */
    secrets: [PASSWORD, passwordHash, JWT_SECRET, SECRETS_KEY, databaseServer.password],
    nodeId,
    locationId: location.id,
    templateId: template.id,
    agent,

    /** An account with a role of its own that holds these rights, signed in. */
    async user(permissions: readonly string[] = []): Promise<Caller> {
      const username = unique('user');
      const account = { email: `${username}@example.com`, username };
      const { id } = await prisma.user.create({
        data: { ...account, emailKey: account.email, usernameKey: username, passwordHash },
        select: { id: true },
      });
      if (permissions.length > 0) await this.role(permissions, id);
      const session = await prisma.session.create({
        data: { userId: id, expiresAt: new Date(Date.now() + 3_600_000) },
        select: { id: true },
      });
      const token = accessTokens.sign({ userId: id, ...account, sessionId: session.id, permissions: [] });
      return { id, ...account, password: PASSWORD, token };
    },

    /** The same with an API key instead of a session. */
    async apiKey(owner: readonly string[], narrowedTo: readonly string[]): Promise<Caller> {
      const user = await this.user(owner);
      const key = apiKeyTokens.create();
      const { id } = await insertApiKey(prisma, user.id, key, narrowedTo);
      return { ...user, token: key, apiKeyId: id };
    },

    session: async (userId: string) => {
      const expiresAt = new Date(Date.now() + 3_600_000);
      return (await prisma.session.create({ data: { userId, expiresAt }, select: { id: true } })).id;
    },

    insertApiKey: async (userId: string) =>
      (await insertApiKey(prisma, userId, apiKeyTokens.create(), ['*'])).id,

    async sshKey(userId: string): Promise<string> {
      const [type = '', publicKey = ''] = sshPublicKey().split(' ');
      const key = { userId, name: 'a key', type, publicKey, fingerprint: unique('fingerprint') };
      return (await prisma.sshKey.create({ data: key, select: { id: true } })).id;
    },

    /** The secret of an authenticator app, which is in use when it is confirmed. */
    async twoFactor(userId: string, isConfirmed: boolean): Promise<string> {
      const secret = generateSecret();
      const secretEncrypted = secrets.seal(secret);
      const confirmedAt = isConfirmed ? new Date() : null;
      await prisma.twoFactor.create({ data: { userId, secretEncrypted, confirmedAt } });
      return secret;
    },

    role: (permissions: readonly string[], userId?: string) =>
      prisma.role.create({
        data: {
          name: unique('role'),
          permissions: [...permissions],
          ...(userId && { users: { create: { userId } } }),
        },
        select: { id: true, name: true },
      }),

    /** With a primary port, on the connected node. */
    server: (ownerId: string, fields: Record<string, unknown> = {}) => {
      const uuid = randomUUID();
      const port = nextPort();
      return prisma.server.create({
        data: {
          uuid,
          name: unique('server'),
          ownerId,
          nodeId,
          templateId: template.id,
          allocatedMemoryMb: 64,
          allocatedCpuCores: 0.1,
          allocatedDiskMb: 64,
          primaryPort: 25_565,
          containerName: `catalyst-${uuid.slice(0, 8)}`,
          installedAt: new Date(),
          allocations: { create: { nodeId, containerPort: 25_565, hostPort: port, isPrimary: true } },
          ...fields,
        },
        select: { id: true, uuid: true, name: true },
      });
    },

    /** Moves the server to a node with a real agent and installs it there, whatever its row says. Answers its directory. */
    async installWithFiles({ id, uuid }: { id: string; uuid: string }): Promise<string> {
      fileNode ??= startFileNode(panel);
      const node = await fileNode;
      const { status, suspendedAt } = await prisma.server.findUniqueOrThrow({ where: { id } });
      await prisma.allocation.updateMany({ where: { serverId: id }, data: { nodeId: node.id } });
      await prisma.server.update({ where: { id }, data: { nodeId: node.id, suspendedAt: null } });
      return node.install({ id, uuid }, { status, suspendedAt });
    },

    location: () => prisma.location.create({ data: { name: unique('location') } }),

    onlineNode() {
      return this.node({ isOnline: true, lastSeenAt: new Date(), maxMemoryMb: 1_000_000, maxCpuCores: 1000 });
    },

    node(fields: Record<string, unknown> = {}) {
      return prisma.node.create({
        data: {
          name: unique('node'),
          locationId: location.id,
          hostname: 'node.example.com',
          publicAddress: '192.0.2.1',
          secretEncrypted: secrets.seal(unique('secret')),
          maxMemoryMb: 1024,
          maxCpuCores: 4,
          ...fields,
        },
      });
    },

    deploymentToken: (node: string) =>
      prisma.deploymentToken.create({
        data: {
          nodeId: node,
          tokenHash: hashToken(unique('token')),
          expiresAt: new Date(Date.now() + 3_600_000),
        },
      }),

    template: () =>
      prisma.template.create({
        data: { name: unique('template'), dockerImage: 'debian:bookworm-slim', startCommand: 'sleep 1000' },
      }),

    ipPool: (onNodeId = nodeId) => {
      const third = nextPort() % 250;
      return prisma.ipPool.create({
        data: {
          nodeId: onNodeId,
          name: unique('pool'),
          networkName: unique('net'),
          cidr: `10.${randomBytes(1)[0]}.${third}.0/24`,
        },
      });
    },

    databaseServer,

    /** The PostgreSQL of the tests, for databases of servers. */
    async databaseHost(): Promise<string> {
      const { password, ...address } = databaseServer;
      const host = { ...address, name: unique('host'), passwordEncrypted: secrets.seal(password) };
      const row = await prisma.databaseHost.create({
        data: { ...host, engine: 'postgresql' },
        select: { id: true },
      });
      return row.id;
    },

    async close(): Promise<void> {
      await (await fileNode)?.close();
      await agent.disconnect();
      await panel.close();
    },
  };
}

function insertApiKey(prisma: PrismaClient, userId: string, key: string, permissions: readonly string[]) {
  return prisma.apiKey.create({
    data: {
      userId,
      name: 'a key',
      prefix: key.slice(0, 12),
      tokenHash: hashToken(key),
      permissions: [...permissions],
    },
    select: { id: true },
  });
}

function serverAddress(text: string) {
  const { hostname, port, username, password } = new URL(text);
  return {
    host: hostname,
    port: Number(port),
    username: decodeURIComponent(username),
    // The server of the tests trusts whoever comes from this machine.
    password: decodeURIComponent(password) || 'none',
  };
}

/** A new ed25519 key as it is in a file that ends in `.pub`. */
export function sshPublicKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(String(publicKey.export({ format: 'jwk' }).x), 'base64url');
  const parts = [Buffer.from('ssh-ed25519'), point].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  return `ssh-ed25519 ${Buffer.concat(parts).toString('base64')} somebody@example.com`;
}

export function unique(noun: string): string {
  return `${noun}_${randomBytes(5).toString('hex')}`;
}

let lastPort = 30_000;

/** A host port that nothing else in this process was given. */
export function nextPort(): number {
  lastPort += 1;
  return lastPort;
}
