import { FileError } from '../errors.js';

export interface UploadName {
  serverUuid: string;
  uploadId: string;
}

/** One at a time changes an upload. */
export interface UploadLocks {
  /** Rejects with `file.busy` while somebody else has it. The signal that `use` gets is also aborted by `endWhere`. */
  take<Result>(
    upload: UploadName,
    signal: AbortSignal,
    use: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result>;
  isTaken(uploadId: string): boolean;
  /** One after the other begins an upload of a server. */
  whileBeginning<Result>(serverUuid: string, work: () => Promise<Result>): Promise<Result>;
  /** Until none of them is at work any more. */
  endWhere(matches: (upload: UploadName) => boolean): Promise<void>;
}

interface Taken extends UploadName {
  ending: AbortController;
  work: Promise<unknown>;
}

export function createUploadLocks(): UploadLocks {
  const taken = new Map<string, Taken>();
  const beginning = new Map<string, Promise<unknown>>();
  return {
    async take(upload, signal, use) {
      if (taken.has(upload.uploadId)) {
        throw new FileError(
          'file.busy',
          'Another part of this upload is on its way: wait until it has ended.',
        );
      }
      const ending = new AbortController();
      const work = use(AbortSignal.any([signal, ending.signal]));
      taken.set(upload.uploadId, { ...upload, ending, work });
      try {
        return await work;
      } finally {
        taken.delete(upload.uploadId);
      }
    },
    async whileBeginning(serverUuid, work) {
      const begun = (beginning.get(serverUuid) ?? Promise.resolve()).then(work);
      const settled = begun.catch(() => {});
      beginning.set(serverUuid, settled);
      try {
        return await begun;
      } finally {
        if (beginning.get(serverUuid) === settled) beginning.delete(serverUuid);
      }
    },
    isTaken: (uploadId) => taken.has(uploadId),
    async endWhere(matches) {
      const ended = [...taken.values()].filter(matches);
      for (const { ending } of ended) {
        ending.abort(new FileError('upload.not_found', 'The upload was ended meanwhile.'));
      }
      await Promise.allSettled(ended.map(({ work }) => work));
    },
  };
}
