import { constants } from 'node:fs';
import { chmod, type FileHandle, utimes } from 'node:fs/promises';
import { FileError } from '../errors.js';
import type { Owner } from '../owner.js';
import { type PathHandle, pathOf } from '../paths/descriptors.js';
import { checkRegular, heldBytes, openRegular } from '../paths/regular.js';
import type { Account } from '../quota/quota.js';

export interface Attributes {
  mode?: number | undefined;
  modifiedAtMs?: number | undefined;
  sizeBytes?: number | undefined;
}

/** Of a file or directory that is open as a place. The time comes last: the others would change it. */
export async function setAttributes(
  place: PathHandle,
  { mode, modifiedAtMs, sizeBytes }: Attributes,
  { owner, account }: { owner: Owner | null; account: Account },
): Promise<void> {
  const status = await place.stat();
  if (!status.isDirectory()) checkRegular(place, status, owner);
  if (sizeBytes !== undefined) {
    const file = await openRegular(place, constants.O_WRONLY, owner);
    try {
      await resize(file, sizeBytes, account);
    } finally {
      await file.close();
    }
  }
  await chmodAndTouch(place, { mode, modifiedAtMs });
}

/** Of what is open, as a place or otherwise. */
export async function chmodAndTouch(
  thing: PathHandle,
  { mode, modifiedAtMs }: Omit<Attributes, 'sizeBytes'>,
): Promise<void> {
  if (mode !== undefined) await chmod(pathOf(thing), mode & 0o777);
  if (modifiedAtMs !== undefined) await utimes(pathOf(thing), modifiedAtMs / 1000, modifiedAtMs / 1000);
}

/** What a file grows by counts as used, though it is a hole at first: it will be filled. */
export async function resize(file: FileHandle, sizeBytes: number, account: Account): Promise<void> {
  const before = await file.stat();
  if (!Number.isSafeInteger(sizeBytes)) throw new FileError('file.too_large', 'No file is so large.');
  const growth = Math.max(0, sizeBytes - before.size);
  const claim = await account.claim(growth);
  let isKept = false;
  try {
    await file.truncate(sizeBytes);
    isKept = true;
    claim.wrote(growth);
    if (growth === 0) account.credit(Math.max(0, heldBytes(before) - heldBytes(await file.stat())));
  } finally {
    claim.end(isKept);
  }
}
