/** Of a message longer than the reader keeps whole, so much of its beginning and of its end is given. */
const END_BYTES = 400;

const Opcode = { continuation: 0, text: 1, close: 8, ping: 9, pong: 10 } as const;

export interface FrameListener {
  /** A text message; of a long one only its beginning and its end, put together. */
  onText(text: string): void;
  onPing(payload: Buffer): void;
  onClose(code: number): void;
}

/**
 * Reads WebSocket frames (RFC 6455) as a server sends them, looking at as few bytes as it can: a thousand
 * subscribers in one process must cost less than the server that feeds them.
 *
 * @param keepBytes Messages up to this length are given whole.
 * @returns a function that takes the bytes as they come; it keeps none of the buffer.
 */
export function createFrameReader(keepBytes: number, listener: FrameListener): (chunk: Buffer) => void {
  let header = Buffer.alloc(0);
  let opcode = -1;
  let length = 0;
  let left = 0;
  let begin = Buffer.alloc(0);
  let end = Buffer.alloc(0);

  function take(payload: Buffer): void {
    if (length <= keepBytes || opcode >= Opcode.close) {
      begin = begin.length === 0 ? Buffer.from(payload) : Buffer.concat([begin, payload]);
      return;
    }
    if (begin.length < END_BYTES)
      begin = Buffer.concat([begin, payload.subarray(0, END_BYTES - begin.length)]);
    const tail = payload.subarray(-END_BYTES);
    end = tail.length === END_BYTES ? Buffer.from(tail) : Buffer.concat([end, tail]).subarray(-END_BYTES);
  }

  function finish(): void {
    if (opcode === Opcode.text) listener.onText(begin.toString('latin1') + end.toString('latin1'));
    else if (opcode === Opcode.ping) listener.onPing(begin);
    else if (opcode === Opcode.close) listener.onClose(begin.length >= 2 ? begin.readUInt16BE(0) : 1005);
    opcode = -1;
  }

  return function feed(chunk) {
    let rest = header.length === 0 ? chunk : Buffer.concat([header, chunk]);
    header = Buffer.alloc(0);
    while (rest.length > 0) {
      if (opcode === -1) {
        const frame = parseHeader(rest);
        if (!frame) {
          header = Buffer.from(rest);
          return;
        }
        ({ opcode, length } = frame);
        left = length;
        begin = Buffer.alloc(0);
        end = Buffer.alloc(0);
        rest = rest.subarray(frame.headerBytes);
      }
      const payload = rest.subarray(0, left);
      take(payload);
      left -= payload.length;
      rest = rest.subarray(payload.length);
      if (left === 0) finish();
    }
  };
}

/** Null while the header is not complete. */
function parseHeader(bytes: Buffer): { opcode: number; length: number; headerBytes: number } | null {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return null;
  if ((first & 0x80) === 0) throw new Error('The server sent a message in several frames.');
  const opcode = first & 0x0f;
  const short = second & 0x7f;
  if (short < 126) return { opcode, length: short, headerBytes: 2 };
  const headerBytes = short === 126 ? 4 : 10;
  if (bytes.length < headerBytes) return null;
  const length = short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  return { opcode, length, headerBytes };
}
