import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Panel, startPanel } from '../helpers/panel.js';
import { DECIDED_ENDPOINTS, DOCUMENTED_ENDPOINTS } from './documented-endpoints.js';
import { readOperations } from './operations.js';

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel({ settings: { PUBLIC_URL: 'https://panel.catalyst.test' } });
});
afterAll(() => panel.close());

test.each([
  ['of the API document', DOCUMENTED_ENDPOINTS],
  ['that were decided on', DECIDED_ENDPOINTS],
])('every endpoint %s is in the OpenAPI document', async (_which, endpoints) => {
  const names = new Set((await readOperations(panel)).map(({ name }) => name));
  expect(endpoints.filter((name) => !names.has(name))).toEqual([]);
});

test('the OpenAPI document has nothing that a linter complains about', async () => {
  const { text } = await panel.get('/docs/json');
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: text, config });
  expect(
    problems.map(({ severity, ruleId, message, location }) => [
      severity,
      ruleId,
      message,
      location[0]?.pointer,
    ]),
  ).toEqual([]);
});
