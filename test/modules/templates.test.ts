import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkVariable } from '../../src/lib/template-variables.js';
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
    { path: 'server.properties', parser: 'properties', values: { port: '{{PORT}}', online: true } },
  ],
  installImage: 'debian:bookworm-slim',
  installScript: '#!/bin/sh\ncurl -o "$JAR" https://example.com',
  startupDetection: 'Done \\([0-9.]+s\\)!',
  dataPath: '/home/container',
};

const ROUTES = [
  ['GET', '/api/templates', undefined],
  ['POST', '/api/templates', documented],
  ['GET', '/api/templates/x', undefined],
  ['PUT', '/api/templates/x', {}],
  ['DELETE', '/api/templates/x', undefined],
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

test.each(ROUTES.filter(([, url]) => url.endsWith('/x')))(
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
        stopSignal: null,
        variables: [],
        features: {},
        configFiles: [],
        installImage: null,
        installScript: null,
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

test.each([
  ['required', '', 'must have a value'],
  ['string', '', null],
  ['integer', '', null],
  ['integer', '-12', null],
  ['integer', '1.5', 'must be a whole number'],
  ['integer', '1e3', 'must be a whole number'],
  ['integer', ' 1', 'must be a whole number'],
  ['integer|min:5|max:10', '7', null],
  ['integer|min:5|max:10', '4', 'must be at least 5'],
  ['integer|min:5|max:10', '11', 'must be at most 10'],
  ['integer|min:-5', '-6', 'must be at least -5'],
  ['string|min:2|max:3', 'a', 'must have at least 2 characters'],
  ['string|min:2|max:3', 'abcd', 'must have at most 3 characters'],
  ['max:2', '👍👍', null],
  ['boolean', 'true', null],
  ['boolean', '0', null],
  ['boolean', 'yes', 'must be true or false'],
  ['in:easy,hard', 'hard', null],
  ['in:easy,hard', 'har', 'must be one of: easy, hard'],
  ['regex:/^(a|b)$/', 'b', null],
  ['regex:/^(a|b)$/|max:5', 'c', 'must match /^(a|b)$/'],
  ['required|regex:/^a\\/b|c$/i|max:3', 'A/B', null],
  ['required|regex:/^[\\/|]+$/|max:1', '//', 'must have at most 1 characters'],
  [['regex:^a|b$', 'max:5'], 'ab', null],
  ['regex:/^(a+)+$/', 'a'.repeat(1025), 'must have at most 1024 characters'],
  ['regex:/^(a+)+$/', `${'a'.repeat(64)}!`, 'takes too long to be held against /^(a+)+$/'],
  ['', 'x'.repeat(8193), 'must have at most 8192 characters'],
])('checkVariable: rules %j, value %j → %j', (rules, value, expected) => {
  expect(checkVariable({ name: 'A', rules }, value)).toBe(expected);
});
