import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deployScript } from '../../src/modules/deploy/script.js';
import { createDeployments } from '../../src/modules/deploy/service.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

const AGENT = { ipAddress: '192.0.2.2', userAgent: undefined };
let panel: PanelWithDoors;
let administrator: TestUser;
let origin: string;
beforeAll(async () => {
  panel = await startPanelWithDoors();
  administrator = await panel.createAdministrator();
  origin = `http://127.0.0.1:${panel.port}`;
});
afterAll(() => panel.close());

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'catalyst-deploy-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function deployment(fields: Record<string, unknown> = {}) {
  const node = await panel.createNode(fields);
  return { node, token: await tokenOf(node.id) };
}

async function tokenOf(nodeId: string): Promise<string> {
  const { body } = await panel.post(`/api/nodes/${nodeId}/deployment-token`, {}, administrator.token);
  return body.data.deploymentToken as string;
}

async function scriptFor(token: string): Promise<string> {
  const response = await fetch(`${origin}/api/deploy/${token}`);
  expect(response.status).toBe(200);
  return response.text();
}

interface Run {
  code: number;
  output: string;
}

/** What `curl … | sh` does with the script. */
function runScript(script: string, environment: Record<string, string> = {}, shell = 'sh'): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(
      shell,
      [],
      {
        env: {
          PATH: process.env.PATH,
          HOME: directory,
          CATALYST_HOME: path.join(directory, 'home'),
          ...environment,
        },
      },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    );
    child.stdin?.end(script);
  });
}

describe('GET /api/deploy/:token', () => {
  test('answers a shell script and does not use the token up', async () => {
    const { node, token } = await deployment();
    for (let round = 0; round < 2; round += 1) {
      const answer = await panel.get(`/api/deploy/${token}`);
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'content-type': 'text/x-shellscript; charset=utf-8',
        'cache-control': 'no-store',
      });
      expect(answer.text).toMatch(/^#!\/bin\/sh\n/);
      expect(answer.text).toContain(`NODE_ID='${node.id}'`);
    }
    expect(await panel.context.nodes.authenticateAgent({ nodeId: node.id, token })).not.toBe(null);
  });

  test('is 404 and empty for a token that is unknown, expired, used, or something else', async () => {
    const { node, token: used } = await deployment();
    const credential = await panel.context.nodes.authenticateAgent({ nodeId: node.id, token: used });
    if (credential?.kind !== 'deployment-token') throw new Error('the token was not accepted');
    await panel.context.nodes.redeemDeploymentToken(credential.tokenId, AGENT);
    const { node: late, token: expired } = await deployment();
    await panel.context.database.prisma.deploymentToken.updateMany({
      where: { nodeId: late.id },
      data: { expiresAt: new Date(Date.now() - 1) },
    });
    for (const token of ['unknown', used, expired, node.secret, administrator.token.slice(0, 400)]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await panel.call(method, `/api/deploy/${token}`);
        expect([method, answer.status, answer.text]).toEqual([method, 404, '']);
      }
    }
  });

  test('HEAD of a valid token is as GET, without the script', async () => {
    const { token } = await deployment();
    const answer = await panel.call('HEAD', `/api/deploy/${token}`);
    expect([answer.status, answer.text]).toEqual([200, '']);
  });

  test('names the panel as the machine reached it', async () => {
    const { token } = await deployment();
    const url = `/api/deploy/${token}`;
    const answer = await panel.app.inject({ url, headers: { host: 'panel.example.com:8080' } });
    expect(answer.body).toContain("PANEL_URL='http://panel.example.com:8080'\n");
    for (const host of ["x';reboot;'", 'x$(reboot)', 'x y']) {
      expect((await panel.app.inject({ url, headers: { host } })).statusCode).toBe(400);
    }
  });
});

