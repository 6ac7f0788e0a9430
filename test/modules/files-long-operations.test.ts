import type { ServerHttp2Stream } from 'node:http2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { eventually } from '../helpers/condition.js';
import { connectDataAgent } from '../helpers/data-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let nodeId: string;
let heartbeats: NodeJS.Timeout;
/** What the node is asked and never answers. */
const asked: ServerHttp2Stream[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors();
  const node = await panel.createNode();
  nodeId = node.id;
  const control = await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  heartbeats = setInterval(() => control.send({ type: 'heartbeat' }), 1000);
  await connectDataAgent({ port: panel.port, nodeId, token: node.secret }, (stream) => {
    asked.push(stream);
  });
});

afterAll(async () => {
  clearInterval(heartbeats);
  await panel.close();
});

test.each([
  ['file.copy', 'POST', 'files/copy', { from: '/world', to: '/world2' }],
  ['file.delete', 'DELETE', 'files?path=/world', undefined],
] as const)(
  'a %s ends on the node when its user loses his rights, and is recorded',
  async (action, method, route, body) => {
    const { prisma } = panel.context.database;
    const owner = await panel.createUser();
    const member = await panel.createUser();
    const { id: templateId } = await panel.createTemplate();
    const server = await insertServer(panel, { nodeId, ownerId: owner.id, templateId });
    const permissions = ['server.read', 'file.*'];
    await prisma.serverAccess.create({ data: { serverId: server.id, userId: member.id, permissions } });
    const answer = fetch(`http://127.0.0.1:${panel.port}/api/servers/${server.id}/${route}`, {
      method,
      headers: {
        authorization: `Bearer ${member.token}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const stream = await eventually('the node is asked', () => asked.pop());
    stream.on('error', () => {});
    await prisma.serverAccess.updateMany({
      where: { userId: member.id },
      data: { permissions: ['server.read'] },
    });
    const { status } = await answer;
    expect(status).toBe(403);
    await eventually('the node has stopped', () => stream.closed);
    const rows = await prisma.auditLog.findMany({ where: { serverId: server.id, userId: member.id } });
    expect(rows).toMatchObject([{ action, metadata: { isComplete: false } }]);
  },
);
