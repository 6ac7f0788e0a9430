import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectAgent, makeDataDir, makePanel, spawnAgent } from './harness.js';

function storedSecret(dataDir: string): unknown {
  return JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8'))['node-1']?.secret;
}

test('a new secret is stored for the agent alone, and the next connection is made with it', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  panel.settings.refusedTokens.push('token-1');
  panel.send({ type: 'rotate_secret', secret: 'secret-2' });
  await panel.until('the agent is connected with the new secret', () => panel.tokens.at(-1) === 'secret-2');
  await panel.waitFor('node_handshake', ({ token }) => token === 'secret-2');
  expect(panel.tokens).toEqual(['token-1', 'secret-2']);
  expect(storedSecret(dataDir)).toBe('secret-2');
  expect(statSync(join(dataDir, 'credentials.json')).mode & 0o777).toBe(0o600);
  await panel.until('the old connection is gone', () => panel.connections() === 1);
});

test('a panel that ends the old connection itself is dialled with the new secret first', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  panel.settings.refusedTokens.push('token-1');
  panel.send({ type: 'rotate_secret', secret: 'secret-2' });
  panel.disconnectAgents(4401);
  await panel.waitFor('node_handshake', ({ token }) => token === 'secret-2');
  expect(panel.tokens).toEqual(['token-1', 'secret-2']);
});

test('an agent that is killed right after it was told uses whichever secret is on the disk', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = spawnAgent(panel, dataDir);
  await panel.waitFor('health_report');
  panel.send({ type: 'rotate_secret', secret: 'secret-2' });
  agent.kill('SIGKILL');
  await once(agent, 'exit');
  const expected = readStored(dataDir) ?? 'token-1';
  const count = panel.tokens.length;
  spawnAgent(panel, dataDir);
  await panel.until('it is back', () => panel.tokens.length > count);
  expect(panel.tokens.at(-1)).toBe(expected);
});

function readStored(dataDir: string): unknown {
  try {
    return storedSecret(dataDir);
  } catch {
    return null;
  }
}

test('after the rotation the old token in the environment does no harm', async () => {
  const panel = await makePanel();
  const agent = await connectAgent(panel);
  panel.settings.refusedTokens.push('token-1');
  panel.send({ type: 'rotate_secret', secret: 'secret-2' });
  await panel.waitFor('node_handshake', ({ token }) => token === 'secret-2');
  await agent.stop();
  await connectAgent(panel, agent.dataDir);
  expect(panel.tokens).toEqual(['token-1', 'secret-2', 'secret-2']);
});

test('a secret that was changed while the agent was away comes from the environment, and the stored one is forgotten', async () => {
  const panel = await makePanel();
  const agent = await connectAgent(panel);
  panel.send({ type: 'rotate_secret', secret: 'secret-2' });
  await panel.waitFor('node_handshake', ({ token }) => token === 'secret-2');
  await agent.stop();
  // What the panel passes to the agent that it starts itself is always the current one.
  panel.settings.refusedTokens.push('token-1', 'secret-2');
  await connectAgent(panel, agent.dataDir, {}, { nodeToken: 'secret-3' });
  expect(panel.tokens.slice(-2)).toEqual(['secret-2', 'secret-3']);
  expect(storedSecret(agent.dataDir)).toBeUndefined();
});
