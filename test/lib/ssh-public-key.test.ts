import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../src/lib/errors.js';
import { parseSshPublicKey } from '../../src/lib/ssh-public-key.js';
import { fingerprintOf, makeKeyPair } from '../helpers/ssh-keygen.js';

/** One field after the other, each with its length. */
function blobOf(...fields: (string | Buffer)[]): string {
  const parts = fields.flatMap((field) => {
    const bytes = typeof field === 'string' ? Buffer.from(field) : field;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString('base64');
}

/** A number as RFC 4251 writes it. */
function mpint(bytes: Buffer): Buffer {
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes;
}

function pointOn(curve: string): Buffer {
  const jwk = generateKeyPairSync('ec', { namedCurve: curve }).publicKey.export({ format: 'jwk' });
  return Buffer.concat([
    Buffer.from([4]),
    Buffer.from(jwk.x ?? '', 'base64url'),
    Buffer.from(jwk.y ?? '', 'base64url'),
  ]);
}

function rsaLine(modulus: Buffer, exponent = Buffer.from([1, 0, 1])): string {
  return `ssh-rsa ${blobOf('ssh-rsa', exponent, modulus)}`;
}

function messageOf(text: string): string {
  try {
    parseSshPublicKey(text);
  } catch (error) {
    if (error instanceof AppError && error.code === 'ssh_key.invalid') return error.message;
    throw error;
  }
  throw new Error('it was taken for a key');
}

const ED25519 = Buffer.alloc(32, 7);
const MODULUS = mpint(Buffer.alloc(256, 0xff));
const P256 = pointOn('P-256');

describe('keys that OpenSSH makes', () => {
  test.each([
    ['ssh-ed25519', ['-t', 'ed25519']],
    ['ssh-rsa', ['-t', 'rsa', '-b', '2048']],
    ['ssh-rsa', ['-t', 'rsa', '-b', '3072']],
    ['ecdsa-sha2-nistp256', ['-t', 'ecdsa', '-b', '256']],
    ['ecdsa-sha2-nistp384', ['-t', 'ecdsa', '-b', '384']],
    ['ecdsa-sha2-nistp521', ['-t', 'ecdsa', '-b', '521']],
  ])('%s is read and gets the fingerprint that ssh-keygen prints (%s)', (type, kind) => {
    const { publicLine, fingerprint } = makeKeyPair(...kind);
    const key = parseSshPublicKey(publicLine);
    expect(key).toEqual({ type, publicKey: publicLine.split(' ')[1], fingerprint });
    expect(fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    // The comment and white space around do not matter.
    expect(parseSshPublicKey(`  ${type}\t${key.publicKey}  a comment "with" quotes \r\n`)).toEqual(key);
    expect(parseSshPublicKey(`${type} ${key.publicKey}`)).toEqual(key);
  });

  test.each([
    ['ssh-ed25519', blobOf('ssh-ed25519', ED25519)],
    ['sk-ssh-ed25519@openssh.com', blobOf('sk-ssh-ed25519@openssh.com', ED25519, 'ssh:')],
    [
      'sk-ecdsa-sha2-nistp256@openssh.com',
      blobOf('sk-ecdsa-sha2-nistp256@openssh.com', 'nistp256', P256, 'ssh:work'),
    ],
  ])('%s, put together by hand, gets it too', (type, blob) => {
    expect(parseSshPublicKey(`${type} ${blob}`).fingerprint).toBe(fingerprintOf(`${type} ${blob}\n`));
  });

  test('every private key is refused, and told what it is', () => {
    const { privateText } = makeKeyPair('-t', 'ed25519');
    const pem = makeKeyPair('-t', 'rsa', '-b', '2048', '-m', 'PEM').privateText;
    for (const text of [
      privateText,
      pem,
      privateText.split('\n')[0] ?? '',
      'PuTTY-User-Key-File-3: ssh-ed25519',
    ]) {
      expect(messageOf(text)).toContain('private key');
    }
  });
});

describe('what is refused', () => {
  const { publicLine } = makeKeyPair('-t', 'ed25519');
  const [type = '', base64 = ''] = publicLine.split(' ');
  const dsa = blobOf('ssh-dss', MODULUS, ED25519, MODULUS, MODULUS);

  test.each([
    ['nothing', '', 'begins with the type'],
    ['white space', ' \n ', 'begins with the type'],
    ['something else', 'hello there', 'begins with the type'],
    ['the name of an object', 'constructor AAAA', 'begins with the type'],
    ['a type alone', 'ssh-ed25519', 'not base64'],
    ['two lines', `${publicLine}${publicLine}`, 'one line'],
    ['two lines, as old systems end them', `${type} ${base64}\r${type} ${base64}`, 'one line'],
    ['the format of other programs', `---- BEGIN SSH2 PUBLIC KEY ----\n${base64}`, 'one line'],
    ['options', `command="sh" ${publicLine}`, 'without options'],
    ['several options', `no-pty,from="10.0.0.0/8, x" ${publicLine}`, 'without options'],
    ['DSA', `ssh-dss ${dsa}`, 'DSA'],
    ['a certificate', `ssh-ed25519-cert-v01@openssh.com ${base64}`, 'certificate'],
    ['text that is not base64', 'ssh-ed25519 !!!!', 'not base64'],
    ['base64 with something behind', `ssh-ed25519 ${base64}=`, 'not base64'],
    [
      'the other base64',
      `ssh-ed25519 ${blobOf('ssh-ed25519', Buffer.alloc(32, 0xff)).replaceAll('/', '_')}`,
      'not base64',
    ],
    ['a key that was cut off', `${type} ${base64.slice(0, 40)}`, 'damaged'],
    [
      'a length beyond the end',
      `ssh-ed25519 ${Buffer.from('ffffffff73', 'hex').toString('base64')}`,
      'damaged',
    ],
    ['another type inside', `ssh-rsa ${base64}`, 'another type'],
    ['31 bytes', `ssh-ed25519 ${blobOf('ssh-ed25519', ED25519.subarray(1))}`, '32 bytes'],
    ['something behind the key', `ssh-ed25519 ${blobOf('ssh-ed25519', ED25519, 'more')}`, 'damaged'],
    ['RSA of 1024 bits', rsaLine(mpint(Buffer.alloc(128, 0xff))), 'this one has 1024'],
    [
      'RSA of 2047 bits',
      rsaLine(Buffer.concat([Buffer.from([0x7f]), Buffer.alloc(255, 0xff)])),
      'this one has 2047',
    ],
    ['RSA of 16392 bits', rsaLine(mpint(Buffer.alloc(2049, 0xff))), 'this one has 16392'],
    ['RSA with an even modulus', rsaLine(mpint(Buffer.alloc(256, 0xfe))), 'could use'],
    ['RSA with the exponent 1', rsaLine(MODULUS, Buffer.from([1])), 'could use'],
    ['RSA with the exponent 0', rsaLine(MODULUS, Buffer.alloc(0)), 'damaged'],
    ['RSA with an even exponent', rsaLine(MODULUS, Buffer.from([4])), 'could use'],
    ['RSA with a huge exponent', rsaLine(MODULUS, Buffer.alloc(9, 0x7f)), 'could use'],
    ['RSA with a negative modulus', rsaLine(Buffer.alloc(256, 0xff)), 'damaged'],
    ['RSA with needless zeros', rsaLine(Buffer.concat([Buffer.alloc(2), MODULUS])), 'damaged'],
    ['RSA without a modulus', `ssh-rsa ${blobOf('ssh-rsa', Buffer.from([1, 0, 1]))}`, 'damaged'],
    [
      'another curve inside',
      `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp384', pointOn('P-384'))}`,
      'another curve',
    ],
    [
      'a point of another curve',
      `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp256', pointOn('P-384'))}`,
      'not a point',
    ],
    [
      'a point beside the curve',
      `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp256', Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)]))}`,
      'not a point',
    ],
    [
      'a compressed point',
      `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp256', Buffer.concat([Buffer.from([2]), P256.subarray(1, 33)]))}`,
      'not a point',
    ],
    [
      'a security key of a web site',
      `sk-ssh-ed25519@openssh.com ${blobOf('sk-ssh-ed25519@openssh.com', ED25519, 'https://example.com')}`,
      'security key',
    ],
    [
      'a security key without an application',
      `sk-ssh-ed25519@openssh.com ${blobOf('sk-ssh-ed25519@openssh.com', ED25519)}`,
      'damaged',
    ],
  ])('%s', (_, text, said) => {
    expect(messageOf(text)).toContain(said);
  });

  test('a key of the longest RSA that is taken is taken', () => {
    const line = rsaLine(mpint(Buffer.alloc(2048, 0xff)));
    expect(parseSshPublicKey(line).fingerprint).toBe(fingerprintOf(`${line}\n`));
  });

  test('whatever is cut off or changed never does worse than being refused', () => {
    const blob = Buffer.from(base64, 'base64');
    for (let length = 0; length < blob.length; length += 1) {
      messageOf(`ssh-ed25519 ${blob.subarray(0, length).toString('base64')}`);
    }
    for (let index = 0; index < 4 + type.length + 4; index += 1) {
      const changed = Buffer.from(blob);
      changed.writeUInt8((changed.at(index) ?? 0) ^ 0x81, index);
      messageOf(`ssh-ed25519 ${changed.toString('base64')}`);
    }
  });
});
