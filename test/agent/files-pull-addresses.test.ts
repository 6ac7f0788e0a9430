import { expect, test } from 'vitest';
import { loadAgentConfig } from '../../agent/config.js';
import { createAddressCheck } from '../../agent/files/pulling/ip-addresses.js';
import { followRedirect } from '../../agent/files/pulling/urls.js';
import { openPulls, serve } from './pull-harness.js';

const refused = { code: 'url.refused' };

/** As somebody may write what is not public; PORT is that of a server on this machine that must not be asked. */
const REFUSED = [
  // This machine.
  'http://127.0.0.1:PORT/',
  'http://127.0.0.2:PORT/',
  'http://127.1:PORT/',
  'http://127.0.1:PORT/',
  'http://2130706433:PORT/',
  'http://0x7f000001:PORT/',
  'http://0x7f.1:PORT/',
  'http://0x7F.0x0.0x0.0x1:PORT/',
  'http://017700000001:PORT/',
  'http://0177.0.0.1:PORT/',
  'http://0177.0.0.0x1:PORT/',
  'http://127.0.0.1.:PORT/',
  'http://%31%32%37.0.0.1:PORT/',
  'http://①②⑦.⓪.⓪.①:PORT/',
  'http://127。0。0。1:PORT/',
  'http://localhost:PORT/',
  'http://LocalHost:PORT/',
  'http://0:PORT/',
  'http://0.0.0.0:PORT/',
  'http://0.1.2.3/',
  'http://[::1]:PORT/',
  'http://[0:0:0:0:0:0:0:1]:PORT/',
  'http://[::]:PORT/',
  'http://[::ffff:127.0.0.1]:PORT/',
  'http://[::ffff:7f00:1]:PORT/',
  'http://[::ffff:0:127.0.0.1]:PORT/',
  'http://[::127.0.0.1]:PORT/',
  'http://[64:ff9b::127.0.0.1]:PORT/',
  'http://[64:ff9b:1::7f00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[2001:0:0:0:0:0:7f00:1]/',
  // Networks beside it.
  'http://10.0.0.1/',
  'http://10.255.255.255/',
  'http://167772161/',
  'http://172.16.0.1/',
  'http://172.31.255.255/',
  'http://192.168.1.1/',
  'http://192.168.257/',
  'http://169.254.169.254/latest/meta-data/',
  'http://0xa9fea9fe/',
  'http://[::ffff:169.254.169.254]/',
  'http://[fe80::1]/',
  'http://[fd00:ec2::254]/',
  'http://[fc00::1]/',
  'http://[fec0::1]/',
  'http://100.64.0.1/',
  'http://100.100.100.200/',
  'http://100.127.255.255/',
  'http://168.63.129.16/',
  'http://192.0.0.192/',
  // Nobody's, or everybody's.
  'http://192.0.2.1/',
  'http://198.18.0.1/',
  'http://198.19.255.255/',
  'http://198.51.100.1/',
  'http://203.0.113.1/',
  'http://192.88.99.1/',
  'http://224.0.0.1/',
  'http://239.255.255.255/',
  'http://240.0.0.1/',
  'http://255.255.255.255/',
  'http://[ff02::1]/',
  'http://[2001:db8::1]/',
  'http://[3fff::1]/',
  'http://[100::1]/',
  // Not fetched at all.
  'ftp://example.com/file',
  'file:///etc/passwd',
  'data:text/plain,hello',
  'javascript:alert(1)',
  'gopher://127.0.0.1:PORT/_x',
  'http://user@example.com/',
  'http://user:password@example.com/',
  'http://example.com@127.0.0.1:PORT/',
  'http://:secret@example.com/',
  '//127.0.0.1:PORT/',
  '/etc/passwd',
  'http://',
  'http://[::1/',
  'http://256.256.256.256/',
  'http://127.0.0.1:99999/',
  '',
];

test('nothing is fetched from what is not public, however it is written', async () => {
  let asked = 0;
  const base = await serve((_request, response) => {
    asked += 1;
    response.end();
  });
  const { pull, names } = openPulls({ pull: {} });
  for (const text of REFUSED) {
    const url = text.replace('PORT', new URL(base).port);
    await expect(pull(url), url).rejects.toMatchObject(refused);
  }
  expect([asked, names()]).toEqual([0, ['d', 'd/file']]);
});

test.each([
  ['1.1.1.1', true],
  ['93.184.216.34', true],
  ['9.255.255.255', true],
  ['11.0.0.0', true],
  ['172.15.255.255', true],
  ['172.32.0.0', true],
  ['100.63.255.255', true],
  ['100.128.0.0', true],
  ['169.253.255.255', true],
  ['192.167.255.255', true],
  ['223.255.255.255', true],
  ['2606:4700:4700::1111', true],
  ['2a00:1450::1', true],
  ['2001:4860:4860::8888', true],
  ['fe80::1%eth0', false],
  ['2606:4700::1%eth0', false],
  ['::ffff:1.1.1.1', false],
  ['4000::1', false],
  ['example.com', false],
  ['', false],
  ['8.8.4.4', false],
])('the address %s: %s', (address, isAllowed) => {
  const check = createAddressCheck([], () => ['10.0.0.1', '8.8.4.4']);
  expect(check(address)).toBe(isAllowed);
});

