/** Layouts of APPNOTE.TXT 6.3.10, section 4.3. */
export const LOCAL_SIGNATURE = 0x04034b50;
export const CENTRAL_SIGNATURE = 0x02014b50;
export const END_SIGNATURE = 0x06054b50;
export const END64_SIGNATURE = 0x06064b50;
export const LOCATOR64_SIGNATURE = 0x07064b50;
export const DESCRIPTOR_SIGNATURE = 0x08074b50;

export const LOCAL_BYTES = 30;
export const CENTRAL_BYTES = 46;
export const END_BYTES = 22;
export const END64_BYTES = 56;
export const LOCATOR64_BYTES = 20;

/** Where a number of 16 or 32 bits says that it stands elsewhere, in 64 bits. */
export const MAX_16 = 0xffff;
export const MAX_32 = 0xffffffff;

export const EXTRA_ZIP64 = 0x0001;
export const EXTRA_TIME = 0x5455;
export const EXTRA_UNICODE_NAME = 0x7075;

export const FLAG_ENCRYPTED = 0x0001;
export const FLAG_DESCRIPTOR = 0x0008;
export const FLAG_STRONG_ENCRYPTION = 0x0040;
export const FLAG_UTF8 = 0x0800;
export const FLAG_HIDDEN_HEADERS = 0x2000;

export const METHOD_STORED = 0;
export const METHOD_DEFLATED = 8;

/** Of the system that made it, in the upper byte of "version made by": then the mode of the file is known. */
export const MADE_BY_UNIX = 3;
export const MADE_BY_DARWIN = 19;

/** The kind of a file in its mode, as in stat(2). */
export const MODE_KIND = 0o170000;
export const MODE_FILE = 0o100000;
export const MODE_DIRECTORY = 0o040000;
export const MODE_LINK = 0o120000;

const DOS_FIRST_YEAR = 1980;
const DOS_LAST_YEAR = DOS_FIRST_YEAR + 127;

/** Local time in two 16-bit numbers, to two seconds; there is no other in the record itself. */
export function toDosTime(timeMs: number): { time: number; date: number } {
  const at = new Date(timeMs);
  const year = at.getFullYear();
  if (!(year >= DOS_FIRST_YEAR)) return { time: 0, date: 0x21 };
  if (year > DOS_LAST_YEAR) return { time: 0, date: (127 << 9) | (12 << 5) | 31 };
  return {
    time: (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1),
    date: ((year - DOS_FIRST_YEAR) << 9) | ((at.getMonth() + 1) << 5) | at.getDate(),
  };
}

export function fromDosTime(time: number, date: number): number {
  const [year, month, day] = [(date >> 9) + DOS_FIRST_YEAR, ((date >> 5) & 15) - 1, date & 31];
  return new Date(year, month, day, time >> 11, (time >> 5) & 63, (time & 31) * 2).getTime();
}
