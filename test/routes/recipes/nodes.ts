import type { Recipes } from '../recipe.js';
import { unique } from '../world.js';

export const NODES: Recipes = {
  'GET /api/locations': {},
  'GET /api/locations/{locationId}': {
    request: async ({ world }) => ({ parameters: { locationId: (await world.location()).id } }),
  },
  'POST /api/locations': {
    status: 201,
    request: () => ({ body: { name: unique('location'), description: 'in the north' } }),
  },
  'PUT /api/locations/{locationId}': {
    request: async ({ world }) => ({
      parameters: { locationId: (await world.location()).id },
      body: { name: unique('location'), description: 'in the south' },
    }),
  },
  'DELETE /api/locations/{locationId}': {
    request: async ({ world }) => ({ parameters: { locationId: (await world.location()).id } }),
  },
  'GET /api/nodes': {},
  'GET /api/nodes/{nodeId}': {
    request: async ({ world }) => ({ parameters: { nodeId: (await world.node()).id } }),
  },
  'POST /api/nodes': {
    status: 201,
    request: ({ world }) => ({
      body: {
        name: unique('node'),
        description: 'a machine',
        locationId: world.locationId,
        hostname: 'node.example.com',
        publicAddress: '192.0.2.7',
        maxMemoryMb: 4096,
        maxCpuCores: 4,
        maxDiskMb: 100_000,
        portRangeStart: 20_000,
        portRangeEnd: 30_000,
        memoryOverallocatePercent: 10,
        cpuOverallocatePercent: 20,
        diskOverallocatePercent: 0,
        tags: ['ssd'],
        isInMaintenance: false,
      },
    }),
  },
  'PUT /api/nodes/{nodeId}': {
    request: async ({ world }) => ({
      parameters: { nodeId: (await world.node()).id },
      body: {
        name: unique('node'),
        description: 'another machine',
        locationId: world.locationId,
        hostname: 'node2.example.com',
        publicAddress: '192.0.2.8',
        maxMemoryMb: 8192,
        maxCpuCores: 8,
        maxDiskMb: null,
        portRangeStart: 20_000,
        portRangeEnd: 30_000,
        memoryOverallocatePercent: 10,
        cpuOverallocatePercent: 20,
        diskOverallocatePercent: 0,
        tags: ['ssd'],
        isInMaintenance: true,
      },
    }),
  },
  'DELETE /api/nodes/{nodeId}': {
    request: async ({ world }) => ({ parameters: { nodeId: (await world.node()).id } }),
  },
  'POST /api/nodes/{nodeId}/deployment-token': {
    request: async ({ world }) => ({ parameters: { nodeId: (await world.node()).id } }),
  },
  'GET /api/nodes/{nodeId}/deployment-tokens': {
    request: async ({ world }) => ({ parameters: { nodeId: (await world.node()).id } }),
  },
  'DELETE /api/nodes/{nodeId}/deployment-tokens/{tokenId}': {
    async request({ world }) {
      const { id: nodeId } = await world.node();
      return { parameters: { nodeId, tokenId: (await world.deploymentToken(nodeId)).id } };
    },
  },
  'POST /api/nodes/{nodeId}/rotate-secret': {
    request: async ({ world }) => ({ parameters: { nodeId: (await world.node()).id } }),
  },
  'GET /api/nodes/{nodeId}/stats': {
    request: ({ world }) => ({ parameters: { nodeId: world.nodeId } }),
  },
  'GET /api/nodes/{nodeId}/metrics': {
    request: ({ world }) => ({ parameters: { nodeId: world.nodeId } }),
  },
  'GET /api/nodes/{nodeId}/ip-availability': {
    request: ({ world }) => ({ parameters: { nodeId: world.nodeId } }),
  },
};
