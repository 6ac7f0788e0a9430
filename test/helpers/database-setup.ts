import { randomBytes } from 'node:crypto';
import { startCuttingProxy } from './cutting-proxy.js';
import type { TestEngine } from './database-engines.js';
import { type Panel, startPanel, type TestUser } from './panel.js';
import { insertServer } from './servers.js';

export interface TestServer {
  id: string;
  /** Of its databases. */
  url: string;
}

export type DatabaseSetup = Awaited<ReturnType<typeof setUpDatabases>>;

/** A panel whose database host is behind a cable that a test can cut. */
export async function setUpDatabases(engine: TestEngine) {
  const logged: string[] = [];
  const panel = await startPanel({ log: { level: 'debug', write: (line) => void logged.push(line) } });
  const administrator = await panel.createAdministrator();
  const owner = await panel.createUser();
  const node = await panel.createNode();
  const template = await panel.createTemplate();
  const cable = await startCuttingProxy(engine);
  const names: string[] = [];
  const host = await createHost(panel, administrator, engine, { host: '127.0.0.1', port: cable.port });

  function own(name: string): string {
    names.push(name);
    return name;
  }

  return {
    panel,
    administrator,
    owner,
    cable,
    host,
    logged,

    async createServer(fields: Record<string, unknown> = {}): Promise<TestServer> {
      const ids = { nodeId: node.id, ownerId: owner.id, templateId: template.id };
      const { id } = await insertServer(panel, { ...ids, ...fields });
      return { id, url: `/api/servers/${id}/databases` };
    },

    /** One that no other test has; what is left of it is dropped at the end. */
    name: (prefix = 'game') => own(`${prefix}_${randomBytes(5).toString('hex')}`),
    own,

    /** Directly at the real server, whatever becomes of the cable. */
    login: (database: { username: string; password: string; name: string }) => engine.login(database),

    finishPending: (panelOrOther: Panel = panel, inMinutes = 3) =>
      panelOrOther.context.databases.finishPending(new Date(Date.now() + inMinutes * 60_000)),

    rows: (where: Record<string, unknown>) =>
      panel.context.database.prisma.serverDatabase.findMany({ where }),

    async close(): Promise<void> {
      cable.restore();
      await cleanUp(panel, engine, names);
      await cable.close();
      await panel.close();
    },
  };
}

/** Through the API. */
export async function createHost(
  panel: Panel,
  administrator: TestUser,
  engine: TestEngine,
  fields: Record<string, unknown> = {},
): Promise<{ id: string; name: string }> {
  const { engine: kind, host, port, username, password } = engine;
  const name = `host ${randomBytes(4).toString('hex')}`;
  const body = { name, engine: kind, host, port, username, password, ...fields };
  const answer = await panel.post('/api/admin/database-hosts', body, administrator.token);
  if (answer.status !== 201) throw new Error(`the host was not made: ${answer.text}`);
  return answer.body.data;
}

/** The server is not the test's own: nothing stays on it. */
async function cleanUp(panel: Panel, engine: TestEngine, names: string[]): Promise<void> {
  const { prisma } = panel.context.database;
  await prisma.serverDatabase.updateMany({ data: { state: 'deleting', stateChangedAt: new Date(0) } });
  while ((await panel.context.databases.finishPending(new Date())) > 0);
  for (const name of names) {
    if (await engine.hasDatabase(name)) await engine.operate(`DROP DATABASE ${engine.quote(name)}`);
  }
}
