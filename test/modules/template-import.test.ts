import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eggs, javaEgg, steamEgg } from '../helpers/eggs.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let administrator: TestUser;
let reader: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
});
afterAll(() => panel.close());

const IMPORT = '/api/templates/import';

function withoutIdentity(template: Record<string, unknown>): Record<string, unknown> {
  const { id: _id, createdAt: _createdAt, updatedAt: _updatedAt, ...rest } = template;
  return rest;
}

describe('POST /api/templates/import', () => {
  test('is 401 without a token and 403 for who may only read', async () => {
    expect((await panel.post(IMPORT, javaEgg)).status).toBe(401);
    expect((await panel.post(IMPORT, javaEgg, reader.token)).body.code).toBe('permission.denied');
  });

  test.each([
    ['nothing', undefined, 'request.invalid', 'body'],
    ['a list', [], 'request.invalid', 'body'],
    ['a number', 1, 'request.invalid', 'body'],
    ['an empty object', {}, 'template.import_failed', 'meta.version: must be PTDL_v1'],
    [
      'an egg of another kind',
      { ...javaEgg, meta: { version: 'PTDL_v9' } },
      'template.import_failed',
      'meta.version',
    ],
    ['meta that is text', { ...javaEgg, meta: 'PTDL_v1' }, 'template.import_failed', 'meta.version'],
    [
      'a broken egg',
      { ...javaEgg, config: { files: '{' } },
      'template.import_failed',
      'config.files: is not valid',
    ],
    [
      'more fields than any egg',
      Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`${index}`, 1])),
      'request.invalid',
      'takes at most 200 fields',
    ],
    [
      'a newer export',
      { format: 'catalyst-template', version: 2 },
      'template.import_failed',
      'version: this panel',
    ],
    [
      'half an export',
      { format: 'catalyst-template', version: 1, name: 'x' },
      'template.import_failed',
      'dockerImage: ',
    ],
    [
      'an export of nonsense',
      { format: 'catalyst-template', version: 1, name: 'x', dockerImage: 'debian', nonsense: 1 },
      'template.import_failed',
      'nonsense',
    ],
  ])('%s is 400', async (_, body, code, message) => {
    const answer = await panel.post(IMPORT, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([400, code]);
    expect(answer.body.message).toContain(message);
  });

  test('__proto__ in an egg is 400, naming the place', async () => {
    const answer = await panel.app.inject({
      method: 'POST',
      url: IMPORT,
      headers: { authorization: `Bearer ${administrator.token}`, 'content-type': 'application/json' },
      payload: JSON.stringify(javaEgg).replace('"author"', '"__proto__"'),
    });
    expect([answer.statusCode, answer.json().message]).toEqual([400, 'body.__proto__: is not allowed']);
  });

  test('many rules that each take long are refused before long', async () => {
    const rules = Array(20).fill('not_regex:/^(a+)+b$/');
    const slow = Array.from({ length: 199 }, (_, index) => ({
      env_variable: `SLOW_${index}`,
      default_value: 'a'.repeat(20),
      rules,
    }));
    const startedAt = Date.now();
    const imported = await panel.post(IMPORT, { ...javaEgg, variables: slow }, administrator.token);
    expect([imported.status, imported.body.code]).toEqual([400, 'template.import_failed']);
    expect(imported.body.message).toContain('takes too long');
    const without = slow.map((variable) => ({ ...variable, default_value: '' }));
    const egg = { ...javaEgg, name: 'slow', startup: './game', variables: without, config: {} };
    const { body } = await panel.post(IMPORT, egg, administrator.token);
    const node = await panel.createNode();
    const server = {
      name: 'slow',
      templateId: body.data.template.id,
      nodeId: node.id,
      allocatedMemoryMb: 512,
      allocatedCpuCores: 1,
      allocatedDiskMb: 512,
      primaryPort: 25565,
      environment: Object.fromEntries(
        slow.slice(0, 100).map(({ env_variable: name, default_value: value }) => [name, value]),
      ),
    };
    const created = await panel.post('/api/servers', server, administrator.token);
    expect([created.status, created.body.code]).toEqual([400, 'server.variable_invalid']);
    expect(created.body.message).toContain('takes too long');
    expect(Date.now() - startedAt).toBeLessThan(8000);
  });

  test('more than a megabyte is 413', async () => {
    const answer = await panel.post(
      IMPORT,
      { ...javaEgg, description: 'x'.repeat(1_100_000) },
      administrator.token,
    );
    expect([answer.status, answer.body.code]).toEqual([413, 'request.too_large']);
  });

  test.each(Object.keys(eggs))('%s is imported, exported and imported again as it was', async (name) => {
    const answer = await panel.post(IMPORT, eggs[name], administrator.token);
    expect([answer.status, answer.body.message]).toEqual([201, undefined]);
    expect(answer.body).toEqual({
      success: true,
      data: { template: expect.objectContaining({ name: eggs[name]?.name }), warnings: expect.any(Array) },
    });
    const { template } = answer.body.data;
    expect((await panel.get(`/api/templates/${template.id}`, reader.token)).body.data).toEqual(template);
    await expectRoundTrip(template);
  });

  test('an egg can be changed afterwards, though its script has braces', async () => {
    const egg = { ...steamEgg, name: 'changed' };
    const { body } = await panel.post(IMPORT, egg, administrator.token);
    const url = `/api/templates/${body.data.template.id}`;
    const ports = [{ internal: 27015, external: 27015 }];
    const changed = await panel.put(url, { ports }, administrator.token);
    expect([changed.status, changed.body.data.ports]).toEqual([200, ports]);
    const script = await panel.put(url, { installScript: 'echo {{PORT}}' }, administrator.token);
    expect(script.body.message).toContain('installScript: ');
  });

  test('who owns a server of an egg sets its variables, but not the line that images run in a shell', async () => {
    const { body } = await panel.post(IMPORT, { ...javaEgg, name: 'served' }, administrator.token);
    const [node, user] = [await panel.createNode(), await panel.createUser(['server.create'])];
    const server = {
      name: 'mine',
      templateId: body.data.template.id,
      nodeId: node.id,
      allocatedMemoryMb: 512,
      allocatedCpuCores: 1,
      allocatedDiskMb: 512,
      primaryPort: 25565,
    };
    const environment = { MAX_PLAYERS: '8' };
    const refused = await panel.post(
      '/api/servers',
      { ...server, environment: { ...environment, STARTUP: 'sh' } },
      user.token,
    );
    expect([refused.status, refused.body.code]).toEqual([403, 'permission.denied']);
    const made = await panel.post('/api/servers', { ...server, environment }, user.token);
    expect([made.status, made.body.message]).toEqual([201, undefined]);
  });

  test('a name that is there already is 409, and nothing is written', async () => {
    const egg = { ...javaEgg, name: 'twice' };
    expect((await panel.post(IMPORT, egg, administrator.token)).status).toBe(201);
    const { auditLog } = panel.context.database.prisma;
    const before = await auditLog.count();
    const answer = await panel.post(IMPORT, egg, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([409, 'template.name_taken']);
    expect(await auditLog.count()).toBe(before);
  });

  test('is in the audit log with where it came from', async () => {
    const { body } = await panel.post(IMPORT, { ...javaEgg, name: 'audited' }, administrator.token);
    const { template, warnings } = body.data;
    const found = await panel.context.database.prisma.auditLog.findMany({
      where: { resourceId: template.id },
    });
    expect(found).toMatchObject([
      {
        action: 'template.import',
        userId: administrator.id,
        metadata: { templateName: 'audited', format: 'PTDL_v2', warnings: warnings.length },
      },
    ]);
  });
});

