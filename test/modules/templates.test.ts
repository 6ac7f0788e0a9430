import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

const documented = {
  name: 'Minecraft Java Edition',
  description: 'Latest Minecraft server',
  dockerImage: 'itzg/minecraft-server:latest',
  startCommand: 'java -Xmx{{MEMORY}} -jar server.jar',
  stopCommand: 'stop',
  ports: [{ internal: 25565, external: 25565 }],
  environment: { EULA: 'TRUE', MEMORY: '{{MEMORY}}', PORT: '{{PORT}}' },
  requiredVariables: ['MEMORY', 'PORT', 'EULA'],
};

const complete = {
  ...documented,
  name: 'Everything',
  images: { 'Java 21': 'eclipse-temurin:21-jre', 'Java 17': 'eclipse-temurin:17-jre' },
  startCommand: ['java', '-Xmx{{MEMORY}}', '-jar', '{{JAR}}'],
  stopCommand: 'stop {{SERVER_ID}}',
  stopSignal: 'SIGINT',
  variables: [
    {
      name: 'JAR',
      description: 'What to run',
      default: 'server.jar',
      required: true,
      userEditable: false,
      rules: 'required|regex:/^[a-z|.]+\\.jar$/|max:20',
    },
    { name: 'WORLD', description: '', default: null, required: false, userEditable: true, rules: ['string'] },
  ],
  features: { configFiles: ['/server.properties'], color: { red: 1 } },
  configFiles: [
    {
      path: 'server.properties',
      parser: 'properties',
      values: { port: '{{PORT}}', online: true, mode: { easy: 'hard', '*': '{{WORLD}}', old: 3 } },
    },
  ],
  installImage: 'debian:bookworm-slim',
  installScript: '#!/bin/sh\ncurl -o "$JAR" https://example.com',
  installShell: '/bin/bash',
  installDataPath: '/mnt/server',
  installAsRoot: true,
  startupDetection: 'Done \\([0-9.]+s\\)!',
  dataPath: '/home/container',
};

const ROUTES = [
  ['GET', '/api/templates', undefined],
  ['POST', '/api/templates', documented],
  ['GET', '/api/templates/x', undefined],
  ['PUT', '/api/templates/x', {}],
  ['DELETE', '/api/templates/x', undefined],
  ['GET', '/api/templates/x/export', undefined],
] as const;

test.each(ROUTES)('%s %s is 401 without a token', async (method, url, body) => {
  expect((await panel.call(method, url, body)).status).toBe(401);
});

test.each(ROUTES.filter(([method]) => method !== 'GET'))(
  '%s %s is 403 for who may only read, before the body is looked at',
  async (method, url, body) => {
    for (const sent of [body, { nonsense: true }]) {
      expect((await panel.call(method, url, sent, reader.token)).body.code).toBe('permission.denied');
    }
  },
);

test.each(ROUTES.filter(([, url]) => url.includes('/x')))(
  '%s %s is 404 for a template that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'template.not_found']);
  },
);

