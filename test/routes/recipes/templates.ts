import type { Recipes } from '../recipe.js';
import { unique } from '../world.js';

function template() {
  return {
    name: unique('template'),
    description: 'Runs a game',
    dockerImage: 'debian:bookworm-slim',
    images: { 'Debian 12': 'debian:bookworm-slim' },
    startCommand: 'run --port {{PORT}} --name {{NAME}}',
    stopCommand: 'stop',
    stopSignal: null,
    ports: [{ internal: 25_565, external: 25_565 }],
    environment: { MEMORY: '{{MEMORY}}' },
    requiredVariables: ['NAME'],
    variables: [
      {
        name: 'NAME',
        description: 'What the game is called',
        default: 'game',
        required: false,
        userEditable: true,
        rules: 'required|string|max:20',
      },
    ],
    features: {},
    configFiles: [{ path: 'server.properties', parser: 'properties', values: { port: '{{PORT}}' } }],
    installImage: 'debian:bookworm-slim',
    installScript: 'echo installed',
    installShell: 'sh',
    installDataPath: null,
    installAsRoot: false,
    startupDetection: 'ready',
    dataPath: '/data',
  };
}

/** A game of another panel. */
function egg() {
  return {
    meta: { version: 'PTDL_v2', update_url: null },
    name: unique('egg'),
    author: 'somebody@example.com',
    description: 'Runs a game',
    docker_images: { 'Debian 12': 'debian:bookworm-slim' },
    startup: './game --port {{SERVER_PORT}}',
    config: { files: '{}', startup: '{"done": "ready"}', logs: '{}', stop: 'stop' },
    scripts: { installation: { script: 'echo ok', container: 'debian:bookworm-slim', entrypoint: 'bash' } },
    variables: [],
  };
}

export const TEMPLATES: Recipes = {
  'GET /api/templates': {},
  'GET /api/templates/{templateId}': {
    request: async ({ world }) => ({ parameters: { templateId: (await world.template()).id } }),
  },
  'POST /api/templates': { status: 201, request: () => ({ body: template() }) },
  'PUT /api/templates/{templateId}': {
    request: async ({ world }) => ({
      parameters: { templateId: (await world.template()).id },
      body: template(),
    }),
  },
  'DELETE /api/templates/{templateId}': {
    request: async ({ world }) => ({ parameters: { templateId: (await world.template()).id } }),
  },
  'GET /api/templates/{templateId}/export': {
    request: async ({ world }) => ({ parameters: { templateId: (await world.template()).id } }),
  },
  'POST /api/templates/import': { status: 201, request: () => ({ body: egg() }) },
};
