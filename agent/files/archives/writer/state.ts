import type { MessagePort } from 'node:worker_threads';
import type { SourceData, Step, ThreadData } from './messages.js';

export interface KnownDirectory {
  parent: number;
  name: string;
  /** Null: it is not open. */
  file: number | null;
  mode: number;
  seconds: number | null;
}

/** What the thread that writes works with. */
export interface Thread {
  fs: typeof import('node:fs');
  port: MessagePort;
  data: ThreadData;
  parts: Parts;
  memory: Buffer;
  control: Int32Array;
  source: (SourceData & { position: number }) | null;
  directories: Map<number, KnownDirectory>;
  openCount: number;
  /** The one that is being written. */
  file: number | null;
  /** Bytes that were written and not told of. */
  untoldBytes: number;
  isEnded: boolean;
}

/** What the files of its program have for one another. */
export interface Parts {
  makeDirectory(thread: Thread, step: Step & { makes: 'directory' }): void;
  describe(thread: Thread, step: Step & { makes: 'attributes' }): void;
  directoryOf(thread: Thread, directory: number): number;
  closeDirectories(thread: Thread): void;
  finishDirectories(thread: Thread): void;
  throwIfStopped(thread: Thread): void;
  create(thread: Thread, at: { directory: number; name: string }): void;
  write(thread: Thread, bytes: Uint8Array): void;
  finishFile(thread: Thread, attributes: { mode: number; seconds: number | null }): void;
  copy(thread: Thread, step: Step & { makes: 'copy' }): void;
  makeLink(thread: Thread, step: Step & { makes: 'link' }): void;
  tell(thread: Thread, isOver: boolean): void;
}
