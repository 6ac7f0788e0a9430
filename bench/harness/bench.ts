import type { DatabaseServer } from './database.js';
import type { Finding } from './report.js';

/** What every question is given. */
export interface Bench {
  databases: DatabaseServer;
  /** For data directories and logs; removed at the end. */
  directory: string;
  /** Whatever was opened last is closed first, also when a question fails. */
  defer(close: () => Promise<void> | void): void;
  note(text: string): void;
}

export type Question = (bench: Bench) => Promise<Finding[]>;
