import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { createSshReader } from '../lib/ssh-reader.js';

const ED25519 = 'sk-ssh-ed25519@openssh.com';
const ECDSA = 'sk-ecdsa-sha2-nistp256@openssh.com';
const ED25519_SIGNATURE_BYTES = 64;
const COORDINATE_BYTES = 32;
/** Flags, one byte, and a counter. */
const TRAILER_BYTES = 5;
const USER_PRESENT = 0x01;

export function isSecurityKey(type: string): boolean {
  return type === ED25519 || type === ECDSA;
}

/**
 * Whether a key in hardware signed the message, and somebody touched it (OpenSSH's PROTOCOL.u2f). ssh2 knows nothing of
 * these keys and hands over what follows the outer length of the signature.
 */
export function isSecurityKeySignatureRight(blob: Buffer, message: Buffer, signature: Buffer): boolean {
  try {
    const { key, type, application } = readKey(blob);
    if (signature.length <= TRAILER_BYTES) return false;
    const proof = signature.subarray(0, -TRAILER_BYTES);
    const trailer = signature.subarray(-TRAILER_BYTES);
    if (((trailer[0] ?? 0) & USER_PRESENT) === 0) return false;
    const signed = Buffer.concat([sha256(application), trailer, sha256(message)]);
    if (type === ED25519) return proof.length === ED25519_SIGNATURE_BYTES && verify(null, signed, key, proof);
    return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, readEcdsaProof(proof));
  } catch {
    return false;
  }
}

function readKey(blob: Buffer): { key: KeyObject; type: string; application: Buffer } {
  const reader = createSshReader(blob, damaged);
  const type = reader.text();
  if (type === ED25519) {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: reader.bytes().toString('base64url') };
    return { type, key: createPublicKey({ key: jwk, format: 'jwk' }), application: reader.bytes() };
  }
  if (type !== ECDSA) throw damaged();
  reader.text();
  const point = reader.bytes();
  const x = point.subarray(1, 1 + COORDINATE_BYTES).toString('base64url');
  const y = point.subarray(1 + COORDINATE_BYTES).toString('base64url');
  const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  return { type, key, application: reader.bytes() };
}

/** Two numbers of any length, as OpenSSH has it, to two of the same. */
function readEcdsaProof(proof: Buffer): Buffer {
  const reader = createSshReader(proof, damaged);
  const numbers = [reader.bytes(), reader.bytes()].map((number) => {
    const digits = number[0] === 0 ? number.subarray(1) : number;
    if (digits.length > COORDINATE_BYTES) throw damaged();
    return Buffer.concat([Buffer.alloc(COORDINATE_BYTES - digits.length), digits]);
  });
  reader.end();
  return Buffer.concat(numbers);
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function damaged(): Error {
  return new Error('The key or its signature is damaged.');
}
