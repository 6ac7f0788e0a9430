import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Prisma, PrismaClient } from '../generated/prisma/client.js';
import { emailKeyOf } from '../lib/account-fields.js';
import { ADMINISTRATOR_ROLE, REGISTERED_ROLE } from '../lib/built-in-roles.js';
import { isUniqueViolation } from '../lib/database-errors.js';
import type { Log } from '../lib/log.js';
import type { Passwords } from '../lib/passwords.js';
import type { Permission } from '../lib/permissions.js';
import { createToken, type Secrets } from '../lib/secrets.js';

const ADMINISTRATOR_USERNAME = 'admin';
const GENERATED_PASSWORD_BYTES = 15;
const LOCAL_LOCATION = 'local';
const LOCAL_NODE = 'local';

const ROLES: { name: string; description: string; permissions: (Permission | '*')[] }[] = [
  { name: ADMINISTRATOR_ROLE, description: 'May do everything.', permissions: ['*'] },
  {
    name: 'Support',
    description: 'Sees everything, changes nothing.',
    permissions: [
      'admin.read',
      'server.read',
      'server.logs.read',
      'file.read',
      'backup.read',
      'task.read',
      'alert.read',
      'database.read',
      'member.read',
      'activity.read',
    ],
  },
  { name: REGISTERED_ROLE, description: 'Works on own servers and on shared ones.', permissions: [] },
];

/** This machine as a node. */
export interface LocalNode {
  /** Kept with the data directory, so that the row is found again. */
  id: string;
  hostname: string;
  publicAddress: string;
  memoryMb: number;
  cpuCores: number;
}

export interface SeedOptions {
  prisma: PrismaClient;
  passwords: Pick<Passwords, 'hash'>;
  secrets: Secrets;
  /** Without a password one is made up. */
  admin: { email: string; password?: string | undefined };
  /** Null: this machine is not a node. */
  localNode: LocalNode | null;
  /** With one JSON file a template. */
  templatesDirectory: string;
  log: Log;
}

export interface Seeded {
  /** Of the first administrator, when this call made the account; `password` when it was made up here. */
  newAdmin: { email: string; password: string | null } | null;
  /** What the local agent proves its node with. */
  localNodeSecret: string | null;
}

/**
 * What a panel cannot do without: roles, an administrator, templates, and a node for the local agent. Only what is
 * missing is made: an administrator's changes stay. Any number of instances may call it at once.
 */
export async function seed(options: SeedOptions): Promise<Seeded> {
  const { prisma, localNode } = options;
  await prisma.role.createMany({
    data: ROLES.map((role) => ({ ...role, isBuiltIn: true })),
    skipDuplicates: true,
  });
  await seedTemplates(options);
  return {
    newAdmin: await seedAdmin(options),
    localNodeSecret: localNode && (await seedLocalNode(options, localNode)),
  };
}

/** Only into an empty table: a template that an administrator has deleted does not come back. */
async function seedTemplates({ prisma, templatesDirectory }: SeedOptions): Promise<void> {
  if ((await prisma.template.count()) > 0) return;
  const files = readdirSync(templatesDirectory).filter((file) => file.endsWith('.json'));
  const templates = files.sort().map((file) => {
    const text = readFileSync(path.join(templatesDirectory, file), 'utf8');
    return JSON.parse(text) as Prisma.TemplateCreateManyInput;
  });
  await prisma.template.createMany({ data: templates, skipDuplicates: true });
}

async function seedAdmin({ prisma, passwords, admin, log }: SeedOptions): Promise<Seeded['newAdmin']> {
  const role = await prisma.role.findUniqueOrThrow({
    where: { name: ADMINISTRATOR_ROLE },
    select: { id: true },
  });
  // By whatever role: an administrator may have made one of his own.
  const administrator = await prisma.userRole.findFirst({
    where: { role: { permissions: { has: '*' } } },
    select: { userId: true },
  });
  if (administrator) return null;
  const password = admin.password ?? randomBytes(GENERATED_PASSWORD_BYTES).toString('base64url');
  try {
    await prisma.user.create({
      data: {
        email: admin.email,
        emailKey: emailKeyOf(admin.email),
        username: ADMINISTRATOR_USERNAME,
        usernameKey: ADMINISTRATOR_USERNAME,
        passwordHash: await passwords.hash(password),
        roles: { create: { roleId: role.id } },
      },
    });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    // Another instance was quicker, or somebody without the role has the name: nobody is raised in silence.
    log.warn({ email: admin.email }, 'the first administrator was not made: the e-mail or name is taken');
    return null;
  }
  return { email: admin.email, password: admin.password === undefined ? password : null };
}

/** Answers the node's secret. */
async function seedLocalNode(
  { prisma, secrets, log }: SeedOptions,
  { id, hostname, publicAddress, memoryMb, cpuCores }: LocalNode,
): Promise<string> {
  const existing = await prisma.node.findUnique({ where: { id }, select: { secretEncrypted: true } });
  if (existing) return openSecret({ prisma, secrets, log }, id, existing.secretEncrypted);
  const secret = createToken('ctn');
  await prisma.location.createMany({
    data: [{ name: LOCAL_LOCATION, description: 'The machine of the panel' }],
    skipDuplicates: true,
  });
  const location = await prisma.location.findUniqueOrThrow({
    where: { name: LOCAL_LOCATION },
    select: { id: true },
  });
  const node = {
    id,
    description: 'The machine of the panel',
    locationId: location.id,
    hostname,
    publicAddress,
    maxMemoryMb: memoryMb,
    maxCpuCores: cpuCores,
    secretEncrypted: secrets.seal(secret),
  };
  // The plain name may belong to the machine of another panel on this database.
  for (const name of [LOCAL_NODE, `${LOCAL_NODE}-${hostname}`, `${LOCAL_NODE}-${id.slice(-8)}`]) {
    const { count } = await prisma.node.createMany({ data: [{ ...node, name }], skipDuplicates: true });
    if (count > 0) return secret;
    // Or another panel with this data directory has just made the very node.
    const made = await prisma.node.findUnique({ where: { id }, select: { secretEncrypted: true } });
    if (made) return secrets.open(made.secretEncrypted);
  }
  throw new Error(
    `There is a node named ${LOCAL_NODE}-${id.slice(-8)} already: rename it, or set LOCAL_AGENT=false.`,
  );
}

/** A node whose secret was sealed with a key that is lost gets a new one. */
async function openSecret(
  { prisma, secrets, log }: Pick<SeedOptions, 'prisma' | 'secrets' | 'log'>,
  nodeId: string,
  sealed: string,
): Promise<string> {
  try {
    return secrets.open(sealed);
  } catch (error) {
    log.warn(
      { err: error, nodeId },
      'the secret of the local node cannot be read with this key: it gets a new one',
    );
    const secret = createToken('ctn');
    await prisma.node.update({ where: { id: nodeId }, data: { secretEncrypted: secrets.seal(secret) } });
    return secret;
  }
}
