/** A command that was not carried out; code and sentence go back to the panel. */
export class Refusal extends Error {
  override name = 'Refusal';
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Less than the contract allows for a reason, to which more may be added. */
const MESSAGE_MAX_LENGTH = 1500;
const CODE_PATTERN = /^[a-z]+(\.[a-z_]+)+$/;

/** What a command's failure is called: the error's own code where it is one of ours, else `fallback`. */
export function toRefusal(error: unknown, fallback: string): Refusal {
  if (error instanceof Refusal) return error;
  const text = error instanceof Error ? error.message : String(error);
  const message = text.replaceAll('\0', '').slice(0, MESSAGE_MAX_LENGTH);
  const code = error instanceof Error && 'code' in error ? error.code : null;
  const isOurs = typeof code === 'string' && CODE_PATTERN.test(code);
  return new Refusal(isOurs ? code : fallback, message, { cause: error });
}
