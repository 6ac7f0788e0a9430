import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FastifyInstance, InjectOptions } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from '../../src/app.js';
import { type Config, loadConfig } from '../../src/config.js';
import { type Context, createContext } from '../../src/context.js';
import { createDatabase } from '../../src/database/client.js';
import { createLog } from '../../src/http/log.js';
import { createTestDatabase, type TestDatabase } from './database.js';

const PASSWORD = 'a perfectly good password';

/** What panels of tests sign tokens with, and seal secrets with. */
export const JWT_SECRET = 'a secret for tests, of 32 bytes or more';
export const SECRETS_KEY = 'another key for tests, of 32 bytes';

export interface PanelOptions {
  /** Settings as in the environment: `{ REGISTRATION: 'closed' }`. */
  settings?: Record<string, string>;
  /** Another way to the panel's database: through a proxy that a test can cut. */
  reachDatabase?: (url: string) => Promise<string>;
  /** Of another panel: the two then run on one database, as instances do. */
  database?: TestDatabase;
  /** Given, every log line goes there instead of nowhere. */
  log?: { level: string; write: (line: string) => void };
}

export interface TestUser {
  id: string;
  email: string;
  username: string;
  password: string;
  token: string;
}

/** What a test wants to know of an answer. */
export interface Answer {
  status: number;
  headers: Record<string, string | string[] | number | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  body: any;
  text: string;
}

export type Panel = Awaited<ReturnType<typeof startPanel>>;

/** A panel with a database of its own, behind the same HTTP door as the real one. */
export async function startPanel(options: PanelOptions = {}) {
  const database = options.database ?? (await createTestDatabase());
  const dataDir = mkdtempSync(path.join(tmpdir(), 'catalyst-panel-'));
  const databaseUrl = (await options.reachDatabase?.(database.url)) ?? database.url;
  const config = loadConfig({
    DATA_DIR: dataDir,
    DATABASE_URL: databaseUrl,
    // Tests ask more than any user does; those about the limits set their own.
    RATE_LIMIT_PER_MINUTE: '0',
    AUTH_RATE_LIMIT_PER_MINUTE: '0',
    HEALTH_RATE_LIMIT_PER_MINUTE: '0',
    ...options.settings,
  });
  const log = createLog({
    level: options.log?.level ?? 'silent',
    ...(options.log && { destination: { write: options.log.write } }),
  });
  const { context, app } = await buildPanel(config, log, databaseUrl);
  let port = 0;

  async function call(
    method: string,
    url: string,
    body?: unknown,
    token?: string,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await app.inject({
      method: method as 'GET',
      url,
      headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) },
      ...(body !== undefined && { payload: body as NonNullable<InjectOptions['payload']> }),
    });
    const isJson = String(response.headers['content-type'] ?? '').includes('json');
    return {
      status: response.statusCode,
      headers: response.headers,
      body: isJson ? response.json() : undefined,
      text: response.body,
    };
  }

  /** An account with the rights of a role of its own; without rights it is what registering gives. */
  async function createUser(permissions: string[] = []): Promise<TestUser> {
    const name = `user_${randomBytes(4).toString('hex')}`;
    const account = { email: `${name}@example.com`, username: name, password: PASSWORD };
    const { userId } = await context.auth.register(account, { ipAddress: '127.0.0.1', userAgent: undefined });
    if (permissions.length > 0) {
      await context.database.prisma.role.create({
        data: { name: `role of ${name}`, permissions, users: { create: { userId } } },
      });
    }
    const login = await context.auth.login(account, { ipAddress: '127.0.0.1', userAgent: undefined });
    return { id: userId, ...account, token: login.token };
  }

  return {
    config,
    context,
    app,
    database,
    log,
    get: (url: string, token?: string) => call('GET', url, undefined, token),
    post: (url: string, body?: unknown, token?: string) => call('POST', url, body, token),
    put: (url: string, body?: unknown, token?: string) => call('PUT', url, body, token),
    patch: (url: string, body?: unknown, token?: string) => call('PATCH', url, body, token),
    delete: (url: string, token?: string) => call('DELETE', url, undefined, token),
    call,
    createUser,
    createAdministrator: () => createUser(['*']),

    async createLocation(name = `location ${randomBytes(4).toString('hex')}`) {
      return context.database.prisma.location.create({ data: { name } });
    },

    /** A node and the secret that its agent would use. */
    async createNode(fields: { maxMemoryMb?: number; maxCpuCores?: number } & Record<string, unknown> = {}) {
      const location = await this.createLocation();
      const administrator = await this.createAdministrator();
      const answer = await this.post(
        '/api/nodes',
        {
          name: `node ${randomBytes(4).toString('hex')}`,
          locationId: location.id,
          hostname: 'node.example.com',
          publicAddress: '192.0.2.1',
          maxMemoryMb: 32_768,
          maxCpuCores: 16,
          ...fields,
        },
        administrator.token,
      );
      if (answer.status !== 201) throw new Error(`the node was not made: ${answer.text}`);
      return { id: String(answer.body.data.id), secret: String(answer.body.data.secret), location };
    },

    async createTemplate(fields: Record<string, unknown> = {}) {
      const administrator = await this.createAdministrator();
      const answer = await this.post(
        '/api/templates',
        {
          name: `template ${randomBytes(4).toString('hex')}`,
          description: 'For tests',
          dockerImage: 'debian:bookworm-slim',
          startCommand: 'sleep 1000',
          stopCommand: 'stop',
          ports: [{ internal: 25565, external: 25565 }],
          environment: {},
          requiredVariables: [],
          ...fields,
        },
        administrator.token,
      );
      if (answer.status !== 201) throw new Error(`the template was not made: ${answer.text}`);
      return answer.body.data as { id: string; name: string } & Record<string, unknown>;
    },

    /** Listens on a free port of 127.0.0.1 and answers it. */
    async listen(): Promise<number> {
      if (port === 0) port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port);
      return port;
    },

    async close(): Promise<void> {
      await app.close();
      await context.close();
      await context.database.close();
      if (!options.database) await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function buildPanel(
  config: Config,
  log: Logger,
  url: string,
): Promise<{ context: Context; app: FastifyInstance }> {
  const context = createContext({
    config,
    keys: {
      jwtSecret: JWT_SECRET,
      secretsKey: SECRETS_KEY,
    },
    database: createDatabase({ url, poolSize: 10, log }),
    log,
  });
  return { context, app: await buildApp(context) };
}
