import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addKey, connect, openSftp, runSftp, type SftpStage, setSftpStage } from './harness.js';

let stage: SftpStage;
let login: { port: number; username: string; privateText: string };

beforeAll(async () => {
  stage = await setSftpStage();
  const { privateText } = await addKey(stage, stage.owner, '-t', 'rsa', '-b', '2048');
  login = { port: stage.port, username: (await stage.makeServer()).id, privateText };
});

afterAll(() => stage.close());

const REFUSED = [
  'HostKeyAlgorithms=ssh-rsa',
  'HostKeyAlgorithms=ssh-dss',
  'KexAlgorithms=diffie-hellman-group1-sha1',
  'KexAlgorithms=diffie-hellman-group14-sha1',
  'KexAlgorithms=diffie-hellman-group-exchange-sha1',
  'Ciphers=3des-cbc',
  'Ciphers=aes128-cbc',
  'Ciphers=aes256-cbc',
  'MACs=hmac-sha1',
  'MACs=hmac-md5',
  'PubkeyAcceptedAlgorithms=ssh-rsa',
];
const SERVED = [
  'HostKeyAlgorithms=ssh-ed25519',
  'HostKeyAlgorithms=rsa-sha2-256',
  'HostKeyAlgorithms=rsa-sha2-512',
  'KexAlgorithms=curve25519-sha256',
  'KexAlgorithms=ecdh-sha2-nistp256',
  'KexAlgorithms=ecdh-sha2-nistp521',
  'KexAlgorithms=diffie-hellman-group14-sha256',
  'KexAlgorithms=diffie-hellman-group16-sha512',
  'Ciphers=chacha20-poly1305@openssh.com',
  'Ciphers=aes256-gcm@openssh.com',
  'Ciphers=aes128-ctr',
  'PubkeyAcceptedAlgorithms=rsa-sha2-256',
];

test.each(REFUSED)('%s is refused', async (option) => {
  // With a cipher that has no code of its own, there has to be another one.
  const options = option.startsWith('MACs') ? ['-o', 'Ciphers=aes128-ctr'] : [];
  const result = await runSftp(login, ['pwd'], ['-v', '-o', option, ...options]);
  expect(result.code).toBe(255);
  expect(result.stderr).toMatch(
    /no matching (host key type|key exchange method|cipher|MAC) found|Permission denied/,
  );
});

test.each(SERVED)('%s is served', async (option) => {
  expect(await runSftp(login, ['pwd'], ['-o', option])).toMatchObject({ code: 0, stderr: '' });
});

test('numbers of packets begin again after each exchange of keys, so that none can be left out unseen', async () => {
  const { stderr } = await runSftp(login, ['pwd'], ['-v']);
  expect(stderr).toContain('resetting send seqnr');
  expect(stderr).toContain('resetting read seqnr');
});

test('a transfer goes on through exchanges of keys', async () => {
  const commands = ['put /proc/self/exe program', 'get program /dev/null', 'rm program'];
  expect(await runSftp(login, commands, ['-o', 'RekeyLimit=64K'])).toMatchObject({ code: 0, stderr: '' });
});

const APPLICATION = 'ssh:';
const TOUCHED = 0x01;

/** What a key in hardware does, without the hardware: OpenSSH's PROTOCOL.u2f. */
function makeSecurityKey(type: 'sk-ssh-ed25519@openssh.com' | 'sk-ecdsa-sha2-nistp256@openssh.com') {
  const isEd25519 = type.includes('ed25519');
  const { publicKey, privateKey } = isEd25519
    ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const body = isEd25519 ? [Buffer.from(x, 'base64url')] : [Buffer.from('nistp256'), point];
  const blob = Buffer.concat([Buffer.from(type), ...body, Buffer.from(APPLICATION)].map(withLength));
  return {
    type,
    blob,
    publicLine: `${type} ${blob.toString('base64')}`,
    sign: signer(privateKey, isEd25519),
  };
}

function signer(key: KeyObject, isEd25519: boolean) {
  return (message: Buffer, flags = TOUCHED, application = APPLICATION): Buffer => {
    const trailer = Buffer.from([flags, 0, 0, 0, 7]);
    const signed = Buffer.concat([sha256(Buffer.from(application)), trailer, sha256(message)]);
    if (isEd25519) return Buffer.concat([sign(null, signed, key), trailer]);
    const proof = sign('sha256', signed, { key, dsaEncoding: 'ieee-p1363' });
    // Numbers whose first bit is set would be negative without a zero before them.
    const numbers = [proof.subarray(0, 32), proof.subarray(32)].map((number) =>
      withLength((number[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), number]) : number),
    );
    return Buffer.concat([...numbers, trailer]);
  };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();

function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Signs in with ssh2's client, which takes any key for one of its own that looks like one. */
function enter(key: ReturnType<typeof makeSecurityKey>, signMessage: (message: Buffer) => Buffer) {
  const known = ssh2.utils.parseKey(ssh2.utils.generateKeyPairSync('ed25519').private);
  if (known instanceof Error) throw known;
  const shown: ParsedKey = Object.assign(known, {
    type: key.type,
    getPublicSSH: () => key.blob,
    sign: signMessage,
  });
  const methods = [{ type: 'publickey', username: login.username, key: shown } as const];
  return connect({ port: login.port, username: login.username }, { authHandler: methods });
}

test.each(['sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com'] as const)(
  'a key in hardware signs in when it was touched: %s',
  async (type) => {
    const key = makeSecurityKey(type);
    const { publicLine: publicKey } = key;
    const added = await stage.panel.post('/api/auth/ssh-keys', { name: type, publicKey }, stage.owner.token);
    expect(added.status).toBe(201);
    await openSftp(await enter(key, (message) => key.sign(message)));
    const refused = /authentication methods failed/;
    await expect(enter(key, (message) => key.sign(message, 0))).rejects.toThrow(refused);
    await expect(enter(key, (message) => key.sign(message, TOUCHED, 'ssh:other'))).rejects.toThrow(refused);
    await expect(enter(key, (message) => key.sign(Buffer.concat([message, message])))).rejects.toThrow(
      refused,
    );
    await expect(enter(key, (message) => makeSecurityKey(type).sign(message))).rejects.toThrow(refused);
    await expect(enter(key, () => Buffer.alloc(3))).rejects.toThrow(refused);
  },
);
