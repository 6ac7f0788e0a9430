import type { Cell, Recipes, RouteRequest } from '../recipe.js';
import { nextPort, unique } from '../world.js';

export const SERVERS: Recipes = {
  'GET /api/servers': {},
  'POST /api/servers': {
    status: 201,
    request: ({ world, caller }) => ({
      body: {
        name: unique('server'),
        description: 'a game',
        templateId: world.templateId,
        nodeId: world.nodeId,
        locationId: world.locationId,
        ownerId: caller.id,
        allocatedMemoryMb: 64,
        allocatedCpuCores: 0.1,
        allocatedDiskMb: 64,
        primaryPort: 25_565,
        portBindings: { '25565': nextPort() },
        networkMode: 'bridge',
        environment: { MOTD: 'welcome' },
        restartPolicy: 'on-failure',
        maxCrashCount: 3,
      },
    }),
  },
  'GET /api/servers/{serverId}': {},
  'PUT /api/servers/{serverId}': {
    request: () => ({
      body: {
        name: unique('server'),
        description: 'another game',
        environment: { MOTD: 'good day' },
        restartPolicy: 'always',
        maxCrashCount: 4,
      },
    }),
  },
  'DELETE /api/servers/{serverId}': {},
  'POST /api/servers/{serverId}/install': { server: { installedAt: null } },
  'POST /api/servers/{serverId}/start': {},
  'POST /api/servers/{serverId}/stop': {
    server: { status: 'running', desiredState: 'running' },
    request: () => ({ body: { timeout: 10 } }),
  },
  'POST /api/servers/{serverId}/restart': { server: { status: 'running', desiredState: 'running' } },
  'POST /api/servers/{serverId}/kill': { server: { status: 'running', desiredState: 'running' } },
  'GET /api/servers/{serverId}/logs': {},
  'POST /api/servers/{serverId}/command': {
    server: { status: 'running', desiredState: 'running' },
    request: () => ({ body: { command: 'say hello' } }),
  },
  'POST /api/servers/{serverId}/reinstall': {},
  'POST /api/servers/{serverId}/suspend': {
    statusWhileSuspended: 409,
    request: () => ({ body: { reason: 'Billing issue' } }),
  },
  'POST /api/servers/{serverId}/unsuspend': { server: { suspendedAt: new Date() } },
  'POST /api/servers/{serverId}/reset-crash-count': { server: { crashCount: 3 } },
  'PATCH /api/servers/{serverId}/restart-policy': {
    request: () => ({ body: { restartPolicy: 'always', maxCrashCount: 7 } }),
  },
  'POST /api/servers/{serverId}/clone': {
    status: 201,
    // To copy a server takes seeing it.
    needs: ['server.read'],
    request: ({ world }) => ({
      body: { name: unique('clone'), nodeId: world.nodeId, locationId: world.locationId },
    }),
  },
  'POST /api/servers/{serverId}/transfer': {
    server: { installedAt: null },
    request: async ({ world }) => ({ body: { targetNodeId: (await world.onlineNode()).id } }),
  },
  'PUT /api/servers/{serverId}/owner': {
    request: async ({ world }) => ({ body: { ownerId: (await world.user()).id } }),
  },
  'GET /api/servers/{serverId}/variables': {},
  'PUT /api/servers/{serverId}/variables': { request: () => ({ body: { variables: { MOTD: 'good day' } } }) },
  'GET /api/servers/{serverId}/stats': {},
  'GET /api/servers/{serverId}/metrics': {},
  'GET /api/servers/{serverId}/activity': {},
  'GET /api/servers/{serverId}/allocations': {},
  'POST /api/servers/{serverId}/allocations': {
    request: () => ({ body: { containerPort: 25_570, hostPort: nextPort() } }),
  },
  'DELETE /api/servers/{serverId}/allocations/{containerPort}': {
    request: async (cell) => ({ parameters: { containerPort: String(await secondPort(cell)) } }),
  },
  'POST /api/servers/{serverId}/allocations/primary': {
    request: async (cell) => ({ body: { containerPort: await secondPort(cell) } }),
  },
  'GET /api/servers/{serverId}/members': {},
  'POST /api/servers/{serverId}/members': {
    status: 201,
    request: async ({ world }) => ({
      body: { userId: (await world.user()).id, permissions: ['member.write'] },
    }),
  },
  'PATCH /api/servers/{serverId}/members/{userId}': {
    request: async (cell) => ({
      parameters: { userId: await someMember(cell) },
      body: { permissions: ['member.write'] },
    }),
  },
  'DELETE /api/servers/{serverId}/members/{userId}': {
    request: async (cell) => ({ parameters: { userId: await someMember(cell) } }),
  },
  'GET /api/servers/{serverId}/databases': {},
  'GET /api/servers/{serverId}/database-hosts': {},
  'POST /api/servers/{serverId}/databases': {
    status: 201,
    request: async ({ world }) => ({
      body: { hostId: await world.databaseHost(), name: unique('db'), remote: '%' },
    }),
  },
  'POST /api/servers/{serverId}/databases/{databaseId}/rotate': { request: someDatabase },
  'DELETE /api/servers/{serverId}/databases/{databaseId}': { request: someDatabase },
};

async function secondPort({ world, server }: Cell): Promise<number> {
  const containerPort = 25_571;
  await world.prisma.allocation.create({
    data: { nodeId: world.nodeId, serverId: server.id, containerPort, hostPort: nextPort() },
  });
  return containerPort;
}

/** Without a right that somebody who changes him may not have. */
async function someMember({ world, server }: Cell): Promise<string> {
  const { id: userId } = await world.user();
  await world.prisma.serverAccess.create({ data: { userId, serverId: server.id, permissions: [] } });
  return userId;
}

/** Made as users make it, for it has to exist on its host. */
async function someDatabase({ world, server }: Cell): Promise<RouteRequest> {
  const administrator = await world.user(['*']);
  const body = { hostId: await world.databaseHost(), name: unique('db') };
  const { suspendedAt } = await world.prisma.server.findUniqueOrThrow({ where: { id: server.id } });
  const suspend = (at: Date | null) =>
    world.prisma.server.update({ where: { id: server.id }, data: { suspendedAt: at } });
  await suspend(null);
  const answer = await world.panel.post(`/api/servers/${server.id}/databases`, body, administrator.token);
  await suspend(suspendedAt);
  return { parameters: { databaseId: answer.body.data.id } };
}
