import type { Logger } from 'pino';
import type { AgentMessage, PanelMessageOf } from '../src/protocol/agent-messages.js';
import type { Order } from './link.js';
import { Refusal, toRefusal } from './servers/refusal.js';
import type { Registry } from './servers/registry.js';
import { specificationOf, toLaunch } from './servers/specification.js';

export interface HandlersOptions {
  registry: Registry;
  rotateSecret(secret: string): void;
  /** The server is about to be removed: let go of its files. */
  closeFiles(serverUuid: string): Promise<void>;
  send(message: AgentMessage): boolean;
  log: Logger;
}

type Handlers = { [Type in Order['type']]: (order: PanelMessageOf<Type>) => Promise<void> | void };
type Result = { ok: true } | { ok: false; code: string; message: string };

/** So many commands are remembered, so that one that comes twice is done once. */
const REMEMBERED_COMMANDS_MAX = 1000;
/** A timer that is set for more than 24 days fires at once. */
const STOP_TIMEOUT_MAX_SECONDS = 24 * 3600;

/** Gives the function that carries out whatever the panel orders. It never throws. */
export function createOrderHandler(options: HandlersOptions): (order: Order) => void {
  const { registry, rotateSecret, closeFiles, send, log } = options;
  const handlers: Handlers = {
    async install_server(order) {
      refuseSuspended(order);
      const launch = toLaunch(order);
      await registry.getOrAdd(order, launch).install(launch);
    },
    async start_server(order) {
      refuseSuspended(order);
      await registry.get(order).start(toLaunch(order));
    },
    async stop_server(order) {
      const { timeoutSeconds } = order;
      const server = registry.get(order);
      if (timeoutSeconds === undefined) await server.stop();
      else await server.stop(Math.min(timeoutSeconds, STOP_TIMEOUT_MAX_SECONDS) * 1000);
    },
    async restart_server(order) {
      refuseSuspended(order);
      const specification = specificationOf(order);
      await registry.get(order).restart(specification === null ? null : toLaunch(specification));
    },
    kill_server: (order) => registry.get(order).kill(),
    async delete_server(order) {
      await closeFiles(order.serverUuid);
      await registry.remove(order);
    },
    crash_policy({ restartPolicy, maxCrashCount, resetCrashCount, ...order }) {
      registry.get(order).setCrashPolicy({ restartPolicy, maxCrashCount }, resetCrashCount);
    },
    disk_limit: ({ diskMb, ...order }) => registry.get(order).setDiskLimit(diskMb),
    rotate_secret: ({ secret }) => rotateSecret(secret),
    execute_command: (order) => registry.get(order).input(order.command),
    async console_input({ serverId, data }) {
      const server = registry.find(serverId);
      if (server === null)
        throw new Refusal('server.not_installed', 'The server is not installed on this node.');
      await server.input(data);
    },
    console_ack: ({ serverId, seq }) => registry.find(serverId)?.console.acknowledge(seq),
    error: ({ code, message }) => log.warn({ code, message }, 'the panel did not like a message'),
  };

  const results = new Map<string, Promise<Result>>();

  async function carryOut(order: Order): Promise<Result> {
    try {
      // The table has a function for each type; TypeScript cannot see that this one fits this order.
      await (handlers[order.type] as (order: Order) => Promise<void> | void)(order);
      return { ok: true };
    } catch (error) {
      const { code, message } = toRefusal(error, 'agent.error');
      const isExpected = error instanceof Refusal;
      log[isExpected ? 'info' : 'error']({ type: order.type, code, error }, 'an order was not carried out');
      return { ok: false, code, message };
    }
  }

  function carryOutOnce(commandId: string, order: Order): Promise<Result> {
    const known = results.get(commandId);
    if (known !== undefined) return known;
    const result = carryOut(order);
    results.set(commandId, result);
    const oldest = results.keys().next();
    if (results.size > REMEMBERED_COMMANDS_MAX && !oldest.done) results.delete(oldest.value);
    return result;
  }

  return (order) => {
    const commandId = 'commandId' in order ? order.commandId : undefined;
    if (commandId === undefined) {
      void carryOut(order);
      return;
    }
    void carryOutOnce(commandId, order).then((result) =>
      send({ type: 'command_result', commandId, ...result }),
    );
  };
}

function refuseSuspended({ suspended }: { suspended?: boolean | undefined }) {
  if (suspended === true) throw new Refusal('server.suspended', 'The server is suspended.');
}
