/** Of everybody, and of one address. */
const CONNECTIONS_MAX = 1000;
const CONNECTIONS_PER_ADDRESS_MAX = 100;
/** That have not signed in yet: a login costs a key exchange. */
const STRANGERS_MAX = 100;
const STRANGERS_PER_ADDRESS_MAX = 20;
const CONNECTIONS_PER_USER_MAX = 100;

export interface Guest {
  readonly address: string;
  /** Undefined until he has signed in. */
  userId(): string | undefined;
}

/** Whether another connection from the address is let in, before anything of SSH is done for it. */
export function isAdmitted(guests: Iterable<Guest>, address: string): boolean {
  let all = 0;
  let strangers = 0;
  let neighbours = 0;
  let strangeNeighbours = 0;
  for (const guest of guests) {
    const isStranger = guest.userId() === undefined;
    const isNeighbour = guest.address === address;
    all += 1;
    if (isStranger) strangers += 1;
    if (isNeighbour) neighbours += 1;
    if (isStranger && isNeighbour) strangeNeighbours += 1;
  }
  return (
    all < CONNECTIONS_MAX &&
    strangers < STRANGERS_MAX &&
    neighbours < CONNECTIONS_PER_ADDRESS_MAX &&
    strangeNeighbours < STRANGERS_PER_ADDRESS_MAX
  );
}

/** Whether the user may have another connection. */
export function hasPlace(guests: Iterable<Guest>, userId: string): boolean {
  let connections = 0;
  for (const guest of guests) if (guest.userId() === userId) connections += 1;
  return connections < CONNECTIONS_PER_USER_MAX;
}
