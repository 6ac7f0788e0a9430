import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startAgent } from '../../agent/agent.js';
import type { AgentConfig } from '../../agent/config.js';
import { agentConfig, configureCommand, shimCommand } from '../agent/harness.js';
import { eventually } from './condition.js';
import type { PanelWithDoors } from './doors.js';

export type FileNode = Awaited<ReturnType<typeof startFileNode>>;

/** A node whose agent, in this process, is connected and has the files of servers. */
export async function startFileNode(
  panel: PanelWithDoors,
  fields: Record<string, unknown> = {},
  settings: Partial<AgentConfig> = {},
) {
  const node = await panel.createNode({ maxMemoryMb: 10_000_000, maxCpuCores: 4000, ...fields });
  const dataDir = mkdtempSync(join(tmpdir(), 'catalyst-files-'));
  const config = {
    ...agentConfig({ url: `http://127.0.0.1:${panel.port}` }, dataDir),
    nodeId: node.id,
    nodeToken: node.secret,
    ...settings,
  };
  // Nothing comes from the node by itself while a test compares what is stored.
  const timings = { redialMinMs: 20, redialMaxMs: 100, healthIntervalMs: 3_600_000 };
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const { token } = await panel.createAdministrator();
  const agent = await startAgent({ config, shimCommand, configureCommand, log, timings });
  let stopped: Promise<void> | undefined;
  await eventually('the files of the node can be reached', () =>
    panel.context.filePlane.isReachable(node.id),
  );

  return {
    id: node.id,
    directoryOf: (uuid: string) => join(dataDir, 'servers', uuid),
    /** Has the node install the server, which gives it its directory, and then changes its row. */
    async install(server: { id: string; uuid: string }, fields: Record<string, unknown> = {}) {
      const { prisma } = panel.context.database;
      const { id } = server;
      const answer = await panel.post(`/api/servers/${id}/install`, undefined, token);
      if (answer.status !== 200) throw new Error(`not installed: ${answer.text}`);
      await eventually('the server is installed', () =>
        prisma.server.findFirst({
          where: { id, status: 'stopped', installedAt: { not: null }, activeAction: null },
        }),
      );
      await eventually('its last line is stored', async () =>
        (await panel.get(`/api/servers/${id}/logs`, token)).text.includes('The server is installed'),
      );
      // What these tests look for is not about how the server came to be.
      await prisma.auditLog.deleteMany({ where: { serverId: id } });
      await prisma.server.update({ where: { id }, data: fields });
      return this.directoryOf(server.uuid);
    },
    stop(): Promise<void> {
      stopped ??= agent.stop();
      return stopped;
    },
    async close() {
      await this.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