describe('POST /api/templates', () => {
  test('takes the documented body and answers it, with what it did not say', async () => {
    const answer = await panel.post('/api/templates', documented, administrator.token);
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      success: true,
      data: {
        ...documented,
        id: expect.any(String),
        images: {},
        stopSignal: null,
        variables: [],
        features: {},
        configFiles: [],
        installImage: null,
        installScript: null,
        installShell: 'sh',
        installDataPath: null,
        installAsRoot: false,
        startupDetection: null,
        dataPath: '/data',
        createdAt: expect.any(String),
        updatedAt: expect.any(String),
      },
    });
  });

  test('takes everything there is, and gives it back', async () => {
    const answer = await panel.post('/api/templates', complete, administrator.token);
    expect(answer.status).toBe(201);
    expect(answer.body.data).toMatchObject(complete);
    const read = await panel.get(`/api/templates/${answer.body.data.id}`, reader.token);
    expect(read.body).toEqual(answer.body);
  });

  test.each([
    ['no image', { dockerImage: undefined }, 'body.dockerImage'],
    ['an image with a shell in it', { dockerImage: 'debian; reboot' }, 'body.dockerImage'],
    ['an image that begins with a dash', { dockerImage: '--privileged' }, 'body.dockerImage'],
    ['an image in capitals', { dockerImage: 'Debian' }, 'body.dockerImage'],
    ['an image that takes long to refuse', { dockerImage: `${'a'.repeat(500)}!` }, 'body.dockerImage'],
    ['an install image that is none', { installImage: '../x' }, 'body.installImage'],
    ['an unknown field', { dockerimage: 'x' }, '"dockerimage"'],
    ['an unknown field of a port', { ports: [{ internal: 1, external: 1, udp: true }] }, '"udp"'],
    ['a port of 0', { ports: [{ internal: 0, external: 1 }] }, 'body.ports.0.internal'],
    [
      'a port twice',
      {
        ports: [
          { internal: 1, external: 1 },
          { internal: 1, external: 2 },
        ],
      },
      'ports: ',
    ],
    ['a signal nobody knows', { stopSignal: 'SIGNOPE' }, 'body.stopSignal'],
    ['a detection that is no regular expression', { startupDetection: '(' }, 'startupDetection: '],
    ['a detection that is too long', { startupDetection: 'x'.repeat(501) }, 'body.startupDetection'],
    ['a name without an image', { images: { 'Java 21': 'not an image' } }, 'body.images.Java 21'],
    [
      'too many images',
      { images: Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`image ${index}`, 'debian'])) },
      'body.images: takes at most 50 images',
    ],
    ['an option as install shell', { installShell: '-c' }, 'body.installShell'],
    ['a command as install shell', { installShell: 'sh -x' }, 'body.installShell'],
    ['an empty install shell', { installShell: '' }, 'body.installShell'],
    ['a relative install path', { installDataPath: 'mnt' }, 'body.installDataPath'],
    ['an install path of the system', { installDataPath: '/usr/x' }, 'body.installDataPath'],
    ['text for "as root"', { installAsRoot: 'true' }, 'body.installAsRoot'],
    ['features without an end', { features: { a: 'x'.repeat(70_000) } }, 'body.features: is too large'],
    [
      'an unknown name in one case of a config value',
      { configFiles: [{ path: 'a.ini', parser: 'ini', values: { x: { a: 'b', '*': '{{NOPE}}' } } }] },
      'configFiles (a.ini): ',
    ],
    [
      'a broken expression as a case of a config value',
      { configFiles: [{ path: 'a.ini', parser: 'ini', values: { x: { 'regex:(': 'b' } } }] },
      'configFiles (a.ini): Invalid regular expression',
    ],
    [
      'a list as a config value',
      { configFiles: [{ path: 'a.ini', parser: 'ini', values: { x: ['a'] } }] },
      'body.configFiles.0.values.x',
    ],
    [
      'a config value three levels deep',
      { configFiles: [{ path: 'a.ini', parser: 'ini', values: { x: { y: { z: 1 } } } }] },
      'body.configFiles.0.values.x',
    ],
    [
      'too many config values',
      {
        configFiles: [
          {
            path: 'a.ini',
            parser: 'ini',
            values: { x: Object.fromEntries(Array.from({ length: 501 }, (_, index) => [`${index}`, 1])) },
          },
        ],
      },
      'body.configFiles.0.values: takes at most 500 values',
    ],
    [
      'a value in the line that images run in a shell',
      { environment: { STARTUP: 'java {{PORT}}' } },
      'environment.STARTUP: images run it in a shell; write "$',
    ],
    [
      'a required variable that only the panel sets',
      { requiredVariables: ['SERVER_ID'] },
      'requiredVariables: SERVER_ID is set by the panel',
    ],
    ['the number of megabytes as a variable', { variables: [{ name: 'MEMORY_MB' }] }, 'MEMORY_MB is set by'],
    ['a relative data path', { dataPath: 'data' }, 'body.dataPath'],
    ['a data path that climbs', { dataPath: '/data/../etc' }, 'body.dataPath'],
    ['the root as data path', { dataPath: '/' }, 'body.dataPath'],
    ['a system directory as data path', { dataPath: '/etc/passwd' }, 'body.dataPath: belongs to the system'],
    ['a data path with mount options', { dataPath: '/data:ro' }, 'body.dataPath'],
    [
      'a config file outside',
      { configFiles: [{ path: '../x', parser: 'file', values: {} }] },
      'body.configFiles',
    ],
    ['a quote that is never closed', { startCommand: `java 'x` }, 'startCommand: '],
    ['a word that is not text', { startCommand: ['java', 1] }, 'body.startCommand'],
    [
      'an unknown name in the command',
      { startCommand: 'x {{NOPE}}' },
      'startCommand: there is no variable {{NOPE}}',
    ],
    ['a name that cannot be one', { startCommand: 'x {{no-pe}}' }, '{{no-pe}}'],
    ['an unknown name in a word', { startCommand: ['x', 'y={{ NOPE }}'] }, '{{NOPE}}'],
    ['an unknown name in the stop command', { stopCommand: '{{NOPE}}' }, 'stopCommand: '],
    ['an unknown name in the environment', { environment: { A: '{{NOPE}}' } }, 'environment.A: '],
    [
      'a name that leads to another placeholder',
      { environment: { A: '{{PORT}}', B: '{{A}}' } },
      'environment.B: there is no variable {{A}}',
    ],
    [
      'an unknown name in a config file',
      { configFiles: [{ path: 'a.ini', parser: 'ini', values: { x: '{{NOPE}}' } }] },
      'configFiles (a.ini): ',
    ],
    [
      "a placeholder in a shell's script",
      { startCommand: ['sh', '-c', 'java -Xmx{{MEMORY}}'] },
      'startCommand: a shell\'s script cannot have {{MEMORY}} in it; write "$MEMORY" there',
    ],
    ["the same behind a shell's path", { startCommand: '/bin/bash -lc "x {{PORT}}"' }, '{{PORT}}'],
    ['the same with flags after the c', { startCommand: ['bash', '-ceE', 'x {{PORT}}'] }, '{{PORT}}'],
    [
      'the same behind more options',
      { startCommand: ['sh', '-c', '-o', 'nounset', '--', '{{PORT}}'] },
      '{{PORT}}',
    ],
    [
      'the same behind a long option',
      { startCommand: ['bash', '--rcfile', 'x', '-c', '{{PORT}}'] },
      '{{PORT}}',
    ],
    ['the same in a program that starts a shell', { startCommand: 'env sh -c "x {{PORT}}"' }, '{{PORT}}'],
    [
      'a detection that agents cannot compile',
      { startupDetection: 'Done \\- {"ok"' },
      'startupDetection: Invalid regular expression',
    ],
    ['a placeholder in the install script', { installScript: 'echo {{MEMORY}}' }, 'installScript: '],
    ['a variable twice', { variables: [{ name: 'A' }, { name: 'A' }] }, 'variables: A is there twice'],
    ['a variable of the panel', { variables: [{ name: 'SERVER_ID' }] }, 'SERVER_ID is set by the panel'],
    ['a variable with a special name', { variables: [{ name: '__proto__' }] }, 'body.variables.0.name'],
    [
      'more placeholders than a panel has memory for',
      {
        configFiles: [
          {
            path: 'a.cfg',
            parser: 'file',
            values: { a: '{{PORT}}'.repeat(600), b: { '*': '{{PORT}}'.repeat(600) } },
          },
        ],
      },
      'configFiles (a.cfg): a template has at most 1000',
    ],
    ['a variable with a dash', { variables: [{ name: 'A-B' }] }, 'body.variables.0.name'],
    ['a variable that begins with a digit', { variables: [{ name: '1A' }] }, 'body.variables.0.name'],
    ['a variable whose name is too long', { variables: [{ name: 'A'.repeat(65) }] }, 'body.variables.0.name'],
    ['a required name that cannot be one', { requiredVariables: ['A B'] }, 'body.requiredVariables.0'],
    ['an environment name that cannot be one', { environment: { 'A=B': '' } }, 'body.environment'],
    ['an environment value that is a number', { environment: { A: 1 } }, 'body.environment.A'],
    [
      'a rule nobody knows',
      { variables: [{ name: 'A', rules: 'uuid' }] },
      'variables.A.rules: there is no rule "uuid"',
    ],
    ['a rule without its value', { variables: [{ name: 'A', rules: 'max' }] }, 'variables.A.rules: '],
    [
      'a rule with a value too many',
      { variables: [{ name: 'A', rules: 'integer:3' }] },
      'variables.A.rules: ',
    ],
    ['a bound that is no number', { variables: [{ name: 'A', rules: 'min:x' }] }, 'variables.A.rules: '],
    [
      'a broken regular expression',
      { variables: [{ name: 'A', rules: ['regex:/(/'] }] },
      'variables.A.rules: ',
    ],
    [
      'a default that breaks the rules',
      { variables: [{ name: 'A', rules: 'integer', default: 'x' }] },
      'variables.A.default: must be a whole number',
    ],
  ])('refuses %s with 400', async (_, fields, named) => {
    const body = { ...documented, name: 'refused', ...fields };
    const answer = await panel.post('/api/templates', body, administrator.token);
    expect([answer.status, answer.body.statusCode]).toEqual([400, 400]);
    expect(answer.body.message).toContain(named);
  });

  test.each([
    ['no command: the image has its own', { startCommand: '' }],
    [
      'a shell that gets its values as environment variables',
      { startCommand: ['sh', '-c', 'java -Xmx$MEMORY'] },
    ],
    [
      "a value for a shell's script as a word of its own",
      { startCommand: ['sh', '-c', 'x "$1"', 'x', '{{PORT}}'] },
    ],
    ['a script in a file, with options of its own', { startCommand: 'sh start.sh -config {{PORT}}' }],
    ['a fixed value of the environment in the command', { startCommand: 'x {{EULA}}' }],
    ['a required variable in the command', { startCommand: 'x {{MAP}}', requiredVariables: ['MAP'] }],
    [
      'a registry with a port, and a digest',
      { dockerImage: `registry.example.com:5000/a/b_c:1.0@sha256:${'0'.repeat(64)}` },
    ],
    ['the bare number of megabytes', { startCommand: 'x -Xmx{{MEMORY_MB}}m' }],
    ['a stop by signal only', { stopCommand: null, stopSignal: 'SIGTERM' }],
    ['braces that are no placeholder', { stopCommand: 'give {"a":{"b":1} }' }],
  ])('takes %s', async (name, fields) => {
    const answer = await panel.post(
      '/api/templates',
      { ...documented, name, ...fields },
      administrator.token,
    );
    expect([answer.status, answer.body.message]).toEqual([201, undefined]);
    expect(answer.body.data).toMatchObject(fields);
  });

  test('a number that JavaScript cannot hold is refused, wherever it is in the features', async () => {
    const body = JSON.stringify({ name: 'features', dockerImage: 'none', features: { a: [{ b: 'HERE' }] } });
    const answer = await panel.app.inject({
      method: 'POST',
      url: '/api/templates',
      headers: { authorization: `Bearer ${administrator.token}`, 'content-type': 'application/json' },
      payload: body.replace('"HERE"', '1e999'),
    });
    expect([answer.statusCode, answer.json().message]).toEqual([400, 'body.features.a.0.b: is too large']);
  });

  test('a variable is required when its rules say so', async () => {
    const template = await panel.createTemplate({ variables: [{ name: 'A', rules: 'required|string' }] });
    expect(template.variables).toEqual([
      {
        name: 'A',
        description: '',
        default: null,
        required: true,
        userEditable: true,
        rules: 'required|string',
      },
    ]);
  });

  test('of 10 at once with one name one is made, the others are 409', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        panel.post('/api/templates', { ...documented, name: 'race' }, administrator.token),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 9 }, () => 409)]);
  });
});

