import type { BaseLogger } from 'pino';

/** As much of a logger as most code needs. */
export type Log = Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;
