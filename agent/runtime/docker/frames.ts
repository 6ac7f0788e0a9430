/** One entry of the engine's log: a line, or a piece of one longer than 16 KiB. */
export interface LogEntry {
  stream: 'stdout' | 'stderr';
  /** RFC 3339 in UTC with all nine digits, so that entries compare as strings. */
  time: string;
  /** As the server wrote it: ends with \n except for a piece that goes on in the next entry. */
  data: Buffer;
}

const HEADER_BYTES = 8;
const STDERR = 2;
/** The engine cuts entries at 16 KiB; much more than that means that this is not its log. */
const FRAME_MAX_BYTES = 1024 * 1024;
const TIME_LENGTH = '2026-01-01T00:00:00.000000000Z'.length;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/;

/**
 * Reads the engine's multiplexed log with timestamps: frames of an 8-byte header (stream, 3 zeroes, length as a
 * big-endian number) and a body of time, space, data. One frame is one entry.
 * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export function createFrameReader() {
  let rest: Buffer = Buffer.alloc(0);
  return {
    /** The entries that are complete with this chunk. Throws when it is not such a log. */
    read(chunk: Buffer): LogEntry[] {
      const buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const entries: LogEntry[] = [];
      let offset = 0;
      while (buffer.length - offset >= HEADER_BYTES) {
        const length = buffer.readUInt32BE(offset + 4);
        if (length > FRAME_MAX_BYTES) throw new Error(`the engine sent a log entry of ${length} bytes`);
        const end = offset + HEADER_BYTES + length;
        if (end > buffer.length) break;
        entries.push(parseEntry(buffer[offset], buffer.subarray(offset + HEADER_BYTES, end)));
        offset = end;
      }
      rest = Buffer.from(buffer.subarray(offset));
      return entries;
    },
  };
}

function parseEntry(stream: number | undefined, body: Buffer): LogEntry {
  const time = body.toString('latin1', 0, TIME_LENGTH);
  if (!TIME.test(time))
    throw new Error(`the engine sent a log entry without a time: ${JSON.stringify(time)}`);
  return { stream: stream === STDERR ? 'stderr' : 'stdout', time, data: body.subarray(TIME_LENGTH + 1) };
}
