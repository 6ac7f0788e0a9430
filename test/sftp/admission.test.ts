import { expect, test } from 'vitest';
import { type AdmittedConnection, hasPlace, isAdmitted, networkOf } from '../../src/sftp/admission.js';

const guests = (count: number, network: (index: number) => string, userId?: string): AdmittedConnection[] =>
  Array.from({ length: count }, (_, index) => ({ network: network(index), userId: () => userId }));
const spread = (index: number) => `10.0.${index >> 8}.${index & 255}`;
const here = () => '192.0.2.1';

test.each([
  ['nobody else', [], true],
  ['as many strangers of the address as may be', guests(19, here), true],
  ['one more stranger of the address', guests(20, here), false],
  ['many of the address who have signed in', guests(99, here, 'somebody'), true],
  ['too many of the address who have signed in', guests(100, here, 'somebody'), false],
  ['many from everywhere who have signed in', guests(999, spread, 'somebody'), true],
  ['too many from everywhere who have signed in', guests(1000, spread, 'somebody'), false],
  ['a crowd of strangers', guests(100, spread), false],
])('with %s', (_, there, isIn) => {
  expect(isAdmitted(there, '192.0.2.1', 1)).toBe(isIn);
});

test('the more strangers there are, the less likely another one is let in', () => {
  const chances = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999];
  const admitted = (strangers: number) =>
    chances.filter((chance) => isAdmitted(guests(strangers, spread), '192.0.2.1', chance)).length;
  expect([0, 49, 50, 75, 99, 100].map(admitted)).toEqual([11, 11, 8, 4, 1, 0]);
});

test('one user has so many connections at most, from wherever', () => {
  expect(hasPlace(guests(99, spread, 'one'), 'one')).toBe(true);
  expect(hasPlace(guests(100, spread, 'one'), 'one')).toBe(false);
  expect(hasPlace(guests(100, spread, 'one'), 'another')).toBe(true);
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::9', '2001:db8:1:2'],
  ['2001:DB8:1:2:ffff::', '2001:db8:1:2'],
  ['2001:db8::9', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
])('%j is of the network %j', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
