import { generateSync } from 'otplib';
import type { Cell, Recipes, RouteRequest } from '../recipe.js';
import { sshPublicKey, unique } from '../world.js';

/** A code that was not used yet: confirming an app has used none here. */
async function enrolled({ world, caller }: Cell, isConfirmed: boolean): Promise<{ code: string }> {
  const secret = await world.twoFactor(caller.id, isConfirmed);
  return { code: generateSync({ secret }) };
}

async function passwordAndCode(cell: Cell): Promise<RouteRequest> {
  return { body: { password: cell.caller.password, ...(await enrolled(cell, true)) } };
}

export const ACCOUNT: Recipes = {
  'GET /api/auth/me': {},
  'PATCH /api/auth/me': {
    request({ caller }) {
      const username = unique('renamed');
      return { body: { email: `${username}@example.com`, username, currentPassword: caller.password } };
    },
  },
  'DELETE /api/auth/me': {
    async request({ world, caller }) {
      const ownerId = (await world.user()).id;
      await world.prisma.server.updateMany({ where: { ownerId: caller.id }, data: { ownerId } });
      return { body: { password: caller.password } };
    },
  },
  'POST /api/auth/logout': {},
  'POST /api/auth/change-password': {
    request: ({ caller }) => ({
      body: { currentPassword: caller.password, newPassword: 'another good password' },
    }),
  },
  'GET /api/auth/sessions': {},
  'DELETE /api/auth/sessions': {
    async request({ world, caller }) {
      await world.session(caller.id);
      return {};
    },
  },
  'DELETE /api/auth/sessions/{sessionId}': {
    request: async ({ world, caller }) => ({ parameters: { sessionId: await world.session(caller.id) } }),
  },
  'GET /api/auth/api-keys': {},
  'POST /api/auth/api-keys': {
    status: 201,
    request: () => ({
      body: { name: 'a key', permissions: ['server.read'], expiresAt: '2099-01-01T00:00:00.000Z' },
    }),
  },
  'DELETE /api/auth/api-keys/{apiKeyId}': {
    request: async ({ world, caller }) => ({
      parameters: { apiKeyId: await world.insertApiKey(caller.id) },
    }),
  },
  'GET /api/auth/ssh-keys': {},
  'POST /api/auth/ssh-keys': {
    status: 201,
    request: () => ({ body: { name: 'a laptop', publicKey: sshPublicKey() } }),
  },
  'DELETE /api/auth/ssh-keys/{sshKeyId}': {
    request: async ({ world, caller }) => ({ parameters: { sshKeyId: await world.sshKey(caller.id) } }),
  },
  'GET /api/auth/two-factor': {},
  'POST /api/auth/two-factor/enrol': {
    request: ({ caller }) => ({ body: { password: caller.password } }),
  },
  'POST /api/auth/two-factor/confirm': {
    request: async (cell) => ({ body: await enrolled(cell, false) }),
  },
  'POST /api/auth/two-factor/disable': { request: passwordAndCode },
  'POST /api/auth/two-factor/recovery-codes': { request: passwordAndCode },
  'POST /api/auth/two-factor': {
    async request(cell) {
      const { world, caller } = cell;
      const code = await enrolled(cell, true);
      const credentials = { email: caller.email, password: caller.password };
      const { body } = await world.panel.post('/api/auth/login', credentials);
      return { body: { ticket: body.ticket, ...code } };
    },
  },
};
