import { serializerCompiler } from 'fastify-type-provider-zod';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { createSerializer } from '../../src/http/serializer.js';
import { success, successPage, Timestamp } from '../../src/lib/schemas.js';
import { MeResponse } from '../../src/modules/auth/account/account-schemas.js';
import { SignedInResponse } from '../../src/modules/auth/schemas.js';
import { NodeResponse, NodesResponse } from '../../src/modules/nodes/schemas.js';
import { ServerResponse, ServersResponse } from '../../src/modules/servers/schemas.js';
import { TemplateResponse, TemplatesResponse } from '../../src/modules/templates/schemas.js';

const at = new Date('2026-01-24T19:29:23.274Z');
const page = { page: 1, limit: 20, total: 1, pages: 1 };

const Named = z.object({ at: Timestamp.nullable() }).meta({ id: 'OnlyInThisTest' });

const node = {
  id: 'n',
  name: 'production "1"\n',
  description: '',
  locationId: 'l',
  hostname: 'h',
  publicAddress: 'a',
  maxMemoryMb: 1,
  maxCpuCores: 0.5,
  maxDiskMb: null,
  portRangeStart: 1,
  portRangeEnd: 2,
  memoryOverallocatePercent: 0,
  cpuOverallocatePercent: 10,
  diskOverallocatePercent: 0,
  tags: ['ssd'],
  isInMaintenance: false,
  isOnline: true,
  lastSeenAt: null,
  runtime: null,
  agentVersion: null,
  capabilities: [],
  createdAt: at,
  updatedAt: at,
  servers: [{ id: 's', name: 'ünï\u2028', status: 'running' }],
};

const template = {
  id: 't',
  name: 'n',
  description: '',
  dockerImage: 'i',
  images: { 'Java 21': 'i:21' },
  startCommand: ['sh', '-c', 'x'],
  stopCommand: null,
  stopSignal: 'SIGINT',
  ports: [{ internal: 1, external: 2 }],
  environment: { A: 'b' },
  requiredVariables: ['A'],
  variables: [
    { name: 'A', description: '', default: null, required: true, userEditable: false, rules: 'required' },
  ],
  features: { configFiles: ['/x'], nested: { list: [1, null, { deep: true }] } },
  installImage: null,
  installShell: 'sh',
  installDataPath: null,
  installAsRoot: false,
  startupDetection: null,
  dataPath: '/data',
  createdAt: at,
  updatedAt: at,
};

const configFiles = [
  { path: 'a.yml', parser: 'yaml', values: { a: 'b', c: 1, d: true, e: { 'regex:^x': 'y', '*': 2 } } },
];

const server = {
  id: 's',
  uuid: 'u',
  name: 'n',
  description: '',
  ownerId: 'o',
  nodeId: 'n',
  templateId: 't',
  status: 'running',
  statusStale: false,
  allocatedMemoryMb: 1,
  allocatedCpuCores: 0.25,
  allocatedDiskMb: 1,
  primaryPort: 1,
  networkMode: 'bridge',
  containerName: 'c',
  cpuUsage: 45.2,
  memoryUsageMb: 1,
  createdAt: at,
  updatedAt: at,
};

const serverDetail = {
  ...server,
  owner: { id: 'o', username: 'u' },
  node: { id: 'n', name: 'n', hostname: 'h' },
  template: { id: 't', name: 'n', dockerImage: 'i' },
  desiredState: 'running',
  statusReason: null,
  exitCode: null,
  oomKilled: null,
  startedAt: at,
  installedAt: null,
  environment: { EULA: 'TRUE' },
  portBindings: { '25565': 25565 },
  ipAddress: null,
  dockerImage: null,
  databaseLimit: 5,
  containerId: null,
  networkSent: 12345678901,
  networkReceived: 0,
  diskUsageMb: 0,
  crashCount: 0,
  lastCrashAt: null,
  restartPolicy: 'on-failure',
  maxCrashCount: 5,
  suspendedAt: null,
  suspendedByUserId: null,
  suspensionReason: null,
  deletionRequestedAt: null,
};

test.each([
  [
    'signed in',
    SignedInResponse,
    { userId: 'u', email: 'e', username: 'n', token: 't', refreshToken: 'r', expiresIn: 1 },
  ],
  ['me', MeResponse, { id: 'u', email: 'e', username: 'n', createdAt: at }],
  ['a node with its secret', NodeResponse, { ...node, secret: 's' }],
  ['a node', NodeResponse, { ...node, lastSeenAt: at, runtime: 'docker', maxDiskMb: 5 }],
  ['a template', TemplateResponse, { ...template, configFiles, installScript: 'x' }],
  ['a server', ServerResponse, serverDetail],
  ['what has a name', success(z.object({ list: z.array(Named) })), { list: [{ at: null, x: 1 }, { at }] }],
  ['dates and nulls', success(z.object({ a: Timestamp.nullable(), b: Timestamp.optional() })), { a: null }],
])('%s is written as zod would write it, without what is not declared', (_, schema, data) => {
  const value = { success: true, data: { ...data, passwordHash: 'leak' }, secretEncrypted: 'leak' };
  const zod = serializerCompiler({ schema, method: 'GET', url: '/', httpStatus: '200' });
  const text = createSerializer(schema)(value);
  expect(JSON.parse(text)).toEqual(JSON.parse(zod(value)));
  expect(text).not.toContain('leak');
});

test.each([
  ['nodes', NodesResponse, { ...node, secret: 'leak', secretEncrypted: 'leak' }],
  ['templates', TemplatesResponse, { ...template, installScript: 'leak' }],
  ['servers', ServersResponse, { ...server, secret: 'leak' }],
  ['dates', successPage(z.object({ at: Timestamp.nullable() })), { at }],
])('a list of %s is byte for byte what zod would write', (_, schema, item) => {
  const value = { success: true, data: [item, item], pagination: page };
  const zod = serializerCompiler({ schema, method: 'GET', url: '/', httpStatus: '200' });
  const text = createSerializer(schema)(value);
  expect(JSON.parse(text)).toEqual(JSON.parse(zod(value)));
  expect(text).toHaveLength(zod(value).length);
  expect(text).not.toContain('leak');
});
