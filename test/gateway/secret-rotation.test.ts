import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../agent/agent.js';
import { loadAgentConfig } from '../../agent/config.js';
import { eventually } from '../helpers/condition.js';
import { startPanelWithDoors } from '../helpers/doors.js';

test('our agent comes back with the secret it was told, and finds it again after a restart', async () => {
  const panel = await startPanelWithDoors();
  onTestFinished(() => panel.close());
  const { token: administrator } = await panel.createAdministrator();
  const node = await panel.createNode();
  const deployment = await panel.post(`/api/nodes/${node.id}/deployment-token`, {}, administrator);
  const dataDir = mkdtempSync(path.join(tmpdir(), 'catalyst-rotation-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const start = () =>
    startAgent({
      config: loadAgentConfig({
        PANEL_URL: `http://127.0.0.1:${panel.port}`,
        NODE_ID: node.id,
        NODE_TOKEN: deployment.body.data.deploymentToken,
        AGENT_DATA_DIR: dataDir,
        RUNTIME: 'process',
      }),
      shimCommand: ['false'],
      configureCommand: ['false'],
      log: pino({ level: 'silent' }),
      timings: { redialMinMs: 20, redialMaxMs: 100 },
    });
  const connected = (secretIsNot: string | undefined) =>
    eventually('a connection', () => {
      const version = panel.context.agents.connection(node.id)?.secretVersion;
      return version !== secretIsNot && version;
    });

  const agent = await start();
  onTestFinished(() => agent.stop());
  const before = await connected(undefined);
  const rotated = await panel.post(`/api/nodes/${node.id}/rotate-secret`, {}, administrator);
  expect(rotated.body.data.agentUpdated).toBe(true);
  await connected(before);
  await agent.stop();
  await eventually('it is gone', () => !panel.context.agents.isConnected(node.id));

  const restarted = await start();
  onTestFinished(() => restarted.stop());
  await connected(undefined);
});
