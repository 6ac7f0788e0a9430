import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveFormat, WorkProgress } from '../../src/protocol/file-works.js';
import { type FilesOptions, openFiles, UUID } from './files-harness.js';

export const FORMATS: ArchiveFormat[] = ['tar', 'tar.gz', 'tar.zst', 'zip'];

/** The real service, to make and unpack archives with. */
export function openArchives(options: FilesOptions = {}) {
  const files = openFiles(options);
  const call = (signal: AbortSignal, report: (progress: WorkProgress) => void) => ({
    ...files.call,
    signal,
    report,
  });
  return {
    ...files,
    compress: (
      paths: string[],
      to: string,
      format: ArchiveFormat,
      { replace = false, signal = files.call.signal, report = () => {} }: Partial<CompressCall> = {},
    ) => files.service.work(UUID, 'compress', { paths, to, format, replace }, call(signal, report)),
    extract: (
      path: string,
      to: string,
      { signal = files.call.signal, report = () => {} }: Partial<ArchiveCall> = {},
    ) => files.service.work(UUID, 'extract', { path, to }, call(signal, report)),
    /** The service's own view of what the server has. */
    usedBytes: async () => (await files.operate('usage', {})).usedBytes,
  };
}

interface ArchiveCall {
  signal: AbortSignal;
  report(progress: WorkProgress): void;
}

interface CompressCall extends ArchiveCall {
  replace: boolean;
}

export type Archives = ReturnType<typeof openArchives>;

/** Everything there is below a directory, each with what counts of it, as text. */
export function describe(directory: string, { times = true } = {}): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'latin1' })
    .map((name) => describeEntry(directory, Buffer.from(name, 'latin1'), times))
    .sort();
}

function describeEntry(directory: string, name: Buffer, times: boolean): string {
  const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
  const status = lstatSync(path);
  const shown = name.toString('latin1');
  if (status.isSymbolicLink()) return `${shown} -> ${readlinkSync(path)}`;
  const time = times ? ` at ${Math.floor(status.mtimeMs / 1000)}` : '';
  const mode = (status.mode & 0o7777).toString(8);
  if (!status.isFile()) return `${shown}/ ${mode}`;
  const sum = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
  return `${shown} ${mode} ${status.size} ${sum}${time}`;
}

/** How many descriptors this process has open, the one for looking left out. */
export function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** The programs that this process has started and that are still there. */
export function children(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const [, parent] =
          /^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(join('/proc', pid, 'stat'), 'utf8')) ?? [];
        return Number(parent) === process.pid ? [readFileSync(join('/proc', pid, 'cmdline'), 'utf8')] : [];
      } catch {
        return [];
      }
    });
}
