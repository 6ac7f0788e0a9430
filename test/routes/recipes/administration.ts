import type { Cell, Recipes, RouteRequest } from '../recipe.js';
import { unique } from '../world.js';

async function someUser({ world }: Cell): Promise<RouteRequest> {
  return { parameters: { userId: (await world.user()).id } };
}

/** With no right that an API key for `admin.write` alone does not hold. */
async function someRole({ world }: Cell): Promise<RouteRequest> {
  return { parameters: { roleId: (await world.role(['admin.write'])).id } };
}

async function somePool({ world }: Cell): Promise<RouteRequest> {
  return { parameters: { poolId: (await world.ipPool()).id } };
}

async function someHost({ world }: Cell): Promise<RouteRequest> {
  return { parameters: { hostId: await world.databaseHost() } };
}

export const ADMINISTRATION: Recipes = {
  'GET /api/admin/users': {},
  'GET /api/admin/users/{userId}': { request: someUser },
  'POST /api/admin/users': {
    status: 201,
    async request({ world }) {
      const username = unique('created');
      const roleIds = [(await world.role(['admin.write'])).id];
      return {
        body: { email: `${username}@example.com`, username, password: 'a good password', roleIds },
      };
    },
  },
  'PUT /api/admin/users/{userId}': {
    async request(cell) {
      const username = unique('changed');
      const body = { email: `${username}@example.com`, username, isDisabled: true };
      return { ...(await someUser(cell)), body };
    },
  },
  'DELETE /api/admin/users/{userId}': { request: someUser },
  'POST /api/admin/users/{userId}/reset-password': {
    request: async (cell) => ({ ...(await someUser(cell)), body: { password: 'another good password' } }),
  },
  'POST /api/admin/users/{userId}/disable-two-factor': {
    async request({ world }) {
      const { id } = await world.user();
      await world.twoFactor(id, true);
      return { parameters: { userId: id } };
    },
  },
  'PUT /api/admin/users/{userId}/roles': {
    async request(cell) {
      const roleIds = [(await cell.world.role(['admin.write'])).id];
      return { ...(await someUser(cell)), body: { roleIds } };
    },
  },
  'GET /api/admin/users/{userId}/permissions': { request: someUser },
  'GET /api/admin/permissions': {},
  'GET /api/admin/roles': {},
  'GET /api/admin/roles/{roleId}': { request: someRole },
  'POST /api/admin/roles': {
    status: 201,
    request: () => ({
      body: { name: unique('role'), description: 'for somebody', permissions: ['admin.write'] },
    }),
  },
  'PUT /api/admin/roles/{roleId}': {
    request: async (cell) => ({
      ...(await someRole(cell)),
      body: { name: unique('role'), description: 'for somebody else', permissions: [] },
    }),
  },
  'DELETE /api/admin/roles/{roleId}': { request: someRole },
  'GET /api/admin/audit-logs': {},
  'GET /api/admin/stats': {},
  'GET /api/admin/servers': {},
  'GET /api/admin/health': {},
  'GET /api/admin/ip-pools': {},
  'GET /api/admin/ip-pools/{poolId}': { request: somePool },
  'GET /api/admin/ip-pools/{poolId}/allocations': { request: somePool },
  'POST /api/admin/ip-pools': {
    status: 201,
    request: async ({ world }) => ({
      body: {
        nodeId: (await world.node()).id,
        name: unique('pool'),
        description: 'addresses',
        networkName: unique('network'),
        driver: 'macvlan',
        parentInterface: 'eth0',
        cidr: '10.99.0.0/24',
        gateway: '10.99.0.1',
        startIp: '10.99.0.10',
        endIp: '10.99.0.200',
        reserved: ['10.99.0.20'],
      },
    }),
  },
  'PUT /api/admin/ip-pools/{poolId}': {
    request: async (cell) => ({
      ...(await somePool(cell)),
      body: { name: unique('pool'), description: 'others', networkName: unique('network'), driver: 'bridge' },
    }),
  },
  'DELETE /api/admin/ip-pools/{poolId}': { request: somePool },
  'GET /api/admin/database-hosts': {},
  'GET /api/admin/database-hosts/{hostId}': { request: someHost },
  'POST /api/admin/database-hosts': {
    status: 201,
    request: ({ world }) => ({
      body: {
        ...world.databaseServer,
        name: unique('host'),
        engine: 'postgresql',
        publicHost: 'db.example.com',
        publicPort: 5432,
        useTls: false,
        maxDatabases: 100,
      },
    }),
  },
  'PUT /api/admin/database-hosts/{hostId}': {
    request: async (cell) => ({
      ...(await someHost(cell)),
      body: { ...cell.world.databaseServer, name: unique('host'), publicHost: null, maxDatabases: 50 },
    }),
  },
  'DELETE /api/admin/database-hosts/{hostId}': { request: someHost },
  'POST /api/admin/database-hosts/{hostId}/test': { request: someHost, isAudited: false },
};
