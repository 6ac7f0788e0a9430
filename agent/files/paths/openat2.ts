import { closeSync, constants } from 'node:fs';
import type { Logger } from 'pino';
import { loadNativeLibrary } from '../../native.js';
import { canWalkByDescriptor, O_PATH, type PathHandle, toPathHandle } from './descriptors.js';

/** What is to be opened: a directory, a thing, or a thing that may be a link itself. Links before the end are followed. */
export type Wanted = 'directory' | 'thing' | 'thing or link';

/** The kernel's own way of looking a path up without ever leaving a directory. */
export interface Beneath {
  /**
   * Opened as a place only. Null: it is for the walk to look, and to say what is wrong. That is also the answer when
   * something on the way is not in the kernel's memory, so that a call never waits for a disk.
   */
  open(root: string, names: string[], wanted: Wanted): PathHandle | null;
}

/** The same on every architecture that is taken here. */
const SYS_OPENAT2 = 437;
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_BENEATH = 0x08;
/** Linux 5.12. */
const RESOLVE_CACHED = 0x20;
const HOW_BYTES = 24;
const INSIDE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED;

const HOW_OF_ROOT = how(constants.O_DIRECTORY | constants.O_NOFOLLOW, RESOLVE_CACHED);
const HOW_OF: Record<Wanted, Buffer> = {
  directory: how(constants.O_DIRECTORY, INSIDE),
  thing: how(0, INSIDE),
  'thing or link': how(constants.O_NOFOLLOW, INSIDE),
};

/** Gives a descriptor, or a negative number. */
type Openat2 = (directory: number, path: Buffer, how: Buffer) => number;

/** Null, with a line in the log, where the kernel or the native call is missing: then there is only the walk. */
export async function loadBeneath(log: Logger): Promise<Beneath | null> {
  try {
    const openat2 = await loadOpenat2();
    log.info('paths of files are looked up by the kernel (openat2), and by walking where that does not do');
    return createBeneath(openat2);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    log.info({ reason }, 'paths of files are looked up by walking: there is no openat2 here');
    return null;
  }
}

async function loadOpenat2(): Promise<Openat2> {
  if (!canWalkByDescriptor) throw new Error('there is no /proc');
  const library = await loadNativeLibrary();
  const syscall = library.func(
    'long syscall(long number, int directory, const void *path, const void *how, size_t size)',
  );
  const openat2: Openat2 = (directory, path, how) => syscall(SYS_OPENAT2, directory, path, how, HOW_BYTES);
  const descriptor = openat2(AT_FDCWD, encode('/'), HOW_OF_ROOT);
  if (descriptor < 0) throw new Error(`the kernel does not take it (errno ${library.errno()})`);
  closeSync(descriptor);
  return openat2;
}

function createBeneath(openat2: Openat2): Beneath {
  return {
    open(root, names, wanted) {
      const directory = openat2(AT_FDCWD, encode(root), HOW_OF_ROOT);
      if (directory < 0) return null;
      const descriptor = openat2(directory, encode(names.join('/') || '.'), HOW_OF[wanted]);
      closeSync(directory);
      return descriptor < 0 ? null : toPathHandle(descriptor);
    },
  };
}

/** The kernel's `struct open_how`. */
function how(flags: number, resolve: number): Buffer {
  const bytes = Buffer.alloc(HOW_BYTES);
  bytes.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC | flags), 0);
  bytes.writeBigUInt64LE(BigInt(resolve), 16);
  return bytes;
}

function encode(path: string): Buffer {
  return Buffer.from(`${path}\0`);
}
