const LENGTH_BYTES = 4;

export type SshReader = ReturnType<typeof createSshReader>;

/**
 * Reads the fields of an SSH key or message one after the other (RFC 4251, section 5).
 * @param damaged Makes the error that is thrown when they do not fit.
 */
export function createSshReader(blob: Buffer, damaged: () => Error) {
  let position = 0;

  function bytes(): Buffer {
    const start = position + LENGTH_BYTES;
    if (start > blob.length) throw damaged();
    const end = start + blob.readUInt32BE(position);
    if (end > blob.length) throw damaged();
    position = end;
    return blob.subarray(start, end);
  }

  return {
    bytes,
    text: () => bytes().toString('latin1'),
    /** An `mpint` above zero, written in no more bytes than it needs. */
    positiveInteger() {
      const all = bytes();
      const [first = 0, second = 0] = all;
      const isNegative = first >= 0x80;
      const hasNeedlessZero = first === 0 && second < 0x80;
      if (all.length === 0 || isNegative || hasNeedlessZero) throw damaged();
      const digits = first === 0 ? all.subarray(1) : all;
      const bits = digits.length * 8 - Math.clz32(digits[0] ?? 0) + 24;
      return { bits, isOdd: ((digits.at(-1) ?? 0) & 1) === 1 };
    },
    /** Throws when something is left. */
    end(): void {
      if (position !== blob.length) throw damaged();
    },
  };
}
