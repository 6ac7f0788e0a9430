import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { isRoleOnly } from '../lib/permissions.js';
import type { Access } from './auth.js';
import { ErrorBody } from './errors.js';
import { describeRest } from './json-schema.js';

export interface DocumentOptions {
  version: string;
  /** Where clients reach the panel; unset: wherever the document came from. */
  publicUrl: string | undefined;
}

const TAGS = [
  ['Authentication', 'Signing in and out.'],
  ['Account', 'Your own account: sessions, API keys, two-factor authentication, SSH keys.'],
  ['Users', 'Everybody’s accounts.'],
  ['Roles', 'Rights that count for every server.'],
  ['Nodes', 'Machines that run the agent.'],
  ['Locations', 'Where nodes are.'],
  ['IP pools', 'Addresses that servers can have as their own.'],
  ['Templates', 'How servers are built.'],
  ['Servers', 'Game servers and what can be done to them.'],
  ['Files', 'The files of servers, wherever these run.'],
  ['Members', 'Who else may do what on a server.'],
  ['Databases', 'Databases of servers.'],
  ['Database hosts', 'Where databases of servers are made.'],
  ['Metrics', 'What servers and nodes use, now and before.'],
  ['Console', 'What servers say and are told.'],
  ['Deployment', 'How an agent gets onto a machine.'],
  ['Administration', 'The whole installation: figures, health, the audit log.'],
  ['Health', 'Whether the panel is well.'],
] as const;

const zodToJsonConfig = { override: describeRest };
const toJsonSchema = createJsonSchemaTransform({ zodToJsonConfig });
const addNamedSchemas = createJsonSchemaTransformObject({ zodToJsonConfig });

/** OpenAPI 3.1 out of the routes' schemas: `/docs` for people, `/docs/json` for programs. Comes before all routes. */
export async function documentRoutes(app: FastifyInstance, options: DocumentOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Catalyst',
        version: options.version,
        description:
          'Runs game servers on your machines. Live consoles and states come over the WebSocket at `/ws`.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: options.publicUrl ?? '/' }],
      tags: TAGS.map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
        schemas: { Error: z.toJSONSchema(ErrorBody, { target: 'draft-2020-12' }) as object },
      },
    },
    transformObject: (input) => withoutUnused(addNamedSchemas(input)),
    transform(input) {
      const { schema, url: path } = toJsonSchema(input as Parameters<typeof toJsonSchema>[0]);
      const url = path.length > 1 ? path.replace(/\/$/, '') : path;
      if (!schema || 'hide' in schema) return { schema: schema ?? { hide: true }, url };
      const access = input.route.config?.access;
      const operationId = operationName(String(input.route.method), url);
      return {
        schema: {
          operationId,
          ...schema,
          ...accessPart(access),
          description: [schema.description, accessSentence(access)].filter(Boolean).join(' '),
          response: responses(schema, access),
        },
        url,
      };
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    // Over plain HTTP the page would ask for its scripts by HTTPS.
    transformStaticCSP: (policy) => policy.replace('upgrade-insecure-requests;', ''),
    // The badge of the validator tells a stranger where the panel is.
    uiConfig: { persistAuthorization: true, validatorUrl: null },
  });
}

/** Named schemas are there twice, as they come in and as they go out; most are only ever one of the two. */
function withoutUnused<Document extends object>(document: Document): Document {
  const { components } = document as { components?: { schemas?: Record<string, object> } };
  const text = JSON.stringify(document);
  for (const name of Object.keys(components?.schemas ?? {})) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete components?.schemas?.[name];
  }
  return document;
}

/** `GET /api/nodes/:nodeId` → `getNodesNodeId`: what a generated client calls it. */
function operationName(method: string, url: string): string {
  const words = url.replace(/^\/api\//, '').match(/[A-Za-z0-9]+/g) ?? [];
  const capitalised = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return [method.toLowerCase(), ...capitalised].join('');
}

/** For programs: who may call the route, as it is declared. */
function accessPart(access: Access | undefined): object {
  return { security: access === 'public' ? [] : [{ bearer: [] }], 'x-access': access };
}

function accessSentence(access: Access | undefined): string {
  if (access === 'public') return '';
  if (access === 'signed-in' || access === undefined) return '';
  if (access === 'session') return 'Takes a session: an API key is refused.';
  const isForOwners = !isRoleOnly(access);
  return `Needs \`${access}\`${isForOwners ? ', from a role, as the owner or as a member of the server' : ' from a role'}.`;
}

/** What any route can answer beside what it declares. */
function responses(schema: FastifySchema, access: Access | undefined): object {
  const declared = typeof schema.response === 'object' ? schema.response : {};
  const errors = [
    ...(schema.body || schema.querystring || schema.params ? [[400, 'The request is not valid.']] : []),
    ...(access === 'public' ? [] : [[401, 'Not signed in.']]),
    ...(access === 'public' || access === 'signed-in' ? [] : [[403, 'Not allowed.']]),
    ...(schema.params ? [[404, 'There is no such thing, or it may not be seen.']] : []),
    [429, 'Too many requests: `Retry-After` says when to come again.'],
    [503, 'The database or the node is away, or the panel is stopping.'],
  ] as [number, string][];
  const described = errors.map(([status, description]) => [
    status,
    { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
  ]);
  return { ...Object.fromEntries(described), ...declared };
}
