import { AppError } from '../lib/errors.js';

/** Under which address the client reached us: `https://panel.example.com`. Its Host header may hold nothing else. */
export function requestOrigin({ protocol, host }: { protocol: string; host: string }): string {
  const origin = `${protocol}://${host}`;
  if (!/^https?:\/\/[A-Za-z0-9._[\]:-]{1,261}$/.test(origin) || !URL.canParse(origin)) {
    throw new AppError('request.invalid', 'The Host header is not valid.');
  }
  return origin;
}
