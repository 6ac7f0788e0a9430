import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Access } from './auth.js';
import { ErrorBody } from './errors.js';
import { describeRest } from './json-schema.js';

export interface DocumentOptions {
  version: string;
  /** Where clients reach the panel; unset: wherever the document came from. */
  publicUrl: string | undefined;
}

const TAGS = [
  ['Authentication', 'Accounts and sessions.'],
  ['Nodes', 'Machines that run the agent.'],
  ['Locations', 'Where nodes are.'],
  ['Templates', 'How servers are built.'],
  ['Servers', 'Game servers and what can be done to them.'],
  ['Console', 'What servers say and are told.'],
  ['Deployment', 'How an agent gets onto a machine.'],
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
    transformObject: addNamedSchemas,
    transform(input) {
      const { schema, url: path } = toJsonSchema(input as Parameters<typeof toJsonSchema>[0]);
      const url = path.length > 1 ? path.replace(/\/$/, '') : path;
      if (!schema || 'hide' in schema) return { schema: schema ?? { hide: true }, url };
      const access = input.route.config?.access;
      const operationId = operationName(String(input.route.method), url);
      return {
        schema: { operationId, ...schema, ...accessPart(access), response: responses(schema, access) },
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

/** `GET /api/nodes/:nodeId` → `getNodesNodeId`: what a generated client calls it. */
function operationName(method: string, url: string): string {
  const words = url.replace(/^\/api\//, '').match(/[A-Za-z0-9]+/g) ?? [];
  const capitalised = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return [method.toLowerCase(), ...capitalised].join('');
}

function accessPart(access: Access | undefined): object {
  return access === 'public' ? { security: [] } : { security: [{ bearer: [] }] };
}

/** What any route can answer beside what it declares. */
function responses(schema: FastifySchema, access: Access | undefined): object {
  const declared = typeof schema.response === 'object' ? schema.response : {};
  const errors = [
    ...(schema.body || schema.querystring || schema.params ? [[400, 'The request is not valid.']] : []),
    ...(access === 'public' ? [] : [[401, 'Not signed in.']]),
    ...(access === 'public' || access === 'signed-in' ? [] : [[403, 'Not allowed.']]),
    ...(schema.params ? [[404, 'There is no such thing, or it may not be seen.']] : []),
    [503, 'The database or the node is away, or the panel is stopping.'],
  ] as [number, string][];
  const described = errors.map(([status, description]) => [
    status,
    { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
  ]);
  return { ...Object.fromEntries(described), ...declared };
}
