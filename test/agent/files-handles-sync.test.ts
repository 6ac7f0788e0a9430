import { type FileHandle, open } from 'node:fs/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type AtCloseFiles, openAtClose } from './at-close-harness.js';

/** How often somebody waited for the disk to have a file. */
async function countSyncs() {
  const file = await open('/dev/null');
  const prototype: FileHandle = Object.getPrototypeOf(file);
  await file.close();
  const sync = vi.spyOn(prototype, 'sync');
  onTestFinished(() => sync.mockRestore());
  return () => sync.mock.calls.length;
}

const WRITE = { read: true, write: true };
const set = (
  { service, call }: AtCloseFiles,
  handle: string,
  attributes: { mode?: number; sizeBytes?: number },
) => service.operateHandle(handle, 'set-attributes', attributes, call);

test.each<[string, number, (files: AtCloseFiles, handle: string) => Promise<unknown>]>([
  ['only looked at', 0, ({ service, call }, handle) => service.operateHandle(handle, 'stat', {}, call)],
  ['only read', 0, ({ get }, handle) => get(handle)],
  ['given another mode', 0, (files, handle) => set(files, handle, { mode: 0o600 })],
  ['written', 1, ({ put }, handle) => put(handle, 'x')],
  ['resized', 1, (files, handle) => set(files, handle, { sizeBytes: 3 })],
])(
  'a file that is open for writing and was %s is synced %i times at its close',
  async (_what, times, use) => {
    const files = openAtClose();
    const count = await countSyncs();
    const { handle } = await files.open('d/file', WRITE);
    await use(files, handle);
    expect(count()).toBe(0);
    await files.close(handle);
    expect(count()).toBe(times);
  },
);

test('who opens a file while the agent stops is told that, not that too many are open', async () => {
  const { service, open } = openAtClose();
  await service.close();
  await expect(open('d/file', WRITE)).rejects.toMatchObject({
    code: 'file.busy',
    message: 'The agent of the node is stopping: try again when it is back.',
  });
});
