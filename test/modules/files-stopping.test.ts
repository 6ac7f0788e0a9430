import type { ServerHttp2Stream } from 'node:http2';
import { expect, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { eventually } from '../helpers/condition.js';
import { connectDataAgent } from '../helpers/data-agent.js';
import { startPanelWithDoors } from '../helpers/doors.js';
import { insertServer } from '../helpers/servers.js';

test('a panel that stops cancels tasks, also those that somebody waits for', async () => {
  const panel = await startPanelWithDoors();
  const node = await panel.createNode();
  await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  const works: ServerHttp2Stream[] = [];
  await connectDataAgent({ port: panel.port, nodeId: node.id, token: node.secret }, (stream) => {
    stream.respond({ ':status': 200 });
    works.push(stream);
  });
  const owner = await panel.createUser();
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  const ask = (query: string) =>
    fetch(`http://127.0.0.1:${panel.port}/api/servers/${server.id}/files/compress${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ paths: ['/'], archiveName: 'a.zip' }),
    });
  const waiting = ask('');
  expect((await ask('?wait=false')).status).toBe(202);
  await eventually('the node is at work', () => works.length === 2);
  const closing = panel.app.close();
  const answer = await waiting;
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ code: 'panel.stopping' });
  await eventually('the node has stopped', () => works.every((stream) => stream.destroyed));
  await Promise.all([closing, panel.close()]);
});
