import { expect, test } from 'vitest';
import { buildApp } from '../../src/app.js';
import { createContext } from '../../src/context.js';
import { createDatabase } from '../../src/database/client.js';
import { attachSockets } from '../../src/upgrade.js';
import { eventually } from '../helpers/condition.js';
import { connectDocumentedAgent, refusedUpgrade } from '../helpers/documented-agent.js';
import { startPanel } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';
import { startTcpProxy } from '../helpers/tcp-proxy.js';

test('what an agent says while the database is away is stored when it is back', async () => {
  const panel = await startPanel();
  const owner = await panel.createUser();
  const node = await panel.createNode();
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id, status: 'starting' });
  const url = new URL(panel.database.url);
  const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  const context = createContext({
    config: panel.config,
    keys: {
      jwtSecret: 'a secret for tests, of 32 bytes or more',
      secretsKey: 'another key for tests, of 32 bytes',
    },
    database: createDatabase({ url: url.href, poolSize: 5, log: panel.log }),
    log: panel.log,
  });
  const app = await buildApp(context);
  const sockets = attachSockets(app.server, context);
  const port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port);
  const agent = await connectDocumentedAgent({ port, nodeId: node.id, token: node.secret });
  await agent.next('node_handshake_response');

  await proxy.cut();
  for (const state of ['running', 'stopping', 'stopped']) agent.report(server.id, state);
  expect(await refusedUpgrade(port, `/ws?nodeId=${node.id}&token=${node.secret}`)).toBe(503);
  const answer = await app.inject({
    method: 'POST',
    url: `/api/servers/${server.id}/stop`,
    headers: { authorization: `Bearer ${owner.token}` },
  });
  expect(answer.statusCode).toBe(503);
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'starting' });

  await proxy.restore();
  await eventually('the last report is stored', async () => {
    const { status } = await storedServer(panel, server.id);
    return status === 'stopped';
  });
  expect(agent.isClosed()).toBe(false);
  await sockets.close();
  await app.close();
  await context.close();
  await context.database.close();
  await proxy.close();
  await panel.close();
});
