import { z } from 'zod';
import { queryInteger, success } from '../../lib/schemas.js';
import { LogStream } from '../../protocol/agent-messages.js';
import { CONSOLE_COMMAND_MAX_LENGTH } from '../../protocol/limits.js';

const LINES_DEFAULT = 100;
const LINES_MAX = 1000;

export const LogQuery = z.object({
  limit: queryInteger({ min: 1, max: LINES_MAX }).default(LINES_DEFAULT),
  stream: LogStream.optional(),
  before: z.iso
    .datetime({ offset: true })
    .max(64)
    .optional()
    .describe('Only lines before this time. The `timestamp` of the oldest entry gives the page before it.'),
});
export type LogQuery = z.output<typeof LogQuery>;

/** One line. */
export const LogEntry = z
  .object({
    id: z.string(),
    serverId: z.string(),
    stream: LogStream,
    data: z.string().describe('The line, ended by \\n.'),
    timestamp: z
      .string()
      .describe(
        'ISO 8601; with microseconds where there are any, so that no two lines of a server share it.',
      ),
    seq: z.int().describe('The number of the line.'),
  })
  .meta({ id: 'LogEntry' });
export type LogEntry = z.output<typeof LogEntry>;

export const LogAnswer = success(z.array(LogEntry));

const ONE_LINE = /^[^\r\n\0]*$/;

export const CommandBody = z.strictObject({
  command: z
    .string()
    .min(1)
    .max(CONSOLE_COMMAND_MAX_LENGTH)
    .regex(ONE_LINE, 'must be one line without control characters that end it'),
});

export const CommandAnswer = z.object({ success: z.literal(true), message: z.string() });
