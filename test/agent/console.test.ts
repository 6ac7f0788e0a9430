import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { command, connectAgent, linesOf, makePanel, outputOf, run, specify, waitForLine } from './harness.js';

test('lines come in order with consecutive numbers, standard error among them', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(
    'i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "line $i"; done; echo bad >&2; echo end; exec sleep 60',
  );
  await run(panel, server);
  await waitForLine(panel, server, 'end');
  await waitForLine(panel, server, 'bad');
  const numbers = [...(panel.lines.get(server.serverId)?.keys() ?? [])].sort(
    (first, second) => first - second,
  );
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  const lines = outputOf(panel, server).filter((line) => line.startsWith('line'));
  expect(lines).toEqual(Array.from({ length: 500 }, (_, index) => `line ${index + 1}`));
  const error = panel.messages.find(
    (message) => message.type === 'console_output' && message.data.includes('bad\n'),
  );
  expect(error).toMatchObject({ stream: 'stderr' });
});

test('a line without an end is shown after a while, and its end is no empty line', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`printf 'name? '; read -r name; printf '\\n'; echo "hello $name"; exec sleep 60`);
  await run(panel, server);
  await waitForLine(panel, server, 'name? ');
  await command(panel, 'execute_command', { ...server, command: 'bob' });
  await waitForLine(panel, server, 'hello bob');
  expect(outputOf(panel, server)).toEqual(['name? ', 'hello bob']);
});

test('a long line is cut between characters and bytes that are no text are replaced', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const script = `
    process.stdout.write('é'.repeat(10000) + '\\r\\n');
    process.stdout.write(Buffer.from([0x61, 0x00, 0x62, 0xff, 0xed, 0xa0, 0x80, 0x63, 0x0a]));
    process.stdout.write('end\\n');
    setInterval(() => {}, 1000);
  `;
  const server = specify('', { command: ['node', '-e', script] });
  await run(panel, server);
  await waitForLine(panel, server, 'end');
  const lines = outputOf(panel, server);
  expect(lines.slice(0, 3).map((line) => line.length)).toEqual([4096, 4096, 1808]);
  expect(lines.slice(0, 3).join('')).toBe('é'.repeat(10000));
  expect(lines[3]).toMatch(/^ab\uFFFD+c$/);
  expect(lines.slice(4)).toEqual(['end']);
});

test('lines that the panel did not acknowledge come again after a reconnect, and are forgotten after it did', async () => {
  const panel = await makePanel({ acknowledges: false });
  await connectAgent(panel);
  const server = specify('echo one; echo two; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'two');
  const all = linesOf(panel, server);
  panel.lines.clear();
  panel.settings.acknowledges = true;
  panel.disconnectAgents();
  await waitForLine(panel, server, 'two');
  expect(linesOf(panel, server)).toEqual(all);
  panel.disconnectAgents();
  const from = panel.messages.length;
  await panel.waitFor('health_report', undefined, { from });
  panel.send({ type: 'kill_server', ...server });
  await panel.waitFor('server_state_update', ({ state }) => state === 'stopped', { from });
  expect(panel.duplicates).toEqual([]);
});

test('a panel that does not acknowledge at all is sent more, as far as the window goes', async () => {
  const panel = await makePanel({ acknowledges: false });
  await connectAgent(panel);
  const script = `
    let i = 0;
    const timer = setInterval(() => {
      for (let n = 0; n < 60; n++) console.log('x'.repeat(1000));
      if ((i += 60) >= 6000) { clearInterval(timer); setInterval(() => {}, 1000); }
    }, 5);
  `;
  const server = specify('', { command: ['node', '-e', script] });
  await run(panel, server);
  await panel.until('the window is full', () => linesOf(panel, server).length > 1500);
  // 2 MiB of window, and the batch that fills it.
  const sent = linesOf(panel, server).length;
  expect(sent).toBeLessThan(2600);
  panel.settings.acknowledges = true;
  panel.send({ type: 'console_ack', serverId: server.serverId, seq: sent });
  await panel.until('everything came', () => outputOf(panel, server).length === 6000);
  expect(panel.duplicates).toEqual([]);
});

test('a flood is throttled, and every line that does not come is announced', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const script = `
    let text = '';
    for (let i = 1; i <= 100000; i++) text += 'flood line ' + i + '\\n';
    process.stdout.write(text, () => { console.log('end of the flood'); setInterval(() => {}, 1000); });
  `;
  const server = specify('', { command: ['node', '-e', script] });
  await run(panel, server);
  const isAnnounced = () => {
    const last = Math.max(...(panel.lines.get(server.serverId)?.keys() ?? []), ...gaps().map(({ to }) => to));
    // Two lines of ours before the flood, and one after it.
    return last >= 100_003;
  };
  const gaps = () =>
    panel.messages.flatMap((message) =>
      message.type === 'console_gap' && message.serverId === server.serverId ? [message] : [],
    );
  await panel.until('the flood is over', isAnnounced);
  const stored = panel.lines.get(server.serverId) ?? new Map<number, string>();
  const announced = gaps().reduce((sum, { from, to }) => sum + to - from + 1, 0);
  expect(stored.size + announced).toBe(Math.max(...stored.keys(), ...gaps().map(({ to }) => to)));
  expect(stored.size).toBeGreaterThanOrEqual(20_000);
  expect(announced).toBeGreaterThan(20_000);
  for (const { from, to, reason } of gaps()) {
    expect(reason).toBe('throttled');
    expect(stored.has(from)).toBe(false);
    expect(stored.has(to)).toBe(false);
  }
  expect(panel.duplicates).toEqual([]);
});