describe('GET /api/templates/:templateId/export', () => {
  test.each(readdirSync('prisma/templates'))('the built-in %s comes back as it was', async (file) => {
    const built = JSON.parse(readFileSync(path.join('prisma/templates', file), 'utf8')) as object;
    const { body } = await panel.post('/api/templates', { ...built, name: file }, administrator.token);
    await expectRoundTrip(body.data);
  });

  test('has a mark, and nothing of this panel', async () => {
    const template = await panel.createTemplate();
    const { status, body } = await panel.get(`/api/templates/${template.id}/export`, reader.token);
    expect(status).toBe(200);
    expect(body.data).toEqual({ format: 'catalyst-template', version: 1, ...withoutIdentity(template) });
  });

  test('an export with less in it has the usual rest', async () => {
    const little = { format: 'catalyst-template', version: 1, name: 'little', dockerImage: 'debian' };
    const answer = await panel.post(IMPORT, little, administrator.token);
    expect([answer.status, answer.body.data.template]).toMatchObject([
      201,
      { installShell: 'sh', ports: [] },
    ]);
  });

  test('the whole answer can be imported, too', async () => {
    const template = await panel.createTemplate();
    const exported = await panel.get(`/api/templates/${template.id}/export`, reader.token);
    await panel.delete(`/api/templates/${template.id}`, administrator.token);
    const answer = await panel.post(IMPORT, exported.body, administrator.token);
    expect(answer.status).toBe(201);
    expect(withoutIdentity(answer.body.data.template)).toEqual(withoutIdentity(template));
  });
});

async function expectRoundTrip(template: { id: string }): Promise<void> {
  const exported = await panel.get(`/api/templates/${template.id}/export`, reader.token);
  expect(exported.status).toBe(200);
  await panel.delete(`/api/templates/${template.id}`, administrator.token);
  const answer = await panel.post(IMPORT, exported.body.data, administrator.token);
  expect([answer.status, answer.body.message]).toEqual([201, undefined]);
  expect(answer.body.data.warnings).toEqual([]);
  expect(withoutIdentity(answer.body.data.template)).toEqual(withoutIdentity(template));
}
