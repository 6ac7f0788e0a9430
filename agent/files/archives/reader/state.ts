import type { Dir } from 'node:fs';
import type { MessagePort } from 'node:worker_threads';
import type { Done, Listing, Looked, Request, Status, ThreadData } from './messages.js';

/** What the thread that reads works with. */
export interface Thread {
  fs: typeof import('node:fs');
  port: MessagePort;
  data: ThreadData;
  parts: Parts;
  memory: Buffer;
  dealtWith: Int32Array;
  splice: ((from: number, to: number, bytes: number) => number) | null;
  listed: Map<number, { dir: Dir; status: Status }>;
  filledBytes: number;
  blocks: number;
  untoldBytes: number;
  told: number;
  done: { bytes: number; entries: number };
  counted: { way: { directory: number; dir: Dir }[]; bytes: number; isPossible: boolean };
  isEnded: boolean;
}

/** What the files of its program have for one another. */
export interface Parts {
  enter(thread: Thread, at: Buffer): Listing | null;
  more(thread: Thread, directory: number): Listing | null;
  leave(thread: Thread, directory: number): void;
  look(thread: Thread, at: Buffer, name: string): Looked | null;
  count(thread: Thread): void;
  beginCounting(thread: Thread, at: Buffer, bytes: number): void;
  stopCounting(thread: Thread): void;
  doneSoFar(thread: Thread): Done;
  flush(thread: Thread): void;
  copyAll(thread: Thread, request: Request & { does: 'copy' }): void;
}