test('output that outruns every buffer is announced as lost, and the agent stays responsive', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('', {
    command: [
      'sh',
      '-c',
      'yes "a line of an endless flood" | head -c 400000000; echo; echo over; exec sleep 60',
    ],
  });
  await run(panel, server);
  const askedAtMs = performance.now();
  await command(panel, 'start_server', server);
  expect(performance.now() - askedAtMs).toBeLessThan(1000);
  await panel.until('the loss is told', () =>
    linesOf(panel, server).some((line) => line.includes('could not keep up')),
  );
  await command(panel, 'kill_server', server);
  const gaps = panel.messages.flatMap((message) => (message.type === 'console_gap' ? [message] : []));
  const stored = panel.lines.get(server.serverId) ?? new Map<number, string>();
  const announced = gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  expect(stored.size + announced).toBe(Math.max(...stored.keys(), ...gaps.map(({ to }) => to)));
});

test('while the panel is away the newest lines are kept and the dropped ones announced', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const line = 'y'.repeat(2000);
  const server = specify(
    `read -r go; i=0; while [ $i -lt 7000 ]; do echo "$i ${line}"; i=$((i+1)); done; echo done; exec sleep 60`,
  );
  await run(panel, server);
  panel.send({ type: 'console_input', serverId: server.serverId, data: 'go\n' });
  await panel.until('it has begun', () => outputOf(panel, server).length > 0);
  await panel.close();

  const next = await makePanel({}, panel);
  await waitForLine(next, server, 'done', 25_000);
  const stored = next.lines.get(server.serverId) ?? new Map<number, string>();
  const gaps = next.messages.flatMap((message) => (message.type === 'console_gap' ? [message] : []));
  const announced = gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  expect(stored.size + announced).toBe(Math.max(...stored.keys()));
  expect(next.duplicates).toEqual([]);
});

test('every byte of a large output arrives when the panel keeps up', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const script = `
    let i = 0;
    const timer = setInterval(() => {
      for (let n = 0; n < 50; n++) console.log(++i + ' ' + 'z'.repeat(i % 300));
      if (i >= 8000) { clearInterval(timer); console.log('end'); setInterval(() => {}, 1000); }
    }, 10);
  `;
  const server = specify('', { command: ['node', '-e', script] });
  await run(panel, server);
  await waitForLine(panel, server, 'end', 25_000);
  const wanted = Array.from({ length: 8000 }, (_, index) => `${index + 1} ${'z'.repeat((index + 1) % 300)}`);
  const digest = (lines: string[]) => createHash('sha256').update(lines.join('\n')).digest('hex');
  expect(digest(outputOf(panel, server).slice(0, -1))).toBe(digest(wanted));
});