test('GET /api/templates/x/export is 403 for who is only signed in', async () => {
  const stranger = await panel.createUser();
  const answer = await panel.get('/api/templates/x/export', stranger.token);
  expect([answer.status, answer.body.code]).toEqual([403, 'permission.denied']);
});

describe('GET /api/templates', () => {
  beforeAll(async () => {
    for (const [name, description] of [
      ['search alpha', 'has 100% of it'],
      ['search beta', 'has 100 of it'],
      ['search gamma', 'a_b'],
    ]) {
      await panel.createTemplate({ name, description });
    }
  });

  test.each([
    ['search=Search', ['search alpha', 'search beta', 'search gamma']],
    ['search=BETA', ['search beta']],
    ['search=100%25', ['search alpha']],
    ['search=a_b', ['search gamma']],
    ['search=%5C', []],
    ['search=search&sort=createdAt&order=desc', ['search gamma', 'search beta', 'search alpha']],
    ['search=search&sort=name&order=desc&limit=1', ['search gamma']],
    ['search=search&sort=updatedAt&page=2&limit=2', ['search gamma']],
  ])('?%s answers %j', async (query, names) => {
    const { body } = await panel.get(`/api/templates?${query}`, reader.token);
    expect(body.data.map(({ name }: { name: string }) => name)).toEqual(names);
  });

  test.each(['sort=dockerImage', 'order=up', `search=${'x'.repeat(101)}`, 'nonsense=1', 'limit=101'])(
    '?%s is 400',
    async (query) => {
      const answer = await panel.get(`/api/templates?${query}`, reader.token);
      expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
    },
  );
});

