import type { Origin } from '../../../lib/actor.js';

/** What a client calls itself may be as long as it likes. */
const USER_AGENT_MAX_LENGTH = 256;
const ADDRESS_MAX_LENGTH = 64;

/** Where somebody came from, as it is stored: PostgreSQL takes no NUL and no half of a character. */
export function cutOrigin({ ipAddress, userAgent }: Origin): { ipAddress: string; userAgent: string | null } {
  return {
    ipAddress: cutAddress(ipAddress),
    userAgent: userAgent?.slice(0, USER_AGENT_MAX_LENGTH).replaceAll('\0', '').toWellFormed() ?? null,
  };
}

export function cutAddress(ipAddress: string): string {
  return ipAddress.slice(0, ADDRESS_MAX_LENGTH);
}
