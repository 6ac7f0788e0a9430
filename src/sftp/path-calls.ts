import type { FilePlane } from '../gateway/files.js';
import type { FileInput, FileOperation, FileOutput } from '../protocol/data-plane.js';
import type { Caller, FileRight } from './caller.js';
import type { Flow } from './flow.js';

type Call = <Name extends FileOperation>(
  right: FileRight,
  name: Name,
  input: FileInput<Name>,
) => Promise<FileOutput<Name>>;

/** What is asked of the caller's server, where he has the right. */
export interface PathCalls {
  look: Call;
  /** What has begun is seen to its end, whoever hangs up meanwhile: else nobody would know what it changed. */
  change: Call;
}

export interface PathCallsOptions {
  caller: Caller;
  files: FilePlane;
  flow: Flow;
  signal: AbortSignal;
}

export function createPathCalls({ caller, files, flow, signal }: PathCallsOptions): PathCalls {
  return {
    async look(right, name, input) {
      const { nodeId, uuid } = await caller.authorise(right);
      return files.operate(nodeId, uuid, name, input, { signal });
    },
    async change(right, name, input) {
      const { nodeId, uuid } = await caller.authorise(right);
      signal.throwIfAborted();
      try {
        return await files.operate(nodeId, uuid, name, input);
      } finally {
        flow.hasChanged();
      }
    },
  };
}