describe('the audit log', () => {
  function entries(templateId: string) {
    return panel.context.database.prisma.auditLog.findMany({
      where: { resourceType: 'template', resourceId: templateId },
      orderBy: { id: 'asc' },
      omit: { id: true },
    });
  }

  test('has who made, changed and deleted a template, and nothing of a change that changed nothing', async () => {
    const template = await panel.createTemplate({ name: 'audited', environment: { PASSWORD: 'planted' } });
    const url = `/api/templates/${template.id}`;
    const change = { description: 'New', environment: { PASSWORD: 'planted too' } };
    await panel.put(url, change, administrator.token);
    await panel.put(url, { description: 'New' }, administrator.token);
    await panel.delete(url, administrator.token);
    const found = await entries(template.id);
    expect(found.map(({ action }) => action)).toEqual([
      'template.create',
      'template.update',
      'template.delete',
    ]);
    expect(found[1]).toMatchObject({
      userId: administrator.id,
      metadata: {
        templateName: 'audited',
        before: { description: 'For tests', environment: '[hidden]' },
        after: { description: 'New', environment: '[hidden]' },
      },
    });
    expect(JSON.stringify(found)).not.toContain('planted');
  });

  test('has nothing of what was refused', async () => {
    const { auditLog } = panel.context.database.prisma;
    const template = await panel.createTemplate();
    const before = await auditLog.count({ where: { resourceType: 'template' } });
    const url = `/api/templates/${template.id}`;
    const answers = [
      await panel.put(url, { startCommand: '{{NOPE}}' }, administrator.token),
      await panel.put(url, { name: 'Everything' }, administrator.token),
      await panel.post('/api/templates', { ...documented, name: template.name }, administrator.token),
      await panel.delete('/api/templates/x', administrator.token),
    ];
    expect(answers.map(({ status }) => status)).toEqual([400, 409, 409, 404]);
    expect(await auditLog.count({ where: { resourceType: 'template' } })).toBe(before);
  });
});

