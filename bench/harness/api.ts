export interface Api {
  token(): string;
  login(credentials: { email: string; password: string }): Promise<void>;
  /** The answer's body. Throws when the status is not 2xx. */
  send<Body = unknown>(method: string, path: string, body?: object): Promise<Body>;
}

/** The public REST API of a panel. */
export function createApi(url: string): Api {
  let token = '';

  async function send<Body>(method: string, path: string, body?: object): Promise<Body> {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text) as Body;
  }

  return {
    token: () => token,
    async login(credentials) {
      const { data } = await send<{ data: { token: string } }>('POST', '/api/auth/login', credentials);
      token = data.token;
    },
    send,
  };
}
