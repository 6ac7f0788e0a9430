/** What is told to the thread that writes: one after the other. */
export type Request =
  /** Fill this block, or all that there is. Answered with `read`. */
  | { does: 'read'; block: number }
  /** Answered with `done`, after which what the steps refer to in the memory is used again. */
  | { does: 'make'; steps: Step[] }
  /** From where to read. */
  | { does: 'open'; source: SourceData }
  /** Close everything and be gone. */
  | { does: 'stop' };

export interface SourceData {
  file: number;
  /** Null: a pipe. Otherwise it is read from its beginning, whatever position others have in it. */
  sizeBytes: number | null;
}

/** Names are Latin-1 that stands for bytes: they need not be text. Directories are numbers; the root is 0. */
export type Step =
  | { makes: 'directory'; directory: number; parent: number; name: string }
  /** What it will have at the end. */
  | { makes: 'attributes'; directory: number; mode: number; seconds: number | null }
  /** A new file, open until `close`. */
  | { makes: 'file'; directory: number; name: string }
  /** What is in the memory goes into the file that is open. */
  | { makes: 'content'; start: number; bytes: number }
  | { makes: 'close'; mode: number; seconds: number | null }
  /** A new file with the content of another one. */
  | ({ makes: 'copy'; from: { directory: number; name: string }; sizeBytes: number } & NewFile)
  | { makes: 'link'; directory: number; name: string; target: string }
  /** All directories get their attributes. */
  | { makes: 'end' };

export interface NewFile {
  directory: number;
  name: string;
  mode: number;
  seconds: number | null;
}

export type Reply =
  /** 0: there is no more. */
  | { says: 'read'; bytes: number }
  /** So many bytes more are in files. */
  | { says: 'done'; bytes: number; isOver: boolean }
  | { says: 'failed'; code: string | null; message: string };

export interface ThreadData {
  /** Blocks that are used in turn. */
  memory: SharedArrayBuffer;
  blockBytes: number;
  /** One number: `stopped` when nobody wants any more. */
  control: SharedArrayBuffer;
  stopped: number;
  /** A directory, open as a place. */
  root: number;
  owner: { uid: number; gid: number } | null;
  /** Whom what is made belongs to. */
  uid: number | null;
  directoriesOpenMax: number;
  directoryMode: number;
  copiedBytes: number;
  toldBytes: number;
  flags: { place: number; directory: number; read: number; create: number };
  niceness: number;
}
