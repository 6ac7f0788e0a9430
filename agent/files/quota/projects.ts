import { constants } from 'node:os';
import { isErrorCode } from '../../atomic-file.js';
import type { NativeLibrary } from '../../native.js';

/** What the kernel knows of projects: ids on directories and files, and quotas of ids. All take open descriptors. */
export interface ProjectCalls {
  /** Whether the file system holds projects to their limits. */
  isEnforced(descriptor: number): boolean;
  projectOf(descriptor: number): { id: number; isInherited: boolean };
  /** What is made in a directory gets its id, too. */
  setProject(descriptor: number, id: number, isDirectory: boolean): void;
  usedBytes(descriptor: number, id: number): number;
  /** Nothing is counted for this id, and it has no limit. */
  isFree(descriptor: number, id: number): boolean;
  /** @param limitBytes Null: none. */
  setLimit(descriptor: number, id: number, limitBytes: number | null): void;
}

/** `quotactl_fd`, Linux 5.14; the same number on every architecture that is taken here. */
const SYS_QUOTACTL_FD = 443;
const PROJECT_QUOTA = 2;
const command = (number: number) => ((number << 8) | PROJECT_QUOTA) >>> 0;
const Q_GETQUOTA = command(0x800007);
const Q_SETQUOTA = command(0x800008);
const Q_XGETQSTAT = command(('X'.charCodeAt(0) << 8) | 5);
const PROJECTS_ENFORCED = 1 << 5;
/** `struct fs_quota_stat`, with room to spare. */
const STATE_BYTES = 128;
const STATE_FLAGS_AT = 2;

/** `struct if_dqblk`; limits are in kilobytes, what is used in bytes. */
const QUOTA_BYTES = 72;
const USED_AT = 16;
const INODES_AT = 40;
const VALID_AT = 64;
const BLOCK_LIMITS_VALID = 1;

/** `struct fsxattr`. */
const ATTRIBUTES_BYTES = 28;
const PROJECT_AT = 12;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const INHERITED = 0x200;

export function createProjectCalls(library: NativeLibrary): ProjectCalls {
  const syscall = library.func(
    'long syscall(long number, unsigned int fd, unsigned int command, unsigned int id, void *data)',
  );
  const ioctl = library.func('int ioctl(int fd, unsigned long request, void *data)');

  function check(result: number, what: string) {
    if (result >= 0) return;
    const errno = library.errno();
    const [code = `errno ${errno}`] =
      Object.entries(constants.errno).find(([, number]) => number === errno) ?? [];
    throw Object.assign(new Error(`${what}: ${code}`), { code });
  }
  const quotactl = (descriptor: number, number: number, id: number, data: Buffer) =>
    check(syscall(SYS_QUOTACTL_FD, descriptor, number, id, data), 'quotactl');

  function attributesOf(descriptor: number): Buffer {
    const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
    check(ioctl(descriptor, FS_IOC_FSGETXATTR, attributes), 'reading the project of a file');
    return attributes;
  }

  function quotaOf(descriptor: number, id: number): Buffer {
    const quota = Buffer.alloc(QUOTA_BYTES);
    try {
      quotactl(descriptor, Q_GETQUOTA, id, quota);
    } catch (error) {
      // XFS knows nothing yet of an id that was never used.
      if (!isErrorCode(error, 'ENOENT')) throw error;
    }
    return quota;
  }

  return {
    isEnforced(descriptor) {
      const state = Buffer.alloc(STATE_BYTES);
      quotactl(descriptor, Q_XGETQSTAT, 0, state);
      return (state.readUInt16LE(STATE_FLAGS_AT) & PROJECTS_ENFORCED) !== 0;
    },
    projectOf(descriptor) {
      const attributes = attributesOf(descriptor);
      const isInherited = (attributes.readUInt32LE(0) & INHERITED) !== 0;
      return { id: attributes.readUInt32LE(PROJECT_AT), isInherited };
    },
    setProject(descriptor, id, isDirectory) {
      const attributes = attributesOf(descriptor);
      if (isDirectory) attributes.writeUInt32LE((attributes.readUInt32LE(0) | INHERITED) >>> 0, 0);
      attributes.writeUInt32LE(id, PROJECT_AT);
      check(ioctl(descriptor, FS_IOC_FSSETXATTR, attributes), 'setting the project of a file');
    },
    usedBytes: (descriptor, id) => Number(quotaOf(descriptor, id).readBigUInt64LE(USED_AT)),
    isFree(descriptor, id) {
      const quota = quotaOf(descriptor, id);
      return quota.readBigUInt64LE(0) === 0n && quota.readBigUInt64LE(INODES_AT) === 0n;
    },
    setLimit(descriptor, id, limitBytes) {
      const quota = Buffer.alloc(QUOTA_BYTES);
      // 0 is none.
      quota.writeBigUInt64LE(BigInt(Math.ceil((limitBytes ?? 0) / 1024)), 0);
      quota.writeUInt32LE(BLOCK_LIMITS_VALID, VALID_AT);
      quotactl(descriptor, Q_SETQUOTA, id, quota);
    },
  };
}
