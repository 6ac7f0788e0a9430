import { AppError } from '../lib/errors.js';

/** Under which address the client reached us: `https://panel.example.com`. Its Host header may hold nothing else. */
export function requestBaseUrl({ protocol, host }: { protocol: string; host: string }): string {
  const baseUrl = `${protocol}://${host}`;
  if (!/^https?:\/\/[A-Za-z0-9._[\]:-]{1,261}$/.test(baseUrl) || !URL.canParse(baseUrl)) {
    throw new AppError('request.invalid', 'The Host header is not valid.');
  }
  return baseUrl;
}