describe('GET /api/agent/catalyst-agent.mjs', () => {
  test('answers the agent with its hash as ETag, and 304 to who has it', async () => {
    const url = '/api/agent/catalyst-agent.mjs';
    const answer = await panel.app.inject({ url });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toContain('text/javascript');
    const etag = `"${createHash('sha256').update(answer.rawPayload).digest('hex')}"`;
    expect(answer.headers.etag).toBe(etag);
    const again = await panel.app.inject({ url, headers: { 'if-none-match': etag } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });

  test('is read once for each build', async () => {
    const agentFile = path.join(directory, 'agent.mjs');
    const { agent } = createDeployments({ nodes: panel.context.nodes, agentFile, publicUrl: undefined });
    writeFileSync(agentFile, 'first');
    const first = await agent();
    expect(await agent()).toBe(first);
    writeFileSync(agentFile, 'second build');
    expect(String((await agent()).bytes)).toBe('second build');
    rmSync(agentFile);
    await expect(agent()).rejects.toMatchObject({ code: 'agent.not_built' });
  });

  test('says what to do when the agent was not built', async () => {
    const deployments = createDeployments({
      nodes: panel.context.nodes,
      agentFile: '/nowhere/agent.mjs',
      publicUrl: undefined,
    });
    await expect(deployments.agent()).rejects.toMatchObject({ code: 'agent.not_built', statusCode: 503 });
  });
});

describe('the script', () => {
  test.each(['sh', 'bash'])('sets the agent up with %s, and it connects', async (shell) => {
    const { node, token } = await deployment({ name: `it's "$(touch pwned)" \`x\` ${shell}` });
    const run = await runScript(await scriptFor(token), { RUNTIME: 'process' }, shell);
    expect(run.output).toContain(`node "it's "$(touch pwned)" \`x\` ${shell}"`);
    expect(run.code).toBe(0);
    const home = path.join(directory, 'home');
    expect(readdirSync(home).sort()).toEqual(['agent.env', 'catalyst-agent.mjs', 'data', 'run.sh']);
    expect(statSync(path.join(home, 'agent.env')).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(home, 'agent.env'), 'utf8')).toBe(
      [
        `PANEL_URL='${origin}'`,
        `NODE_ID='${node.id}'`,
        `NODE_TOKEN='${token}'`,
        `AGENT_DATA_DIR='${home}/data'`,
        "RUNTIME='process'\n",
      ].join('\n'),
    );
    expect(run.output).toContain(`sh ${home}/run.sh`);

    const agent = spawn('sh', [path.join(home, 'run.sh')], {
      stdio: 'ignore',
      env: { PATH: process.env.PATH },
    });
    const ended = new Promise((resolve) => agent.on('exit', resolve));
    try {
      await expect
        .poll(
          async () => (await panel.get(`/api/nodes/${node.id}`, administrator.token)).body.data.isOnline,
          { timeout: 20_000 },
        )
        .toBe(true);
      expect((await panel.get(`/api/deploy/${token}`)).status).toBe(404);
    } finally {
      agent.kill('SIGTERM');
      await ended;
    }
  });

  test('can be run again with a new token, keeping settings of its own', async () => {
    const { node, token } = await deployment();
    expect((await runScript(await scriptFor(token))).code).toBe(0);
    const home = path.join(directory, 'home');
    writeFileSync(path.join(home, 'local.env'), 'LOG_LEVEL=debug\n');
    const next = await tokenOf(node.id);
    expect((await runScript(await scriptFor(next))).code).toBe(0);
    expect(readFileSync(path.join(home, 'agent.env'), 'utf8')).toContain(`NODE_TOKEN='${next}'`);
    expect(readFileSync(path.join(home, 'local.env'), 'utf8')).toBe('LOG_LEVEL=debug\n');
  });

  test('does not take over the directory of another node', async () => {
    const [one, two] = [await deployment(), await deployment()];
    expect((await runScript(await scriptFor(one.token))).code).toBe(0);
    const run = await runScript(await scriptFor(two.token));
    expect([run.code, run.output]).toEqual([1, expect.stringContaining('belongs to another node')]);
    const settings = readFileSync(path.join(directory, 'home/agent.env'), 'utf8');
    expect(settings).toContain(`NODE_ID='${one.node.id}'`);
  });

  test('leaves nothing behind when the download is not what the panel promised', async () => {
    const { token } = await deployment();
    const script = (await scriptFor(token)).replace(/AGENT_SHA256='[0-9a-f]{6}/, "AGENT_SHA256='000000");
    const run = await runScript(script);
    expect([run.code, run.output]).toEqual([1, expect.stringContaining('The download is damaged')]);
    expect(readdirSync(path.join(directory, 'home'))).toEqual(['data']);
  });

  test('says so when the panel cannot be reached', async () => {
    const { token } = await deployment();
    const script = (await scriptFor(token)).replace(origin, 'http://127.0.0.1:9');
    const run = await runScript(script);
    expect([run.code, run.output]).toEqual([1, expect.stringContaining('could not be downloaded')]);
  });

  test('cut off anywhere it does nothing', async () => {
    const { token } = await deployment();
    const script = await scriptFor(token);
    for (const part of [0.2, 0.5, 0.8, 0.99]) {
      await runScript(script.slice(0, Math.floor(script.length * part)));
      expect(existsSync(path.join(directory, 'home'))).toBe(false);
    }
  });

  test.each([
    ['a relative CATALYST_HOME', { CATALYST_HOME: 'agent' }, 'absolute path'],
    ['a CATALYST_HOME with spaces', { CATALYST_HOME: '/tmp/a b' }, 'may only have letters'],
    ['a RUNTIME that is none', { RUNTIME: 'podman' }, 'RUNTIME has to be'],
  ])('refuses %s', async (_, environment, said) => {
    const { token } = await deployment();
    const run = await runScript(await scriptFor(token), environment);
    expect([run.code, run.output]).toEqual([1, expect.stringContaining(said)]);
  });

  /** A directory of commands: real ones by link, others as scripts. */
  function commands(scripts: Record<string, string>, linked: string[]): string {
    const bin = path.join(directory, 'bin');
    mkdirSync(bin);
    for (const name of linked) {
      const found = (process.env.PATH ?? '').split(':').find((folder) => existsSync(path.join(folder, name)));
      if (found) symlinkSync(path.join(found, name), path.join(bin, name));
    }
    for (const [name, text] of Object.entries(scripts)) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`);
      chmodSync(path.join(bin, name), 0o755);
    }
    return bin;
  }

  const BASICS = ['cat', 'chmod', 'grep', 'id', 'mkdir', 'mktemp', 'mv', 'rm', 'sed', 'sh'];

  test.each([
    ['is missing', {}, 'Node.js is not installed'],
    [
      'is too old',
      { node: 'case $1 in -p) echo "$0";; -v) echo v18.20.0;; *) exit 1;; esac' },
      'Node.js 20.19 or newer is needed, but this is v18.20.0',
    ],
  ])('says so when Node.js %s', async (_, scripts, said) => {
    const { token } = await deployment();
    const script = await scriptFor(token);
    const run = await runScript(script, { PATH: commands(scripts, BASICS) }, '/bin/sh');
    expect([run.code, run.output]).toEqual([1, expect.stringContaining(said)]);
  });

  test.each(['curl', 'wget'])('needs only %s to download', async (tool) => {
    const { token } = await deployment();
    const bin = commands({}, [...BASICS, 'node', tool]);
    const run = await runScript(await scriptFor(token), { PATH: bin }, '/bin/sh');
    expect([run.code, run.output]).toEqual([0, expect.stringContaining('Done')]);
  });

  test('says so when there is nothing to download with', async () => {
    const { token } = await deployment();
    const bin = commands({}, [...BASICS, 'node']);
    const run = await runScript(await scriptFor(token), { PATH: bin }, '/bin/sh');
    expect([run.code, run.output]).toEqual([1, expect.stringContaining('Neither curl nor wget')]);
  });

  test.runIf(process.getuid?.() === 0)('where systemd runs it installs and starts a service', async () => {
    const { token } = await deployment();
    mkdirSync(path.join(directory, 'run/systemd/system'), { recursive: true });
    mkdirSync(path.join(directory, 'etc/systemd/system'), { recursive: true });
    const calls = path.join(directory, 'calls');
    const bin = commands({ systemctl: `echo "$*" >> ${calls}` }, [...BASICS, 'node', 'curl']);
    const environment = { PATH: bin, CATALYST_ROOT: directory };
    const run = await runScript(await scriptFor(token), environment, '/bin/sh');
    expect([run.code, run.output]).toEqual([0, expect.stringContaining('runs as catalyst-agent.service')]);
    expect(readFileSync(calls, 'utf8').trim().split('\n')).toEqual([
      'daemon-reload',
      'enable --quiet catalyst-agent.service',
      'restart catalyst-agent.service',
    ]);
    const unit = readFileSync(path.join(directory, 'etc/systemd/system/catalyst-agent.service'), 'utf8');
    expect(unit).toContain(`ExecStart=/bin/sh ${directory}/home/run.sh\n`);
    expect(unit).toMatch(/^Restart=always\n/m);
    expect(unit).toMatch(/^KillMode=process\n/m);
  });

  test('every value is one word, whatever is in it', async () => {
    const hostile = `'; touch ${directory}/pwned; '$(touch ${directory}/pwned)\\`;
    const script = deployScript({
      panelUrl: hostile,
      nodeId: hostile,
      nodeName: hostile,
      token: hostile,
      agentSha256: hostile,
    });
    const probe = script.replace(
      /\nmain\n$/,
      `\nprintf '%s|' "$PANEL_URL" "$NODE_ID" "$NODE_NAME" "$NODE_TOKEN"\n`,
    );
    const run = await runScript(probe);
    expect(run.output).toBe(`${hostile}|`.repeat(4));
    expect(existsSync(path.join(directory, 'pwned'))).toBe(false);
  });
});
