import { ADMINISTRATOR, until } from './processes.js';

/** The public API as a script would use it. */
export interface Api {
  url: string;
  token: string;
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Like `call`; anything but success is an error that shows the answer. */
  must(method: string, path: string, body?: unknown): Promise<Answer>;
}

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON came; the test says what it expects of it.
  body: any;
}

export function api(url: string, token = ''): Api {
  async function call(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
  }
  return {
    url,
    token,
    call,
    async must(method, path, body) {
      const answer = await call(method, path, body);
      if (answer.status >= 300)
        throw new Error(`${method} ${path} → ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer;
    },
  };
}

export async function signIn(url: string, account = ADMINISTRATOR): Promise<Api> {
  const { body } = await api(url).must('POST', '/api/auth/login', {
    email: account.email,
    password: account.password,
  });
  return api(url, body.data.token);
}

/** A location and a node in it, without an agent yet. */
export async function createNode(
  admin: Api,
  name: string,
): Promise<{ nodeId: string; deploymentToken: string }> {
  const location = await admin.must('POST', '/api/locations', { name: `${name}-location` });
  const node = await admin.must('POST', '/api/nodes', {
    name,
    locationId: location.body.data.id,
    hostname: 'node.example.com',
    publicAddress: '127.0.0.1',
    maxMemoryMb: 8192,
    maxCpuCores: 4,
  });
  const nodeId: string = node.body.data.id;
  const token = await admin.must('POST', `/api/nodes/${nodeId}/deployment-token`);
  return { nodeId, deploymentToken: token.body.data.deploymentToken };
}

export async function nodeIsOnline(admin: Api, nodeId: string): Promise<void> {
  await until('the node is online', async () => {
    const node = await admin.must('GET', `/api/nodes/${nodeId}`);
    return node.body.data.isOnline;
  });
}

export async function serverIs(
  user: Api,
  serverId: string,
  status: string,
  timeoutMs?: number,
): Promise<void> {
  let seen = '';
  await until(
    `the server is ${status}`,
    async () => {
      const { body } = await user.must('GET', `/api/servers/${serverId}`);
      seen = `${body.data.status} (${body.data.statusReason})`;
      if (body.data.status !== status) throw new Error(`It is ${seen}.`);
      return true;
    },
    timeoutMs,
  );
}
