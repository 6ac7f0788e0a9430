import type { Api } from './api.js';

const NODE_MEMORY_MB = 1_048_576;
const NODE_CPU_CORES = 1024;
const FIRST_PORT = 20_000;

export interface SeededNode {
  id: string;
  secret: string;
  locationId: string;
}

export interface SeededServer {
  id: string;
  uuid: string;
}

interface Created<Data> {
  data: Data;
}

/** A location and a node large enough for every question. */
export async function createNode(api: Api, name: string): Promise<SeededNode> {
  const location = await api.send<Created<{ id: string }>>('POST', '/api/locations', { name: `at ${name}` });
  const node = await api.send<Created<{ id: string; secret: string }>>('POST', '/api/nodes', {
    name,
    locationId: location.data.id,
    hostname: '127.0.0.1',
    publicAddress: '127.0.0.1',
    maxMemoryMb: NODE_MEMORY_MB,
    maxCpuCores: NODE_CPU_CORES,
  });
  return { ...node.data, locationId: location.data.id };
}

/** @param game What a server of this template runs: a Node.js program, or a command. */
export async function createTemplate(
  api: Api,
  name: string,
  game: string | [string, ...string[]],
): Promise<string> {
  const { data } = await api.send<Created<{ id: string }>>('POST', '/api/templates', {
    name,
    dockerImage: 'catalyst-bench/none',
    startCommand: typeof game === 'string' ? [process.execPath, '-e', game] : game,
    stopCommand: 'stop',
    ports: [{ internal: 25565, external: 25565 }],
    environment: {},
    requiredVariables: [],
  });
  return data.id;
}

export interface ServersOptions {
  node: SeededNode;
  templateId: string;
  count: number;
  allocatedDiskMb?: number;
}

export async function createServers(api: Api, options: ServersOptions): Promise<SeededServer[]> {
  const servers: SeededServer[] = [];
  for (let index = 0; index < options.count; index += 1) {
    const { data } = await api.send<Created<SeededServer>>('POST', '/api/servers', {
      name: `bench-${index + 1}`,
      templateId: options.templateId,
      nodeId: options.node.id,
      locationId: options.node.locationId,
      allocatedMemoryMb: 512,
      allocatedCpuCores: 1,
      allocatedDiskMb: options.allocatedDiskMb ?? 1024,
      primaryPort: 25565,
      portBindings: { 25565: FIRST_PORT + index },
      networkMode: 'bridge',
      environment: {},
    });
    servers.push(data);
  }
  return servers;
}

/** One node, one server: what the console's questions need. */
export async function createConsoleServer(api: Api, script = '', name = 'bench') {
  const node = await createNode(api, name);
  const templateId = await createTemplate(api, name, script);
  const [server] = await createServers(api, { node, templateId, count: 1 });
  if (!server) throw new Error('The panel created no server.');
  return { node, server };
}
