import type { LogStream, RuntimeKind } from '../../src/protocol/agent-messages.js';
import type { PortBinding, ServerNetwork } from '../../src/protocol/server-specification.js';

/** What it takes to build and run one server, checked and complete: paths are derived on this machine. */
export interface ServerPlan {
  serverId: string;
  uuid: string;
  containerName: string;
  image: string;
  /** The command's words; empty: the image's own. The process runtime needs at least one. */
  command: string[];
  environment: Record<string, string>;
  memoryMb: number;
  cpuCores: number;
  diskMb: number;
  ports: PortBinding[];
  networkMode: string;
  /** The network in which the server has an address of its own; then no port is published. */
  network: ServerNetwork | null;
  /** The server's directory on this machine, made and owned by the server's user before `install` and `start`. */
  directory: string;
  /** Where a container sees `directory`. */
  dataPath: string;
  installImage: string | null;
  installScript: string | null;
  /** What runs the script. */
  installShell: string;
  /** Where the install container sees `directory`; null: at `dataPath`. */
  installDataPath: string | null;
  /** The script is root in its container; what it leaves belongs to whomever it chose. */
  installAsRoot: boolean;
}

/** A piece of output as it was read: not cut at line ends. */
export interface OutputChunk {
  stream: Exclude<LogStream, 'system'>;
  data: Buffer;
  readAt: Date;
  /**
   * Where the runtime stands after this chunk. Given to `adopt` after the agent was restarted, output goes
   * on with the very next byte: nothing twice, nothing lost that the runtime still has.
   */
  cursor: string;
}

export interface ServerExit {
  /**
   * 128 + signal number for a signal, as shells count; null when nobody can know any more, or when the 0 is the
   * answer to a signal that neither the agent nor the server itself sent.
   */
  exitCode: number | null;
  oomKilled: boolean;
  finishedAt: Date;
}

export interface ServerUsage {
  /** Percent of one core. */
  cpuPercent: number;
  memoryMb: number;
  networkSentBytes: number;
  networkReceivedBytes: number;
}

export interface OutputListener {
  onOutput(chunk: OutputChunk): void;
  /** The runtime no longer has output that the cursor asked for; about so many bytes, null when unknown. */
  onOutputLost(lostBytes: number | null): void;
}

/** A server that runs, or ran and was not yet cleaned up. */
export interface RuntimeServer {
  readonly containerId: string | null;
  readonly startedAt: Date;
  /** Settles once, when the process has ended and every byte of its output has been handed over. */
  readonly exited: Promise<ServerExit>;
  /** Write to the server's standard input. Rejects when it takes nothing for 5 s or has ended. */
  write(data: string): Promise<void>;
  /** To the server's process, or for `SIGKILL` to everything it started. No error when it has ended. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Null while it cannot be measured (it has just ended). */
  usage(): Promise<ServerUsage | null>;
  /** While paused, output stays where it is (in the pipe, in the engine's log); the server is never slowed. */
  pauseOutput(): void;
  resumeOutput(): void;
  /**
   * After `exited`: its output and exit are stored, so what the runtime kept for a later agent may go.
   * Left out by a runtime that keeps nothing but what `start` and `remove` clean up.
   */
  release?(): Promise<void>;
  /** Let go of it without touching it: the agent is about to end, the server runs on. */
  detach(): void;
}

export interface InstallListener extends OutputListener {
  onProgress(
    phase: 'preparing' | 'pulling' | 'installing' | 'creating',
    percent: number | null,
    message?: string,
  ): void;
}

/**
 * What runs servers. Everything is named by the server's UUID; an implementation checks it against
 * `UUID_PATTERN` again before it becomes part of a name or path.
 */
export interface Runtime {
  readonly kind: RuntimeKind;
  /**
   * Fetch the image and run the install script to its end.
   * Rejects with an `InstallError` when that fails (or with the code `RUNTIME_UNAVAILABLE`), with an AbortError when `signal` was aborted; either way
   * nothing of the installation runs on.
   */
  install(
    plan: ServerPlan,
    listener: InstallListener,
    signal: AbortSignal,
  ): Promise<{ containerId: string | null }>;
  /**
   * Replace what is left of an earlier run and start. Output is followed from its first byte.
   * A rejection may carry a `code` such as `port.in_use`; its message is shown to the server's owner.
   * With the code `RUNTIME_UNAVAILABLE` it says nothing about the server, and the same call may work later.
   */
  start(plan: ServerPlan, listener: OutputListener): Promise<RuntimeServer>;
  /**
   * Take up a server that an earlier agent process started; null when there is nothing of it any more.
   * One that has ended in the meantime is given too: what it still wrote comes first, then `exited`.
   */
  adopt(uuid: string, cursor: string | null, listener: OutputListener): Promise<RuntimeServer | null>;
  /** UUIDs of everything this runtime has on this machine for this node. */
  list(): Promise<string[]>;
  /** Remove what the runtime keeps of the server (not its directory). Kills it if it runs. No error if there is nothing. */
  remove(uuid: string): Promise<void>;
}

/** The code of any call's error when what runs the servers cannot be reached at all. */
export const RUNTIME_UNAVAILABLE = 'runtime.unavailable';

export const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** An installation failed, and the message tells the server's owner why. */
export class InstallError extends Error {
  override name = 'InstallError';
  constructor(
    message: string,
    readonly exitCode: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
