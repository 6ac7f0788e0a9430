import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Logger } from 'pino';
import { z } from 'zod';
import { isErrorCode } from '../atomic-file.js';
import { ConsoleBatch } from './console-batch.js';

const Tail = z.object({ data: z.string(), isContinued: z.boolean() });

/** Everything up to `cursor` is in `batches` of this entry and those before it, or in `tails`. */
const JournalEntry = z.object({
  seq: z.number().int().nonnegative(),
  cursor: z.string().nullable(),
  /** Unfinished lines at the cursor, as base64. */
  tails: z.object({ stdout: Tail, stderr: Tail }).nullable(),
  batches: z.array(ConsoleBatch),
});
export type JournalEntry = z.infer<typeof JournalEntry>;

/**
 * The console lines that the panel has not acknowledged, and how far the runtime's output was read. An
 * entry is written before its lines are sent: an agent that is killed in between finds them here, and goes
 * on in the output right behind them.
 *
 * It survives the end of the process, not of the machine, with which the games would end as well: nothing
 * is forced to the disk.
 */
export interface Journal {
  append(entry: JournalEntry): void;
  /** Replace everything by one entry as soon as the file has grown to more than twice what that needs. */
  compactIfGrown(neededBytes: number, entry: () => JournalEntry): void;
  replace(entry: JournalEntry): void;
  close(): void;
  remove(): void;
}

const COMPACT_MIN_BYTES = 1024 * 1024;

/** @returns The journal, and its entries merged into one; null when there were none. */
export function openJournal(path: string, log: Logger): { journal: Journal; restored: JournalEntry | null } {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const { entries, sizeBytes: loadedBytes, isDamaged } = load(path);
  let descriptor = openSync(path, 'a', 0o600);
  let sizeBytes = loadedBytes;
  let isFailing = false;
  let isClosed = false;

  /** A full disk must not end the game's console: it goes on, and only the resumption suffers. */
  function attempt(write: () => void) {
    // The number of a closed file may be another file's by now.
    if (isClosed) return;
    try {
      write();
    } catch (error) {
      if (!isFailing) log.error({ error, path }, 'the console journal cannot be written');
      isFailing = true;
    }
  }

  function replace(entry: JournalEntry) {
    attempt(() => {
      const line = encode(entry);
      const temporaryPath = `${path}.tmp`;
      const replacement = openSync(temporaryPath, 'w', 0o600);
      try {
        writeFully(replacement, line);
        renameSync(temporaryPath, path);
      } catch (error) {
        closeSync(replacement);
        throw error;
      }
      closeSync(descriptor);
      descriptor = replacement;
      sizeBytes = line.length;
      if (isFailing) log.info({ path }, 'the console journal can be written again');
      isFailing = false;
    });
  }

  function close() {
    if (!isClosed) closeSync(descriptor);
    isClosed = true;
  }

  const restored = merge(entries);
  // A torn last line must not have the next entry written behind it.
  if (isDamaged && restored !== null) replace(restored);
  else if (isDamaged) replace({ seq: 0, cursor: null, tails: null, batches: [] });

  return {
    restored,
    journal: {
      append(entry) {
        attempt(() => {
          const line = encode(entry);
          writeFully(descriptor, line);
          sizeBytes += line.length;
        });
      },
      compactIfGrown(neededBytes, entry) {
        // After a failed write there may be half an entry, and nothing behind it would be found again.
        if (isFailing || sizeBytes > Math.max(COMPACT_MIN_BYTES, neededBytes * 2)) replace(entry());
      },
      replace,
      close,
      remove() {
        close();
        rmSync(path, { force: true });
      },
    },
  };
}

function encode(entry: JournalEntry): Buffer {
  const json = JSON.stringify(entry);
  return Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} ${json}\n`);
}

function writeFully(descriptor: number, bytes: Buffer) {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
}

function load(path: string): { entries: JournalEntry[]; sizeBytes: number; isDamaged: boolean } {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return { entries: [], sizeBytes: 0, isDamaged: false };
    throw error;
  }
  const entries: JournalEntry[] = [];
  const lines = content.split('\n');
  // The text after the last line end: empty, or an entry that was being written when the agent ended.
  let isDamaged = lines.pop() !== '';
  for (const line of lines) {
    const entry = decode(line);
    if (entry === null) {
      isDamaged = true;
      break;
    }
    entries.push(entry);
  }
  return { entries, sizeBytes: Buffer.byteLength(content), isDamaged };
}

function decode(line: string): JournalEntry | null {
  const json = line.slice(9);
  if (line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) return null;
  // Whole, but written by another version of the agent: as good as damaged.
  return JournalEntry.safeParse(JSON.parse(json)).data ?? null;
}

function merge(entries: JournalEntry[]): JournalEntry | null {
  const last = entries.at(-1);
  return last === undefined ? null : { ...last, batches: entries.flatMap((entry) => entry.batches) };
}
