import type { IncomingMessage } from 'node:http';
import { AppError } from '../lib/errors.js';

/** Connections of one address that have not been admitted yet. */
const PENDING_MAX = 20;
const NODE_ID = /^[A-Za-z0-9_-]{1,64}$/;
const TOKEN_MAX_LENGTH = 512;

/** Who has knocked and is not let in yet. */
export interface Pending {
  /** Answers how the place is given back; more than once does no harm. */
  take(address: string): () => void;
}

export function createPending(): Pending {
  const pending = new Map<string, number>();
  return {
    take(address) {
      const taken = pending.get(address) ?? 0;
      if (taken >= PENDING_MAX) throw new AppError('gateway.too_many_connections');
      pending.set(address, taken + 1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (pending.get(address) ?? 1) - 1;
        if (left > 0) pending.set(address, left);
        else pending.delete(address);
      };
    },
  };
}

/** Which node an agent says it is of, and how it proves that. */
export function readClaim(request: IncomingMessage): { nodeId: string; token: string } {
  const query = new URL(request.url ?? '', 'http://panel').searchParams;
  const nodeIds = query.getAll('nodeId');
  const tokens = query.getAll('token');
  if (nodeIds.length !== 1 || tokens.length > 1 || !NODE_ID.test(nodeIds[0] ?? '')) {
    throw new AppError('request.invalid', 'Give one nodeId and one token.');
  }
  const token = tokens[0] ?? '';
  if (token === '' || token.length > TOKEN_MAX_LENGTH) throw new AppError('auth.invalid_token');
  return { nodeId: nodeIds[0] ?? '', token };
}
