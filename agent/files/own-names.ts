import { WAITING_PREFIX } from '../../src/protocol/data-plane.js';

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const PATTERN = new RegExp(
  `^\\.catalyst-(?:[0-9a-f]{12}-\\d+\\.(?:part|unpacking)|(?:upload|waiting)-${UUID}(?:\\.[a-z]+)?)$`,
);

/** Whether it is one of ours for what is not finished. Users are not shown them; what only looks alike is theirs. */
export function isOwnName(name: string): boolean {
  return PATTERN.test(name);
}

/** Of a file that waits until the panel knows where it belongs. */
export function isWaitingName(name: string): boolean {
  return name.startsWith(WAITING_PREFIX) && isOwnName(name);
}