test('networks of the operator are taken, and nothing beside them', () => {
  const check = createAddressCheck(['10.1.0.0/16', 'fd00:1::/64']);
  const inside = ['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3', 'fd00:1::ff'];
  const outside = ['10.0.255.255', '10.2.0.0', 'fd00:1:0:1::1', '127.0.0.1'];
  expect(inside.filter((address) => !check(address))).toEqual([]);
  expect(outside.filter(check)).toEqual([]);
  const environment = { PANEL_URL: 'https://panel.example.com', NODE_ID: 'node1' };
  const settings = loadAgentConfig({ ...environment, PULL_ALLOWED_NETWORKS: '10.1.0.0/16, fd00:1::/64' });
  expect(settings.pullAllowedNetworks).toEqual(['10.1.0.0/16', 'fd00:1::/64']);
  expect(loadAgentConfig(environment).pullAllowedNetworks).toEqual([]);
  for (const wrong of ['10.0.0.1', '10.0.0.0/33', 'fd00::/129', 'localhost/8', '10.0.0.0/8/8', 'all']) {
    const load = () => loadAgentConfig({ ...environment, PULL_ALLOWED_NETWORKS: wrong });
    expect(load, wrong).toThrow(/PULL_ALLOWED_NETWORKS must be networks/);
  }
});

const LOOPBACK = { address: '127.0.0.1', family: 4 };
const INTERNAL = { address: '10.0.0.1', family: 4 };

test('a name is looked up once, connected to as that answer says, and looked up anew for each redirect', async () => {
  const hosts: unknown[] = [];
  const base = await serve((request, response) => {
    hosts.push(request.headers.host);
    if (request.url === '/again') return response.writeHead(302, { location: '/file' }).end();
    response.end('fetched');
  });
  const { port } = new URL(base);
  const asked: string[] = [];
  const answers = [[LOOPBACK], [LOOPBACK], [INTERNAL]];
  const resolve = async (host: string) => {
    asked.push(host);
    return answers.shift() ?? [];
  };
  const { pull, read, names } = openPulls({ pull: { allowedNetworks: ['127.0.0.1/32'], resolve } });
  await pull(`http://changes.invalid:${port}/file`);
  expect(String(await read('new'))).toBe('fetched');
  await expect(pull(`http://changes.invalid:${port}/again`, { path: 'other' })).rejects.toMatchObject(
    refused,
  );
  expect(asked).toEqual(['changes.invalid', 'changes.invalid', 'changes.invalid']);
  expect(hosts).toEqual([`changes.invalid:${port}`, `changes.invalid:${port}`]);
  await expect(pull('http://none.invalid/', { path: 'other' })).rejects.toMatchObject({ code: 'url.failed' });
  expect(names()).toEqual(['d', 'd/file', 'new']);
});

test.each([
  ['one of several answers is not public', [LOOPBACK, INTERNAL]],
  ['another of several answers is not public', [INTERNAL, LOOPBACK]],
  ['the answer is no address', [{ address: 'localhost', family: 4 }]],
  ['the answer is an address in another form', [{ address: '0x7f.1', family: 4 }]],
  ['the answer is of a network card', [{ address: 'fe80::1%lo', family: 6 }]],
])('%s: the name is refused', async (_what, addresses) => {
  const resolve = async () => addresses;
  const { pull, names } = openPulls({ pull: { allowedNetworks: ['127.0.0.1/32'], resolve } });
  await expect(pull('http://host.invalid/')).rejects.toMatchObject(refused);
  expect(names()).toEqual(['d', 'd/file']);
});

test.each([
  ['http://10.0.0.1/'],
  ['http://169.254.169.254/latest/meta-data/'],
  ['http://[::1]/'],
  ['http://localhost/'],
  ['//0x0a000001/'],
  ['file:///etc/passwd'],
  ['ftp://example.com/'],
  ['http://user:password@127.0.0.1/'],
])('a redirect to %s is refused', async (location) => {
  const base = await serve((_request, response) => response.writeHead(302, { location }).end());
  const resolve = async () => [INTERNAL];
  const { pull, names } = openPulls({ pull: { allowedNetworks: ['127.0.0.1/32'], resolve } });
  await expect(pull(base)).rejects.toMatchObject(refused);
  expect(names()).toEqual(['d', 'd/file']);
});

test('a redirect from https to http is refused, the other way and on the same way not', () => {
  const secure = new URL('https://example.com/a/b');
  expect(() => followRedirect(secure, 'http://example.com/a')).toThrow(expect.objectContaining(refused));
  expect(followRedirect(secure, 'c#part').href).toBe('https://example.com/a/c');
  expect(followRedirect(secure, '//other.example/x').href).toBe('https://other.example/x');
  expect(followRedirect(new URL('http://example.com/'), 'https://example.com/').href).toBe(
    'https://example.com/',
  );
});
