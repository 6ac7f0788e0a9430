/**
 * What Prisma, its adapter and pg throw, read alike. Prisma wraps the driver's error as
 * `meta.driverAdapterError.cause` with `originalCode` and, for constraints, `constraint.index`; some errors of the
 * pool go through it unchanged.
 */

/** SQLSTATE classes: 08 connection, 53 resources (disk full, too many connections), 57P shut down or starting. */
const UNAVAILABLE_SQLSTATE = /^(08...|53...|57P0[1-5]|57014|25006|55P03)$/;

const UNAVAILABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  // Prisma: not reachable, timed out, closed by the server, no transaction in time, too many connections.
  'P1001',
  'P1002',
  'P1008',
  'P1017',
  'P2024',
  'P2028',
  'P2037',
]);

/** pg has no codes for these. */
const UNAVAILABLE_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client (has encountered a connection error|was closed)|Cannot use a pool after calling end)/;

const NESTING_MAX = 5;

/** Whether the error says that PostgreSQL cannot be reached, is overloaded or did not answer in time. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return layers(error).some(
    ({ code, message }) =>
      UNAVAILABLE_CODES.has(code) || UNAVAILABLE_SQLSTATE.test(code) || UNAVAILABLE_MESSAGES.test(message),
  );
}

/** Whether a row with the same unique values exists already; with a name, only for that constraint or index. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return layers(error).some(
    (layer) => layer.code === '23505' && (constraint === undefined || layer.constraint === constraint),
  );
}

/** Whether a row refers to one that is not there, or is still referred to. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return layers(error).some(
    (layer) =>
      (layer.code === '23503' || layer.code === '23001') &&
      (constraint === undefined || layer.constraint === constraint),
  );
}

interface Layer {
  code: string;
  constraint: string;
  message: string;
}

/** The error and what it was caused by, outermost first. */
function layers(error: unknown): Layer[] {
  const found: Layer[] = [];
  let waiting = [error];
  for (let depth = 0; depth < NESTING_MAX && waiting.length > 0; depth += 1) {
    const objects = waiting.filter(isObject);
    found.push(...objects.map(readLayer));
    waiting = objects.flatMap((object) => [
      object.cause,
      isObject(object.meta) ? object.meta.driverAdapterError : undefined,
      // Several addresses were tried.
      ...(Array.isArray(object.errors) ? object.errors : []),
    ]);
  }
  return found;
}

function readLayer(object: Record<string, unknown>): Layer {
  const { constraint } = object;
  return {
    code: text(object.originalCode ?? object.code),
    constraint: text(isObject(constraint) ? constraint.index : constraint),
    message: text(object.message),
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
