import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
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
  return childPids().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
}

export function childPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === process.pid)
    .map(Number);
}

/** Null: it is gone. */
function parentOf(pid: string): number | null {
  try {
    return Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(join('/proc', pid, 'stat'), 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

/** @returns Rejects when it changes anything that should be as it was. */
export async function expectNothingLeft(archives: Archives, work: () => Promise<unknown>) {
  const { places, usedBytes } = archives;
  const before = describe(places.server);
  const used = await usedBytes();
  const descriptors = countDescriptors();
  const error = await work().then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).not.toBeNull();
  expect(describe(places.server)).toEqual(before);
  expect(children()).toEqual([]);
  expect(countDescriptors()).toBe(descriptors);
  expect(await usedBytes()).toBe(used);
  return error;
}

/** Aborted as soon as so much has been done. */
export function cancelAfter(doneEntries: number) {
  const abort = new AbortController();
  return {
    signal: abort.signal,
    report: (progress: { doneEntries: number }) => {
      if (progress.doneEntries >= doneEntries) abort.abort(new Error('cancelled'));
    },
  };
}
