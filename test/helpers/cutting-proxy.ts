import { connect, createServer, type Socket } from 'node:net';

export interface CuttingProxy {
  port: number;
  /**
   * Cuts every connection when a client sends the text: `before` the other side has it, or `after` it was carried out,
   * instead of the answer. New ones are refused until `restore`, unless it is `healed` at once.
   */
  cutAt(text: string, when: 'before' | 'after', then?: 'healed'): void;
  /** When a client sends the text, it is held until the work is done. */
  holdAt(text: string, work: () => Promise<unknown>): void;
  /** Cuts every connection now. */
  cut(): void;
  restore(): void;
  countFromNow(): void;
  /** How many connections there were at once, at most, since then. */
  openMax(): number;
  close(): Promise<void>;
}

/** A cable that breaks in the middle of a conversation. */
export async function startCuttingProxy(target: { host: string; port: number }): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let trap: { text: string; when: 'before' | 'after'; then: 'healed' | undefined } | null = null;
  let hold: { text: string; work: () => Promise<unknown> } | null = null;
  let isCut = false;
  let openMax = 0;

  function cut(): void {
    isCut = trap?.then !== 'healed';
    trap = null;
    for (const socket of sockets) socket.destroy();
  }

  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(target.port, target.host);
    let isAnswerLost = false;
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      openMax = Math.max(openMax, sockets.size / 2);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (bytes) => {
      if (trap && bytes.includes(trap.text)) {
        if (trap.when === 'before') return cut();
        isAnswerLost = true;
      }
      const held = hold;
      if (!held || !bytes.includes(held.text)) return far.write(bytes);
      hold = null;
      near.pause();
      const goOn = () => {
        far.write(bytes);
        near.resume();
      };
      held.work().then(goOn, cut);
    });
    far.on('data', (bytes) => (isAnswerLost ? cut() : near.write(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    cutAt(text, when, then) {
      trap = { text, when, then };
    },
    holdAt(text, work) {
      hold = { text, work };
    },
    cut,
    countFromNow() {
      openMax = 0;
    },
    openMax: () => openMax,
    restore() {
      isCut = false;
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
