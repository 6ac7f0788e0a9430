import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type FastifyInstance, fastify, LogController } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { Context } from './context.js';
import { authenticateRequests } from './http/auth.js';
import { limitBodyTime } from './http/deadlines.js';
import { answerBrokenRequest, handleErrors, sendError } from './http/errors.js';
import { documentRoutes } from './http/openapi.js';
import { letRequestsGoFirst } from './http/precedence.js';
import { limitRequests } from './http/rate-limit.js';
import { logRequests } from './http/request-log.js';
import { secureRequests } from './http/security.js';
import { serializerCompiler } from './http/serializer.js';
import { refuseWhileStopping } from './http/stopping.js';
import { adminRoutes } from './modules/admin/routes.js';
import { auditRoutes } from './modules/audit/routes.js';
import { authRoutes } from './modules/auth/routes.js';
import { consoleRoutes } from './modules/console/routes.js';
import { databaseHostRoutes } from './modules/databases/host-routes.js';
import { databaseRoutes } from './modules/databases/routes.js';
import { deployRoutes } from './modules/deploy/routes.js';
import { fileRoutes } from './modules/files/routes.js';
import { healthRoutes } from './modules/health/routes.js';
import { ipAvailabilityRoutes } from './modules/ip-pools/node-routes.js';
import { ipPoolRoutes } from './modules/ip-pools/routes.js';
import { locationRoutes } from './modules/locations/routes.js';
import { memberRoutes } from './modules/members/routes.js';
import { nodeMetricsRoutes } from './modules/metrics/node-routes.js';
import { serverMetricsRoutes } from './modules/metrics/server-routes.js';
import { nodeRoutes } from './modules/nodes/routes.js';
import { roleRoutes } from './modules/roles/routes.js';
import { serverRoutes } from './modules/servers/routes.js';
import { templateRoutes } from './modules/templates/routes.js';
import { userRoutes } from './modules/users/routes.js';
import { userSecurityRoutes } from './modules/users/security-routes.js';

const BODY_MAX_BYTES = 1024 * 1024;
const PARAMETER_MAX_LENGTH = 512;
const IDLE_CONNECTION_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
/** For a request to arrive completely: a large upload over a slow line takes its time. Others have less: `limitBodyTime`. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** For its headers. */
const HEADERS_TIMEOUT_MS = 40_000;

/** The panel's HTTP door, complete but not listening. */
export async function buildApp(
  context: Context,
  { bodyTimeoutMs }: { bodyTimeoutMs?: number } = {},
): Promise<FastifyInstance> {
  const { config, database } = context;
  const app: FastifyInstance = fastify({
    loggerInstance: context.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: () => randomUUID(),
    trustProxy: config.TRUST_PROXY,
    routerOptions: { maxParamLength: PARAMETER_MAX_LENGTH },
    bodyLimit: BODY_MAX_BYTES,
    connectionTimeout: IDLE_CONNECTION_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
  });
  app.server.headersTimeout = HEADERS_TIMEOUT_MS;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);

  handleErrors(app);
  logRequests(app);
  refuseWhileStopping(app);
  limitBodyTime(app, bodyTimeoutMs);
  letRequestsGoFirst(app, context.precedence);
  await secureRequests(app, { corsOrigins: config.CORS_ORIGINS });
  await limitRequests(app, { config, auth: context.auth });
  await documentRoutes(app, { version: readVersion(), publicUrl: config.PUBLIC_URL });
  authenticateRequests(app, context.auth);

  await app.register(healthRoutes, { pool: database.pool });
  await app.register(authRoutes, { prefix: '/api/auth', auth: context.auth });
  await app.register(userRoutes, { prefix: '/api/admin/users', users: context.users });
  await app.register(userSecurityRoutes, { prefix: '/api/admin/users', users: context.users });
  await app.register(roleRoutes, { prefix: '/api/admin', roles: context.roles });
  await app.register(auditRoutes, { prefix: '/api', auditLogs: context.auditLogs });
  await app.register(adminRoutes, { prefix: '/api/admin', administration: context.administration });
  await app.register(locationRoutes, { prefix: '/api/locations', locations: context.locations });
  await app.register(nodeRoutes, { prefix: '/api/nodes', nodes: context.nodes });
  await app.register(ipPoolRoutes, { prefix: '/api/admin/ip-pools', ipPools: context.ipPools });
  await app.register(ipAvailabilityRoutes, { prefix: '/api/nodes', ipPools: context.ipPools });
  await app.register(nodeMetricsRoutes, { prefix: '/api/nodes', metrics: context.metrics });
  await app.register(serverMetricsRoutes, { prefix: '/api/servers', metrics: context.metrics });
  await app.register(templateRoutes, { prefix: '/api/templates', templates: context.templates });
  await app.register(serverRoutes, { prefix: '/api/servers', servers: context.servers });
  await app.register(memberRoutes, { prefix: '/api/servers', members: context.members });
  await app.register(databaseRoutes, { prefix: '/api/servers', databases: context.databases });
  await app.register(fileRoutes, { prefix: '/api/servers', files: context.files });
  await app.register(databaseHostRoutes, {
    prefix: '/api/admin/database-hosts',
    hosts: context.databases.hosts,
  });
  await app.register(consoleRoutes, { prefix: '/api/servers', console: context.console });
  await app.register(deployRoutes, { prefix: '/api', deployments: context.deployments });
  await app.ready();
  return app;
}

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}
