import { expect, test } from 'vitest';
import { loadAgentConfig } from '../../agent/config.js';

const REQUIRED = { PANEL_URL: 'https://panel.example.com', NODE_ID: 'node1' };

test('settings that are set to nothing have their defaults', () => {
  const empty = { NODE_TOKEN: '', RUNTIME: '', LOG_LEVEL: '', SERVER_UID: '', AGENT_DATA_DIR: '' };
  expect(loadAgentConfig({ ...REQUIRED, ...empty })).toEqual(loadAgentConfig(REQUIRED));
});

test('every problem is reported at once', () => {
  const wrong = { PANEL_URL: 'ftp://panel', RUNTIME: 'vm', SERVER_UID: '0' };
  expect(() => loadAgentConfig(wrong)).toThrow(/PANEL_URL[\s\S]*NODE_ID[\s\S]*RUNTIME[\s\S]*SERVER_UID/);
});
