/** What is told to the thread that reads: one after the other, and answered in that order where there is an answer. */
export type Request =
  /** Open a directory and look at the first names in it. Answered with null when it is no directory any more. */
  | { does: 'enter'; at: string; path: string }
  | { does: 'more'; directory: number }
  | { does: 'leave'; directory: number }
  /** Open one thing as a place. */
  | { does: 'look'; at: string; path: string }
  /** Close these without having read them. */
  | { does: 'drop'; places: number[] }
  /** Add this, and in between the sizes of the files below. Answered when it is open. */
  | { does: 'count'; at: string; bytes: number }
  /** The heads of all items stand one after the other. */
  | { does: 'copy'; items: Item[]; heads: Uint8Array; isFlushed: boolean }
  | { does: 'end' }
  /** Close everything and be gone. */
  | { does: 'stop' };

/** One piece of what is read: a head, so many bytes of a file, and zeros. */
export interface Item {
  headBytes: number;
  /** Closed by the thread. Null: there is no content. */
  place: number | null;
  /** Exactly so many: what there is more is left out, what is missing is zeros. */
  sizeBytes: number;
  zeroBytes: number;
  /** For whoever is told what went wrong with it. As Latin-1, like all names here: a name need not be text. */
  path: string;
}

/** What is said of a thing without waiting for a disk again. */
export interface Status {
  kind: 'file' | 'directory' | 'link' | 'other';
  mode: number;
  sizeBytes: number;
  modifiedAtMs: number;
  inode: number;
  device: number;
  uid: number;
}

export interface Looked {
  name: string;
  status: Status;
  /** Of files only. Open until they are copied or dropped. */
  place: number | null;
  /** Of links only; empty when it is one no longer. */
  target: string;
}

export interface Listing {
  directory: number;
  status: Status;
  looked: Looked[];
  /** There is no more in this directory. */
  isOver: boolean;
}

export interface Done {
  bytes: number;
  entries: number;
  /** Null: not known yet, or not to be found out. */
  totalBytes: number | null;
}

export type Reply =
  | { says: 'answer'; answer: Listing | Looked | null }
  /** So many bytes more: in the memory whose turn it is, or gone into the pipe since this was said last. */
  | { says: 'block'; bytes: number; done: Done }
  /** All of it, or nobody takes any more. */
  | { says: 'over'; done: Done; isWhole: boolean }
  | { says: 'failed'; path: string | null; code: string | null; message: string };

export interface ThreadData {
  /** Blocks that are used in turn. */
  memory: SharedArrayBuffer;
  blockBytes: number;
  blockCount: number;
  /** It is said after so many bytes that they are there. */
  toldBytes: number;
  /** So often before somebody has dealt with it. */
  toldMax: number;
  /** One number: how many blocks have been dealt with, or `stopped` when nobody wants any more. */
  control: SharedArrayBuffer;
  /** A pipe that waits. Null: the blocks are taken from the memory. */
  output: number | null;
  stopped: number;
  /** Where the package for native calls is. Null: there is none. */
  native: string | null;
  /** Smaller ones are written together. */
  splicedMinBytes: number;
  namesAtOnce: number;
  /** What has such a name is not counted. */
  ownName: RegExp;
  /** Directories. More are counted at once. */
  countedOpenMax: number;
  flags: { place: number; directory: number; read: number };
  niceness: number;
}
