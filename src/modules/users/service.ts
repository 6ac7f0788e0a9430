import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import type { Passwords } from '../../lib/passwords.js';
import type { Page } from '../../lib/schemas.js';
import type { Sessions } from '../auth/account/sessions.js';
import { type AccountChanges, createAccountChanges } from './account-changes.js';
import { createCredentials } from './credentials.js';
import type { ListUsersQuery, User, UserPermissions } from './schemas.js';
import { createUserSecurity, type UserSecurity } from './security.js';
import { createRolesOfUsers, type RolesOfUsers } from './user-roles.js';
import { getUser, getUserPermissions, listUsers } from './views.js';

export interface UsersOptions {
  database: Database;
  bus: Bus;
  passwords: Pick<Passwords, 'hash'>;
  sessions: Pick<Sessions, 'end' | 'publishEnded'>;
}

/** Other people's accounts. Nobody touches that of somebody who has a right that he does not have himself. */
export interface Users extends AccountChanges, UserSecurity, RolesOfUsers {
  list(actor: Actor, query: ListUsersQuery): Promise<Page<User>>;
  get(actor: Actor, userId: string): Promise<User>;
  /** The rights that a user has, and where they come from. */
  permissions(actor: Actor, userId: string): Promise<UserPermissions>;
}

export function createUsers(options: UsersOptions): Users {
  const { prisma } = options.database;
  const credentials = createCredentials(options);

  return {
    ...createAccountChanges({ ...options, credentials }),
    ...createUserSecurity({ ...options, credentials }),
    ...createRolesOfUsers(options),

    async list(actor, query) {
      requirePermission(actor, 'admin.read');
      return listUsers(prisma, query);
    },

    async get(actor, userId) {
      requirePermission(actor, 'admin.read');
      return getUser(prisma, userId);
    },

    async permissions(actor, userId) {
      requirePermission(actor, 'admin.read');
      return getUserPermissions(prisma, userId);
    },
  };
}
