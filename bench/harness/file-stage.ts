import type { Bench } from './bench.js';
import { freePort, type Panel, startPanel } from './panel.js';
import { installServer, type RealAgent, startRealAgent } from './real-agent.js';
import { createNode, createServers, createTemplate, type SeededServer } from './seed.js';

const UPLOAD_MAX_MB = 4096;
const DISK_MB = 16_384;

/** A panel, an agent, and a server that has files. */
export interface FileStage {
  panel: Panel;
  agent: RealAgent;
  server: SeededServer;
  sftpPort: number;
  /** Of its REST door to files. */
  filesPath: string;
}

/** @param game What the server runs when it is started. */
export async function startFileStage(bench: Bench, game: [string, ...string[]]): Promise<FileStage> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const sftpPort = await freePort();
  const panel = await startPanel({
    database,
    directory: bench.directory,
    environment: {
      SFTP_PORT: `${sftpPort}`,
      FILE_UPLOAD_MAX_MB: `${UPLOAD_MAX_MB}`,
      RATE_LIMIT_PER_MINUTE: '0',
    },
  });
  bench.defer(() => panel.stop());
  const node = await createNode(panel.api, 'bench');
  const templateId = await createTemplate(panel.api, 'bench', game);
  const [server] = await createServers(panel.api, {
    node,
    templateId,
    count: 1,
    allocatedDiskMb: DISK_MB,
  });
  if (!server) throw new Error('The panel created no server.');
  const agent = await startRealAgent(panel, node, bench.directory);
  bench.defer(() => agent.stop());
  await installServer(panel, server.id);
  return { panel, agent, server, sftpPort, filesPath: `/api/servers/${server.id}/files` };
}
