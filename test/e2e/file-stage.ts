import { chmodSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../helpers/free-port.js';
import type { Login } from '../sftp/harness.js';
import { type Game, type Stage, type StageOptions, setStage } from './main-job.js';
import { temporaryDirectory, until } from './processes.js';

const idle: Game = {
  runtime: 'process',
  template: {
    name: 'Files',
    dockerImage: 'node:20-bookworm-slim',
    startCommand: 'sleep 1000',
    stopCommand: 'stop',
    installScript: 'true',
    ports: [{ internal: 3979, external: 3979 }],
    environment: {},
    requiredVariables: [],
  },
};

/** A panel and an agent as real processes, and a server that has its directory. */
export interface FileStage extends Stage {
  /** Where its files are over REST. */
  filesUrl: string;
  login: Login;
  inside(...names: string[]): string;
  /** After either was started again: the two have found each other, and the files can be reached over both doors. */
  untilFilesAreReached(): Promise<void>;
}

export async function setFileStage(options: StageOptions = {}): Promise<FileStage> {
  const sftpPort = await freePort();
  const ownDirectory = temporaryDirectory();
  // The servers' user is to get through to its own.
  chmodSync(ownDirectory.path, 0o711);
  const panelEnvironment = { SFTP_PORT: String(sftpPort), ...options.panelEnvironment };
  const agentDirectory = options.agentDirectory ?? ownDirectory.path;
  const stage = await setStage(idle, { agentDirectory, panelEnvironment }).catch((error: unknown) => {
    ownDirectory.remove();
    throw error;
  });
  const { user, serverId, directory } = stage;
  const fileStage: FileStage = {
    ...stage,
    async close() {
      await stage.close();
      ownDirectory.remove();
    },
    filesUrl: `/api/servers/${serverId}/files`,
    login: { port: sftpPort, username: serverId, password: user.token },
    inside: (...names) => path.join(directory, ...names),
    untilFilesAreReached: () =>
      until('the files are reached', async () => {
        await user.must('GET', `/api/servers/${serverId}/files`);
        return true;
      }),
  };
  try {
    await user.must('POST', `/api/servers/${serverId}/install`);
    await stage.watcher.until('it is installed', () =>
      stage.watcher.states().join().endsWith('installing,stopped'),
    );
    await fileStage.untilFilesAreReached();
    return fileStage;
  } catch (error) {
    await fileStage.close();
    throw error;
  }
}

/** What is not finished below a directory: names of our own, and how many bytes are in each. */
export function unfinishedIn(directory: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of namesBelow(directory)) {
    if (!path.basename(name).startsWith('.catalyst-')) continue;
    found.set(name, statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0);
  }
  return found;
}

/** It changes while it is looked at. */
function namesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
