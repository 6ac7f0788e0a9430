import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import type { PanelWithDoors } from './doors.js';
import type { FileNode } from './file-node.js';
import type { TestUser } from './panel.js';
import { insertServer } from './servers.js';

export interface FileServer {
  id: string;
  uuid: string;
  directory: string;
  /** The path of a file of it on this machine. */
  inside(name: string): string;
}

export interface SendOptions {
  method?: string;
  headers?: Record<string, string | number>;
  query?: Record<string, string>;
  /** Left out: the owner's. */
  token?: string;
}

/** Requests about the files of servers of one owner, as they go over a socket. */
export function createFileRequests(
  panel: PanelWithDoors,
  { node, owner, templateId }: { node: FileNode; owner: TestUser; templateId: string },
) {
  function send(server: { id: string }, route: string, options: SendOptions = {}): ClientRequest {
    const { method = 'GET', headers = {}, query = {}, token = owner.token } = options;
    return request({
      port: panel.port,
      host: '127.0.0.1',
      path: `/api/servers/${server.id}/files/${route}?${new URLSearchParams(query)}`,
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      agent: false,
    });
  }

  async function ask(server: { id: string }, route: string, body?: unknown, options: SendOptions = {}) {
    const isBytes = Buffer.isBuffer(body);
    const headers = {
      ...(body !== undefined && {
        'content-type': isBytes ? 'application/octet-stream' : 'application/json',
      }),
      ...options.headers,
    };
    const call = send(server, route, { ...options, headers });
    call.end(isBytes ? body : body === undefined ? undefined : JSON.stringify(body));
    const answer = await answerOf(call);
    const text = await textOf(answer);
    const isJson = String(answer.headers['content-type'] ?? '').includes('json') && text !== '';
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text,
      body: isJson ? JSON.parse(text) : undefined,
    };
  }

  return {
    send,
    /** Sends JSON, or bytes as they are, and answers the whole answer. */
    ask,
    post: (server: { id: string }, route: string, body?: unknown, options: SendOptions = {}) =>
      ask(server, route, body, { method: 'POST', ...options }),
    async makeServer(onNode: FileNode = node): Promise<FileServer> {
      const server = await insertServer(panel, { nodeId: onNode.id, ownerId: owner.id, templateId });
      const directory = await onNode.install(server);
      return { ...server, directory, inside: (name: string) => join(directory, name) };
    },
  };
}

export type FileRequests = ReturnType<typeof createFileRequests>;

export async function answerOf(call: ClientRequest): Promise<IncomingMessage> {
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  return answer;
}

export async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const BOUNDARY = 'a-boundary';

/** For forms that are written by hand. */
export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
export const FORM_END = `\r\n--${BOUNDARY}--\r\n`;

export function partHead(name: string, fileName?: string): string {
  const file = fileName === undefined ? '' : `; filename="${fileName}"`;
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`;
}

/** Files of the directory that this process, which the agent is in, has open. */
export function openIn(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(`${directory}/`) ? [path] : [];
    } catch {
      return [];
    }
  });
}
