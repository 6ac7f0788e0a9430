import { createHash, createPublicKey } from 'node:crypto';
import { AppError } from './errors.js';
import { createSshReader, type SshReader } from './ssh-reader.js';

const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 16_384;
/** More than any real key has, and what the libraries that check signatures take. */
const RSA_EXPONENT_BITS_MAX = 64;
const ED25519_BYTES = 32;
const UNCOMPRESSED = 0x04;

const CURVES = {
  nistp256: { jwk: 'P-256', bytes: 32 },
  nistp384: { jwk: 'P-384', bytes: 48 },
  nistp521: { jwk: 'P-521', bytes: 66 },
} as const;

/** What has to follow the type in each kind of key (RFC 4253, RFC 5656, RFC 8709, OpenSSH's PROTOCOL.u2f). */
const BODIES: Record<string, (reader: SshReader) => void> = {
  'ssh-ed25519': requireEd25519,
  'ssh-rsa': requireRsa,
  'ecdsa-sha2-nistp256': (reader) => requirePoint(reader, 'nistp256'),
  'ecdsa-sha2-nistp384': (reader) => requirePoint(reader, 'nistp384'),
  'ecdsa-sha2-nistp521': (reader) => requirePoint(reader, 'nistp521'),
  'sk-ssh-ed25519@openssh.com': (reader) => {
    requireEd25519(reader);
    requireApplication(reader);
  },
  'sk-ecdsa-sha2-nistp256@openssh.com': (reader) => {
    requirePoint(reader, 'nistp256');
    requireApplication(reader);
  },
};

export interface SshPublicKey {
  type: string;
  /** The second word of the line, base64. */
  publicKey: string;
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: string;
}

/** Reads a line such as `~/.ssh/id_ed25519.pub` holds. Throws `ssh_key.invalid` with what is wrong with it. */
export function parseSshPublicKey(text: string): SshPublicKey {
  const line = text.trim();
  if (/PRIVATE KEY|^PuTTY-User-Key-File/.test(line)) {
    throw invalid(
      'This is a private key: tell it to nobody. Send the public one, from the file that ends in .pub.',
    );
  }
  if (/[\r\n]/.test(line)) throw invalid('Send one key on one line, as in the file that ends in .pub.');
  const [type = '', publicKey = ''] = line.split(/[ \t]+/);
  const requireBody = Object.hasOwn(BODIES, type) ? BODIES[type] : undefined;
  if (!requireBody) throw invalid(refusalOf(type, line));
  const blob = Buffer.from(publicKey, 'base64');
  if (blob.length === 0 || blob.toString('base64') !== publicKey) {
    throw invalid('The second word of the line is not base64: some of the key may be missing.');
  }
  const reader = createSshReader(blob, () => invalid('The key is damaged: some of it may be missing.'));
  if (reader.text() !== type) throw invalid('The key is of another type than the line says.');
  requireBody(reader);
  reader.end();
  const digest = createHash('sha256').update(blob).digest('base64');
  return { type, publicKey, fingerprint: `SHA256:${digest.replace(/=+$/, '')}` };
}

function refusalOf(type: string, line: string): string {
  if (type === 'ssh-dss') return 'DSA keys are not safe any more: make one of type ed25519.';
  if (type.includes('-cert-v01@')) return 'This is a certificate: send the key that it was made for.';
  const isAfterOptions = Object.keys(BODIES).some((known) => line.includes(`${known} `));
  if (isAfterOptions) return 'Send the key without options before it.';
  return `Send a line that begins with the type of the key, one of ${Object.keys(BODIES).join(', ')}.`;
}

function requireEd25519(reader: SshReader): void {
  if (reader.bytes().length !== ED25519_BYTES) throw invalid('An ed25519 key has 32 bytes.');
}

function requireRsa(reader: SshReader): void {
  const exponent = reader.positiveInteger();
  const modulus = reader.positiveInteger();
  if (exponent.bits < 2 || exponent.bits > RSA_EXPONENT_BITS_MAX || !exponent.isOdd || !modulus.isOdd) {
    throw invalid('This is not an RSA key that anybody could use.');
  }
  if (modulus.bits < RSA_BITS_MIN || modulus.bits > RSA_BITS_MAX) {
    throw invalid(`An RSA key needs ${RSA_BITS_MIN} to ${RSA_BITS_MAX} bits: this one has ${modulus.bits}.`);
  }
}

function requirePoint(reader: SshReader, name: keyof typeof CURVES): void {
  if (reader.text() !== name) throw invalid('The key is of another curve than the line says.');
  const { jwk, bytes } = CURVES[name];
  const point = reader.bytes();
  if (point.length !== 1 + 2 * bytes || point[0] !== UNCOMPRESSED || !isOnCurve(point, jwk, bytes)) {
    throw invalid('The key is not a point on its curve.');
  }
}

function isOnCurve(point: Buffer, curve: string, bytes: number): boolean {
  const x = point.subarray(1, 1 + bytes).toString('base64url');
  const y = point.subarray(1 + bytes).toString('base64url');
  try {
    createPublicKey({ key: { kty: 'EC', crv: curve, x, y }, format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}

/** Which site a security key made it for; only SSH's are meant here. */
function requireApplication(reader: SshReader): void {
  if (!reader.text().startsWith('ssh:'))
    throw invalid('The security key made this key for something else than SSH.');
}

function invalid(message: string): AppError {
  return new AppError('ssh_key.invalid', message);
}