test('GET /api/templates lists them by name, without what can be long', async () => {
  const template = await panel.createTemplate({ name: '0 first', installScript: 'a long story' });
  const { body } = await panel.get('/api/templates?limit=1', reader.token);
  expect(body.data[0]).toMatchObject({ id: template.id, dockerImage: 'debian:bookworm-slim', features: {} });
  expect(body.data[0]).not.toHaveProperty('installScript');
  expect(body.pagination).toMatchObject({ page: 1, limit: 1 });
  expect(body.pagination.total).toBeGreaterThan(1);
});

test.each(readdirSync('prisma/templates'))('the built-in template %s is valid', async (file) => {
  const template = JSON.parse(readFileSync(path.join('prisma/templates', file), 'utf8')) as object;
  const answer = await panel.post('/api/templates', { ...template, name: file }, administrator.token);
  expect([answer.status, answer.body.message]).toEqual([201, undefined]);
});

describe('PUT /api/templates/:templateId', () => {
  test('changes what is given and leaves the rest', async () => {
    const template = await panel.createTemplate({ ...complete, name: 'to change' });
    const url = `/api/templates/${template.id}`;
    const answer = await panel.put(url, { description: 'Changed', stopSignal: null }, administrator.token);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({
      ...complete,
      name: 'to change',
      description: 'Changed',
      stopSignal: null,
    });
  });

  test('checks the whole: a variable that is still used cannot go', async () => {
    const template = await panel.createTemplate({
      startCommand: 'x {{MAP}}',
      variables: [{ name: 'MAP' }],
    });
    const url = `/api/templates/${template.id}`;
    const answer = await panel.put(url, { variables: [] }, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([400, 'template.invalid']);
    expect(answer.body.message).toContain('{{MAP}}');
    expect((await panel.put(url, { variables: [], startCommand: 'x' }, administrator.token)).status).toBe(
      200,
    );
  });

  test('two changes at once that break each other: one is refused', async () => {
    const template = await panel.createTemplate({ startCommand: 'x', variables: [{ name: 'MAP' }] });
    const url = `/api/templates/${template.id}`;
    const answers = await Promise.all([
      panel.put(url, { variables: [] }, administrator.token),
      panel.put(url, { startCommand: 'x {{MAP}}' }, administrator.token),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  test('a name that is taken is 409', async () => {
    const [one, two] = [await panel.createTemplate(), await panel.createTemplate()];
    const answer = await panel.put(`/api/templates/${one.id}`, { name: two.name }, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([409, 'template.name_taken']);
  });
});

describe('DELETE /api/templates/:templateId', () => {
  test('is 409 while a server uses it, and 200 when none does', async () => {
    const template = await panel.createTemplate();
    const node = await panel.createNode();
    const server = await panel.post(
      '/api/servers',
      {
        name: 'lobby',
        templateId: template.id,
        nodeId: node.id,
        allocatedMemoryMb: 512,
        allocatedCpuCores: 1,
        allocatedDiskMb: 512,
      },
      administrator.token,
    );
    expect(server.status).toBe(201);
    const refused = await panel.delete(`/api/templates/${template.id}`, administrator.token);
    expect([refused.status, refused.body.code]).toEqual([409, 'template.in_use']);
    await panel.context.database.prisma.server.deleteMany({ where: { id: server.body.data.id } });
    const answer = await panel.delete(`/api/templates/${template.id}`, administrator.token);
    expect([answer.status, answer.body]).toEqual([200, { success: true }]);
  });
});
