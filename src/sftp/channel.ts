import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import type { SFTPWrapper } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Log } from '../lib/log.js';
import type { Caller } from './caller.js';
import type { Changes } from './changes.js';
import { abandonFile, discardFile } from './closing.js';
import { createExplanations } from './explanations.js';
import { controlFlow } from './flow.js';
import { createHandles } from './handles.js';
import { createPathOperations } from './path-operations.js';
import { attachRequests } from './requests.js';
import { isFinal, OK, statusOf } from './status.js';

export interface Channel {
  /**
   * Nothing is answered any more, what is under way ends, and what is open is closed. Resolves when all that is done.
   * @param discard Files that were to come to their names at the end do not; else what has come of them stays, so that
   * their uploads can be resumed, unless something newer is under their names. Only the first call decides.
   */
  end(discard: boolean): Promise<void>;
}

export interface ChannelOptions {
  sftp: SFTPWrapper;
  socket: Socket;
  caller: Caller;
  files: FilePlane;
  changes: Changes;
  hasReversedLinks: boolean;
  log: Log;
  onRequest: () => void;
  /** The caller may do nothing here any more, or does not keep to the protocol. */
  onLost: (reason: string) => void;
}

/** What is sent when a request has been done; left out, that it was. */
export type Reply = (() => void) | undefined;

/** One SFTP conversation: version 3 of the protocol, draft-ietf-secsh-filexfer-02. */
export function serveChannel(options: ChannelOptions): Channel {
  const { sftp, socket, caller, files, changes, hasReversedLinks, log, onRequest, onLost } = options;
  const stopping = new AbortController();
  // As many as the client has asked for.
  setMaxListeners(0, stopping.signal);
  const handles = createHandles();
  const explain = createExplanations(sftp);
  const flow = controlFlow({
    sftp,
    socket,
    onRoom: () => {
      for (const { queue } of handles.inUse()) queue.wake();
    },
    onBreach: onLost,
  });
  const paths = createPathOperations({ caller, files, flow, changes, signal: stopping.signal });
  /** Requests that are not answered yet. */
  const underWay = new Set<Promise<void>>();
  let closing: Promise<void> | undefined;

  async function perform(id: number, work: () => Promise<Reply>): Promise<void> {
    const send = await work().then(
      (reply) => reply ?? (() => sftp.status(id, OK)),
      (error: unknown) => () => refuse(id, error),
    );
    if (stopping.signal.aborted) return;
    // ssh2 writes each packet in pieces: they, and the answers after this one, leave together.
    socket.cork();
    process.nextTick(() => socket.uncork());
    send();
  }

  function refuse(id: number, error: unknown): void {
    const { status, code, message, isFault } = statusOf(error);
    if (isFault) log.error({ serverId: caller.serverId, err: error }, 'a request by SFTP failed');
    explain(code, message);
    sftp.status(id, status, message);
    if (isFinal(error)) onLost(message);
  }

  attachRequests({
    sftp,
    handles,
    paths,
    changes,
    flow,
    hasReversedLinks,
    signal: stopping.signal,
    /** Each request is answered once, whatever happens. */
    answer(id, work, dataBytes = 0) {
      onRequest();
      flow.begin(dataBytes);
      const done = perform(id, work)
        .catch((error: unknown) => log.error({ err: error }, 'an answer by SFTP could not be sent'))
        .finally(() => {
          underWay.delete(done);
          flow.finish(dataBytes);
        });
      underWay.add(done);
    },
  });

  async function closeAll(discard: boolean): Promise<void> {
    stopping.abort();
    for (const { queue } of handles.inUse()) queue.wake();
    const left = handles.files();
    handles.clear();
    const closeOne = discard ? discardFile : abandonFile;
    const closed = await Promise.allSettled(left.map((file) => closeOne(file, { changes, paths })));
    for (const outcome of closed) {
      if (outcome.status === 'rejected') {
        log.debug(
          { serverId: caller.serverId, err: outcome.reason },
          'a file of a client was not closed well',
        );
      }
    }
    await Promise.all(underWay);
  }

  return {
    end(discard) {
      closing ??= closeAll(discard);
      return closing;
    },
  };
}
