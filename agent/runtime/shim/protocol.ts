/**
 * What the agent and the shim (the small process that holds one game's pipes) say to each other.
 *
 * The agent starts the shim with a `ShimLaunch` as JSON on its standard input; the shim answers one line of
 * JSON, a `ShimLaunched`, on its standard output, and from then on both speak frames over a unix socket:
 * four bytes of length, one byte of type, the payload. The agent says `attach` first.
 *
 * Both ends are the same program, and the socket lies in a directory that only its user can enter. There is
 * no zod here: it would be a fifth of a shim's memory, and there is a shim for each running server.
 */

/** The types of frames. Payloads are JSON but for `output`, whose layout is below. */
export const Frame = {
  // shim → agent
  output: 1,
  /** `{ bytes }`: so many bytes that were asked for are no longer there. */
  lost: 2,
  /** A `ShimExit`: the game has ended and all its output was sent. */
  exit: 3,
  /** `{ id, error }`: a write was taken (error null) or not. */
  written: 4,
  // agent → shim
  /** An `AttachFrame`: send the output from this offset on, and go on sending. */
  attach: 16,
  /** A `WriteFrame`: for the game's standard input. */
  write: 17,
  /** A `SignalFrame`: to the game's process group; SIGKILL to everything it started. */
  signal: 18,
  /** Output and exit are stored: the shim may end. */
  release: 19,
} as const;

const FRAME_MAX_BYTES = 1024 * 1024;
export const OUTPUT_PIECE_MAX_BYTES = 64 * 1024;
const HEADER_BYTES = 5;
const OUTPUT_HEADER_BYTES = 17;

export interface ShimLaunch {
  runId: string;
  command: string[];
  environment: Record<string, string>;
  directory: string;
  /** Null: whoever runs the shim. */
  uid: number | null;
  gid: number | null;
  cgroupDirectories: string[];
  /** True: everything is killed as soon as the agent is gone, as an installation must. */
  endsWithAgent: boolean;
}

export type ShimLaunched = { ok: true } | { ok: false; message: string };

/** What the shim leaves in `shim.json` for later agents. */
export interface ShimRecord {
  pid: number;
  startTime: number | null;
  gamePid: number;
  gameStartTime: number | null;
  startedAt: string;
  runId: string;
  cgroupDirectories: string[];
}

export interface AttachFrame {
  from: number;
}

export interface WriteFrame {
  id: number;
  data: string;
}

export interface SignalFrame {
  signal: NodeJS.Signals;
}

export interface ShimExit {
  exitCode: number;
  oomKilled: boolean;
  finishedAt: string;
}

export interface OutputPiece {
  stream: 'stdout' | 'stderr';
  /** Where the piece ends in everything that the game has written. */
  endOffset: number;
  readAtMs: number;
  data: Buffer;
}

function encodeFrame(type: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt8(type, 4);
  payload.copy(frame, HEADER_BYTES);
  return frame;
}

export function encodeJsonFrame(type: number, value: unknown): Buffer {
  return encodeFrame(type, Buffer.from(JSON.stringify(value)));
}

/** Copies `data`, so that the ring it comes from may be written over. */
export function encodeOutputFrame(piece: OutputPiece): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + OUTPUT_HEADER_BYTES + piece.data.length);
  frame.writeUInt32BE(OUTPUT_HEADER_BYTES + piece.data.length, 0);
  frame.writeUInt8(Frame.output, 4);
  frame.writeUInt8(piece.stream === 'stdout' ? 1 : 2, 5);
  frame.writeDoubleBE(piece.endOffset, 6);
  frame.writeDoubleBE(piece.readAtMs, 14);
  piece.data.copy(frame, HEADER_BYTES + OUTPUT_HEADER_BYTES);
  return frame;
}

export function decodeOutput(payload: Buffer): OutputPiece {
  return {
    stream: payload.readUInt8(0) === 1 ? 'stdout' : 'stderr',
    endOffset: payload.readDoubleBE(1),
    readAtMs: payload.readDoubleBE(9),
    data: payload.subarray(OUTPUT_HEADER_BYTES),
  };
}

/** Gives back a function that takes what arrives and calls `onFrame` for each complete frame. */
export function createFrameReader(onFrame: (type: number, payload: Buffer) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= HEADER_BYTES) {
      const length = held.readUInt32BE(0);
      if (length > FRAME_MAX_BYTES) throw new Error(`A frame of ${length} bytes is larger than allowed.`);
      if (held.length < HEADER_BYTES + length) return;
      const type = held.readUInt8(4);
      const payload = held.subarray(HEADER_BYTES, HEADER_BYTES + length);
      held = held.subarray(HEADER_BYTES + length);
      onFrame(type, payload);
    }
  };
}
