import { DemoFailure } from './failure.js';

const REQUEST_TIMEOUT_MS = 30_000;

export interface Api {
  readonly url: string;
  token(): string;
  login(credentials: { email: string; password: string }): Promise<void>;
  get<Data>(path: string): Promise<Data>;
  post<Data>(path: string, body?: object): Promise<Data>;
  delete(path: string): Promise<void>;
}

/** An answer of the panel that is not a success; `code` is one of its documented error codes. */
export class ApiFailure extends DemoFailure {
  override name = 'ApiFailure';
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

interface Answer {
  data?: unknown;
  message?: string;
  code?: string;
}

/** The panel's public REST API, as any client sees it. */
export function createApi(url: string): Api {
  let token = '';

  async function send(method: string, path: string, body?: object): Promise<unknown> {
    const response = await request(url + path, {
      method,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const answer = (await response.json().catch(() => ({}))) as Answer;
    if (response.ok) return answer.data;
    const reason = answer.message ?? `status ${response.status}`;
    throw new ApiFailure(`${method} ${path} was refused: ${reason}`, answer.code ?? '');
  }

  return {
    url,
    token: () => token,
    async login(credentials) {
      const data = await send('POST', '/api/auth/login', credentials);
      token = (data as { token: string }).token;
    },
    get: async <Data>(path: string) => (await send('GET', path)) as Data,
    post: async <Data>(path: string, body?: object) => (await send('POST', path, body)) as Data,
    async delete(path) {
      await send('DELETE', path);
    },
  };
}

async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    const message = `No panel answers at ${new URL(url).origin}. Start one with "npm start", or set PANEL_URL.`;
    throw new DemoFailure(message, { cause });
  }
}
