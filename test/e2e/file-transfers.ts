import { once } from 'node:events';
import { statSync } from 'node:fs';
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { runSftp } from '../sftp/harness.js';
import type { Api } from './api.js';
import { type FileStage, unfinishedIn } from './file-stage.js';

/** 2 MB/s, in what OpenSSH's `-l` counts in: what is large enough is still under way when it is to be. */
const SLOWLY = ['-l', '16000'];

/** Something that has been begun and will not end by itself for a while. */
export interface Transfer {
  name: string;
  isUnderWay(): boolean;
  /** How it ended for the client: null is success, anything else what went wrong. Never rejects. */
  outcome: Promise<string | null>;
}

/** Sends the beginning of what it announces, and no more. */
export function beginRequest(
  user: Api,
  options: RequestOptions & { path: string; sizeBytes: number; beginning: Buffer },
): Promise<string | null> {
  const { sizeBytes, beginning, ...rest } = options;
  const sent = request(user.url + options.path, {
    ...rest,
    headers: { authorization: `Bearer ${user.token}`, 'content-length': sizeBytes, ...rest.headers },
  });
  sent.write(beginning);
  return outcomeOf(once(sent, 'response').then(([response]) => bodyOf(response as IncomingMessage)));
}

/** A form with one file of which only half comes. */
export function beginUpload({ user, filesUrl, inside }: FileStage, directory: string): Transfer {
  const boundary = 'of-the-form';
  const head = [
    `--${boundary}`,
    'content-disposition: form-data; name="file"; filename="file"',
    'content-type: application/octet-stream',
    '\r\n',
  ].join('\r\n');
  const beginning = Buffer.concat([Buffer.from(head), Buffer.alloc(3_000_000, 'new')]);
  const query = new URLSearchParams({ path: `/${directory}` });
  return {
    name: 'upload',
    isUnderWay: () => isGrowing(inside(directory)),
    outcome: beginRequest(user, {
      method: 'POST',
      path: `${filesUrl}/upload?${query}`,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      sizeBytes: 6_000_000,
      beginning,
    }),
  };
}

/** Takes the first bytes, and the rest only when it is told to. */
export function beginDownload({ user, filesUrl }: FileStage, path: string) {
  let receivedBytes = 0;
  let go = () => {};
  const isTold = new Promise<void>((resolve) => {
    go = resolve;
  });
  async function download(): Promise<string | null> {
    const asked = request(`${user.url}${filesUrl}/download?${new URLSearchParams({ path })}`, {
      headers: { authorization: `Bearer ${user.token}` },
    }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    for await (const piece of response) {
      receivedBytes += piece.length;
      await isTold;
    }
    const isWhole = response.complete && receivedBytes === Number(response.headers['content-length']);
    return isWhole ? null : `${receivedBytes} bytes came`;
  }
  const transfer: Transfer = {
    name: 'download',
    isUnderWay: () => receivedBytes > 0,
    outcome: outcomeOf(download()),
  };
  return { ...transfer, goOn: () => go() };
}

export function beginSftpUpload({ login, inside }: FileStage, local: string, directory: string): Transfer {
  return {
    name: 'SFTP upload',
    isUnderWay: () => isGrowing(inside(directory)),
    outcome: sftpOutcome(login, `put ${local} /${directory}/file`),
  };
}

export function beginSftpDownload({ login }: FileStage, path: string, local: string): Transfer {
  return {
    name: 'SFTP download',
    isUnderWay: () => (statSync(local, { throwIfNoEntry: false })?.size ?? 0) > 500_000,
    outcome: sftpOutcome(login, `get ${path} ${local}`),
  };
}

export function beginWork(
  { user, filesUrl, inside }: FileStage,
  work: 'compress' | 'decompress',
  { body, directory }: { body: object; directory: string },
): Transfer {
  const asked = user.call('POST', `${filesUrl}/${work}`, body);
  return {
    name: work,
    isUnderWay: () => isGrowing(inside(directory)),
    outcome: outcomeOf(asked.then(({ status, body }) => (status < 300 ? null : JSON.stringify(body)))),
  };
}

const isGrowing = (directory: string) => [...unfinishedIn(directory).values()].some((bytes) => bytes > 0);

async function sftpOutcome(login: FileStage['login'], command: string): Promise<string | null> {
  const { code, stderr } = await runSftp(login, [command], SLOWLY);
  return code === 0 ? null : stderr || `ended with ${code}`;
}

function outcomeOf(outcome: Promise<string | null>): Promise<string | null> {
  return outcome.catch((error: Error) => `${error.name}: ${error.message}`);
}

async function bodyOf(response: IncomingMessage): Promise<string | null> {
  let text = '';
  for await (const piece of response.setEncoding('utf8')) text += piece;
  return (response.statusCode ?? 500) < 300 ? null : text;
}
