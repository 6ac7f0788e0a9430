import type { FileWork, WorkOutput } from '../../src/protocol/file-works.js';
import { createArchiveWorks } from './archives/works.js';
import type { Leftovers } from './changing/leftovers.js';
import type { WorkCall, WorkRequest } from './contract.js';
import { createPullWork, type PullSettings } from './pulling/work.js';
import type { ServerFiles } from './server-files.js';

export interface WorksOptions {
  filesOf(serverUuid: string): ServerFiles;
  leftovers: Leftovers;
  pull?: PullSettings;
}

/** What each kind of work does. Limits on how much happens at once are not its business. */
export type Works = {
  [Name in FileWork]: (
    serverUuid: string,
    request: WorkRequest<Name>,
    call: WorkCall,
  ) => Promise<WorkOutput<Name>>;
};

export function createWorks(options: WorksOptions) {
  const works: Works = { ...createArchiveWorks(options), pull: createPullWork(options) };
  return {
    run: async <Name extends FileWork>(
      serverUuid: string,
      name: Name,
      request: WorkRequest<Name>,
      call: WorkCall,
    ): Promise<WorkOutput<Name>> => await works[name](serverUuid, request, call),
  };
}
