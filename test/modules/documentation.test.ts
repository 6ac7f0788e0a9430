import { subscribe } from 'node:diagnostics_channel';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Panel, startPanel } from '../helpers/panel.js';

interface Operation {
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: object[];
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
  requestBody?: {
    content: Record<string, { schema: { properties?: object; additionalProperties?: boolean } }>;
  };
  parameters?: { name: string; in: string; schema: object }[];
}

interface Document {
  openapi: string;
  servers: { url: string }[];
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { securitySchemes: object; schemas: Record<string, object> };
}

let panel: Panel;
let document: Document;
/** What Fastify was told to answer, as `get /api/nodes/{nodeId}`. */
const routes = new Set<string>();
beforeAll(async () => {
  subscribe('fastify.initialization', (message) => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      const path = url.replace(/(?<=.)\/$/, '').replaceAll(/:(\w+)/g, '{$1}');
      for (const name of [method].flat()) routes.add(`${name.toLowerCase()} ${path}`);
    });
  });
  panel = await startPanel({ settings: { PUBLIC_URL: 'https://panel.example.com' } });
  document = (await panel.get('/docs/json')).body as Document;
});
afterAll(() => panel.close());

function operations() {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
  );
}

test('the document is OpenAPI 3.1 and says where the panel is and how to sign in', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(document.servers).toEqual([{ url: 'https://panel.example.com' }]);
  expect(document.components.securitySchemes).toEqual({
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  });
  expect(document.components.schemas).toHaveProperty('Error');
});

test('every route of the panel is in it, but for the documentation itself', () => {
  const expected = [...routes].filter((name) => !/^(head|options) | \/docs(\/|$)/.test(name));
  expect(expected.length).toBeGreaterThan(30);
  expect(
    operations()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(expected.sort());
});

test('every operation has a summary, a known tag, an id of its own, and its errors', () => {
  const tags = document.tags.map(({ name }) => name);
  for (const { name, operation } of operations()) {
    expect([name, operation.summary]).toEqual([name, expect.any(String)]);
    expect([name, tags]).toEqual([name, expect.arrayContaining(operation.tags ?? ['none'])]);
    const isPublic = operation.security?.length === 0;
    expect([name, Object.keys(operation.responses)]).toEqual([
      name,
      expect.arrayContaining(isPublic ? ['503'] : ['401', '503']),
    ]);
  }
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test('bodies are strict, numbers of queries are numbers, times are times', () => {
  const register = document.paths['/api/auth/register']?.post;
  expect(register?.requestBody?.content['application/json']?.schema).toMatchObject({
    additionalProperties: false,
    required: ['email', 'password', 'username'],
  });
  const limit = document.paths['/api/nodes']?.get?.parameters?.find(({ name }) => name === 'limit');
  expect(limit?.schema).toEqual({ type: 'integer', minimum: 1, maximum: 100, default: 20 });
  expect(JSON.stringify(document)).not.toContain('(?:(?:\\\\d\\\\d[2468]');
  const me = document.paths['/api/auth/me']?.get?.responses['200']?.content?.['application/json']?.schema;
  expect(JSON.stringify(me)).toContain('"createdAt":{"type":"string","format":"date-time"}');
});

test('answers without a body are documented without one', () => {
  const responses = document.paths['/api/deploy/{token}']?.get?.responses;
  expect(responses?.['404']).not.toHaveProperty('content');
  expect(responses?.['200']?.content).toHaveProperty('text/x-shellscript');
});

test('the document does not refer to anything that is not in it', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
  const names = new Set(references.map((match) => match[1] ?? ''));
  expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining([...names]));
});

test('/docs shows it to people, with scripts that the page may run', async () => {
  const page = await panel.get('/docs');
  expect(page).toMatchObject({ status: 200 });
  expect(page.headers['content-type']).toContain('text/html');
  const scripts = [...page.text.matchAll(/src="([^"]+\.js)"/g)].map((match) => match[1] ?? '');
  expect(scripts.length).toBeGreaterThan(1);
  for (const script of scripts) {
    const { pathname } = new URL(script, 'http://panel/docs');
    expect([pathname, (await panel.get(pathname)).status]).toEqual([pathname, 200]);
  }
  expect(page.headers['content-security-policy']).toContain("script-src 'self'");
  expect(page.headers['content-security-policy']).not.toContain('upgrade-insecure-requests');
});
