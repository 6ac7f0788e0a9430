import type { Recipes } from '../recipe.js';
import { unique } from '../world.js';

export const PUBLIC: Recipes = {
  'GET /health': {},
  'GET /ready': {},
  'GET /api/agent/catalyst-agent.mjs': {},
  'GET /api/deploy/{token}': {
    async request({ world }) {
      const administrator = await world.user(['*']);
      const url = `/api/nodes/${(await world.node()).id}/deployment-token`;
      const { body } = await world.panel.post(url, undefined, administrator.token);
      return { parameters: { token: body.data.deploymentToken } };
    },
  },
  'POST /api/auth/register': {
    request() {
      const username = unique('somebody');
      return { body: { email: `${username}@example.com`, password: 'a good password', username } };
    },
  },
  'POST /api/auth/login': {
    request: ({ caller: { email, password } }) => ({ body: { email, password } }),
  },
  'POST /api/auth/refresh': {
    isAudited: false,
    async request({ world, caller: { email, password } }) {
      const { body } = await world.panel.post('/api/auth/login', { email, password });
      return { body: { refreshToken: body.data.refreshToken } };
    },
  },
};
