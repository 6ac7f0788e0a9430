import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { onTestFinished } from 'vitest';
import type { WorkProgress } from '../../src/protocol/file-works.js';
import { type FilesOptions, openFiles, UUID } from './files-harness.js';

export interface PullChanges {
  path?: string;
  replace?: boolean;
  sizeBytesMax?: number;
  signal?: AbortSignal;
}

/** A server whose files are fetched from elsewhere. */
export function openPulls(options: FilesOptions = {}) {
  const files = openFiles(options);
  const reports: WorkProgress[] = [];
  return {
    ...files,
    reports,
    pull(url: string, changes: PullChanges = {}) {
      const { path = 'new', replace = false, sizeBytesMax = 2 ** 40, signal = files.call.signal } = changes;
      const call = { ...files.call, signal, report: (progress: WorkProgress) => reports.push(progress) };
      return files.service.work(UUID, 'pull', { url, path, replace, sizeBytesMax }, call);
    },
    /** Everything in the server's directory. */
    names: () => readdirSync(files.places.server, { recursive: true, encoding: 'utf8' }).sort(),
  };
}

/** Answers on this machine until the test ends. @returns Its port. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** @returns The address of its files. */
export async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  onTestFinished(() => server.closeAllConnections());
  return `http://127.0.0.1:${await listen(server)}`;
}
