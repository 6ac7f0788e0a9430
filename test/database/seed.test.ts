import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../src/database/client.js';
import { type LocalNode, type SeedOptions, seed } from '../../src/database/seed.js';
import { createPasswords } from '../../src/lib/passwords.js';
import { createSecrets } from '../../src/lib/secrets.js';
import { CreateTemplateBody } from '../../src/modules/templates/schemas.js';
import { validateTemplate } from '../../src/modules/templates/validate.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';

const TEMPLATES = 'prisma/templates';
const passwords = createPasswords();
const log = { debug() {}, info() {}, warn() {}, error() {} };

let testDatabase: TestDatabase;
let database: Database;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = createDatabase({ url: testDatabase.url, poolSize: 5, log });
});

afterEach(async () => {
  await database.close();
  await testDatabase.drop();
});

function localNode(id: string, hostname = 'machine'): LocalNode {
  return { id, hostname, publicAddress: '127.0.0.1', memoryMb: 4096, cpuCores: 2 };
}

function run(options: Partial<SeedOptions> = {}) {
  return seed({
    prisma: database.prisma,
    passwords,
    secrets: createSecrets('a key of the tests that is long enough'),
    admin: { email: 'Boss@Example.com' },
    localNode: localNode('node-1'),
    templatesDirectory: TEMPLATES,
    log,
    ...options,
  });
}

test('the first start makes roles, an administrator with a password of his own, templates and the local node', async () => {
  const { prisma } = database;
  const { newAdmin, localNodeSecret } = await run();
  const roles = await prisma.role.findMany({ orderBy: { name: 'asc' } });
  expect(roles.map(({ name, isBuiltIn }) => [name, isBuiltIn])).toEqual([
    ['Administrator', true],
    ['Support', true],
    ['User', true],
  ]);
  expect(roles[0]?.permissions).toEqual(['*']);
  expect(roles[1]?.permissions.filter((name) => !name.endsWith('.read'))).toEqual([]);
  expect(roles[2]?.permissions).toEqual([]);

  const user = await prisma.user.findUniqueOrThrow({
    where: { emailKey: 'boss@example.com' },
    include: { roles: { include: { role: true } } },
  });
  expect(user.roles.map(({ role }) => role.name)).toEqual(['Administrator']);
  expect(newAdmin?.password).toMatch(/^[\w-]{20}$/);
  expect(await passwords.verify(user.passwordHash, newAdmin?.password ?? '')).toBe(true);

  const templates = await prisma.template.findMany({ orderBy: { name: 'asc' } });
  expect(templates.map(({ name }) => name)).toEqual([
    'Minecraft (flying-squid)',
    'Minecraft Java Edition',
    'Minecraft Paper',
    'OpenTTD',
  ]);
  const node = await prisma.node.findUniqueOrThrow({ where: { id: 'node-1' }, include: { location: true } });
  expect(node).toMatchObject({ name: 'local', maxMemoryMb: 4096, location: { name: 'local' } });
  expect(node.secretEncrypted).not.toContain(localNodeSecret);
});

test('a given password is used and not handed out again', async () => {
  const { newAdmin } = await run({ admin: { email: 'boss@example.com', password: 'given by the operator' } });
  expect(newAdmin).toEqual({ email: 'boss@example.com', password: null });
  const user = await database.prisma.user.findUniqueOrThrow({ where: { emailKey: 'boss@example.com' } });
  expect(await passwords.verify(user.passwordHash, 'given by the operator')).toBe(true);
});

test('a second start changes nothing that an administrator has changed, and makes nobody anew', async () => {
  const { prisma } = database;
  const { localNodeSecret } = await run();
  await prisma.role.update({ where: { name: 'Support' }, data: { permissions: ['server.read'] } });
  await prisma.template.update({ where: { name: 'OpenTTD' }, data: { dockerImage: 'mine:1' } });
  await prisma.template.delete({ where: { name: 'Minecraft Paper' } });
  await prisma.node.update({ where: { id: 'node-1' }, data: { name: 'renamed', maxMemoryMb: 1024 } });

  const again = await run({ admin: { email: 'other@example.com' } });
  expect(again).toEqual({ newAdmin: null, localNodeSecret });
  const support = await prisma.role.findUniqueOrThrow({ where: { name: 'Support' } });
  expect(support.permissions).toEqual(['server.read']);
  const templates = await prisma.template.findMany({ orderBy: { name: 'asc' } });
  expect(templates.map(({ name }) => name)).not.toContain('Minecraft Paper');
  expect(templates.find(({ name }) => name === 'OpenTTD')?.dockerImage).toBe('mine:1');
  expect(await prisma.node.findMany({ select: { name: true, maxMemoryMb: true } })).toEqual([
    { name: 'renamed', maxMemoryMb: 1024 },
  ]);
  expect(await prisma.user.count()).toBe(1);
});

test('of three instances that start at once one makes the administrator, and all know the same node secret', async () => {
  const results = await Promise.all([run(), run(), run()]);
  expect(results.filter(({ newAdmin }) => newAdmin !== null)).toHaveLength(1);
  expect(new Set(results.map(({ localNodeSecret }) => localNodeSecret)).size).toBe(1);
  const { prisma } = database;
  expect(await Promise.all([prisma.role.count(), prisma.template.count(), prisma.node.count()])).toEqual([
    3, 4, 1,
  ]);
  expect(await prisma.user.count()).toBe(1);
});

test('machines of several panels on one database are nodes of their own, also with the same host name', async () => {
  await run();
  await run({ localNode: localNode('node-2') });
  await run({ localNode: localNode('node-3') });
  const nodes = await database.prisma.node.findMany({ orderBy: { id: 'asc' }, select: { name: true } });
  expect(nodes.map(({ name }) => name)).toEqual(['local', 'local-machine', 'local-node-3']);
});

test('whoever may do everything by a role of his own is administrator enough', async () => {
  const { prisma } = database;
  await run();
  const own = await prisma.role.create({ data: { name: 'Owners', permissions: ['*'] } });
  await prisma.userRole.updateMany({ data: { roleId: own.id } });
  expect((await run({ admin: { email: 'other@example.com' } })).newAdmin).toBeNull();
  expect(await prisma.user.count()).toBe(1);
});

test('somebody who has the e-mail already is not made an administrator', async () => {
  const { prisma } = database;
  await prisma.user.create({
    data: {
      email: 'boss@example.com',
      emailKey: 'boss@example.com',
      username: 'somebody',
      usernameKey: 'somebody',
      passwordHash: '-',
    },
  });
  expect((await run()).newAdmin).toBeNull();
  expect(await prisma.userRole.count()).toBe(0);
});

test('a node secret that was sealed with a lost key is replaced', async () => {
  const { localNodeSecret } = await run();
  const other = await run({ secrets: createSecrets('another key that is long enough, too') });
  expect(other.localNodeSecret).toMatch(/^ctn_/);
  expect(other.localNodeSecret).not.toBe(localNodeSecret);
});

test.each(readdirSync(TEMPLATES))('the built-in template %s is one that the panel would take', (file) => {
  const template: unknown = JSON.parse(readFileSync(path.join(TEMPLATES, file), 'utf8'));
  expect(() => validateTemplate(CreateTemplateBody.parse(template))).not.toThrow();
});
