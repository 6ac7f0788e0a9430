import { describe, expect, test } from 'vitest';
import { convertExpression, escapeExpression } from '../../../src/modules/templates/eggs/expression.js';
import { importTemplate } from '../../../src/modules/templates/import.js';
import { javaEgg } from '../../helpers/eggs.js';

/** The smallest egg there is, with some of it said otherwise. */
function importEgg(fields: Record<string, unknown>, config: Record<string, unknown> = {}) {
  return importTemplate({
    meta: { version: 'PTDL_v2' },
    name: 'Small',
    docker_images: { Debian: 'debian:bookworm-slim' },
    startup: './game',
    config,
    ...fields,
  });
}

function variable(name: string, fields: Record<string, unknown> = {}) {
  return { name: '', env_variable: name, default_value: '', rules: '', ...fields };
}

const PORTS = expect.stringMatching(/^ports: /);

describe('startup', () => {
  test.each([
    ['./game --port 1', 'sh', 'exec ./game --port 1'],
    ['  java -jar a.jar\r\n', 'sh', 'exec java -jar a.jar'],
    [`./game 'a; b' "c"`, '/bin/bash', `./game 'a; b' "c"`],
    ['cd bin && ./game', '/bin/bash', 'cd bin && ./game'],
    ['cd bin', '/bin/bash', 'cd bin'],
    ['LD_PRELOAD=x ./game', '/bin/bash', 'LD_PRELOAD=x ./game'],
    ['./game `cat a`', '/bin/bash', './game `cat a`'],
    ['./game -x {a,b}', '/bin/bash', './game -x {a,b}'],
    ['./a\r\n./b', '/bin/bash', './a\n./b'],
    ['{{ NAME }} -x', '/bin/bash', '$NAME -x'],
    ['./game {{name}} {{server.build.env.NAME}} {{env.NAME}}', 'sh', 'exec ./game $NAME $NAME $NAME'],
    ['./game {{SERVER_PORT}} {{SERVER_IP}}', 'sh', 'exec ./game $SERVER_PORT $SERVER_IP'],
    [
      './game {{server.build.default.port}} {{server.build.default.ip}} {{server.build.memory}}',
      'sh',
      'exec ./game $PORT 0.0.0.0 $MEMORY_MB',
    ],
    ['./game {{INTERNAL_IP}}', 'sh', 'exec ./game $INTERNAL_IP'],
  ])('%j runs in %s as %j', (startup, shell, script) => {
    const { template, warnings } = importEgg({ startup, variables: [variable('NAME')] });
    expect(template.startCommand[0]).toBe(shell);
    const [, ...lines] = template.startCommand[2]?.split('\n') ?? [];
    expect(lines.join('\n').replace(/\$\{(\w+)\}/g, '$$$1')).toBe(script);
    expect(warnings).toEqual([PORTS]);
  });

  test('a variable that nothing sets is said to be empty', () => {
    const { template, warnings } = importEgg({ startup: './game {{WHO}} {{not-a-name}}!' });
    expect(template.environment.STARTUP?.replace('{', '').replace('}', '')).toBe('./game $WHO !');
    expect(warnings).toEqual([
      'startup: nothing sets {{WHO}}: it is empty here',
      'startup: nothing sets {{not-a-name}}: it is empty here',
      PORTS,
    ]);
  });

  test('without one the command of the image runs', () => {
    const { template, warnings } = importEgg({ startup: null });
    expect(template.startCommand).toEqual([]);
    expect(template.environment).not.toHaveProperty('STARTUP');
    expect(warnings).toContain("startup: is empty: the image's own command runs");
  });

  test.each([
    [{ Fast: './fast', default: './slow' }, './slow'],
    [{ Fast: './fast', Slow: './slow' }, './fast'],
  ])('of %j %s runs', (commands, line) => {
    expect(importEgg({ startup: undefined, startup_commands: commands }).template.environment.STARTUP).toBe(
      line,
    );
  });
});

describe('config.stop', () => {
  test.each([
    ['stop', { stopCommand: 'stop', stopSignal: null }],
    ['quit {{PORT}}', { stopCommand: 'quit {{PORT}}', stopSignal: null }],
    ['^C', { stopCommand: null, stopSignal: 'SIGINT' }],
    ['^^C', { stopCommand: null, stopSignal: 'SIGINT' }],
    ['^SIGINT', { stopCommand: null, stopSignal: 'SIGINT' }],
    ['^sigterm', { stopCommand: null, stopSignal: 'SIGTERM' }],
    ['SIGKILL', { stopCommand: null, stopSignal: 'SIGKILL' }],
    ['', { stopCommand: null, stopSignal: null }],
  ])('%j becomes %j', (stop, expected) => {
    const { template, warnings } = importEgg({}, { stop });
    expect(template).toMatchObject(expected);
    expect(warnings).toEqual([PORTS]);
  });
});

describe('config.startup.done', () => {
  test.each([
    ['Done (1.0s)!', 'Done \\(1\\.0s\\)!'],
    [['a', 'b|c', ''], 'a|b\\|c'],
    ['regex:^Up in \\d+', '^Up in \\d+'],
    [null, null],
    [[], null],
  ])('%j becomes %j', (done, expected) => {
    const { template, warnings } = importEgg({}, { startup: JSON.stringify({ done }) });
    expect(template.startupDetection).toBe(expected);
    expect(warnings).toEqual([PORTS]);
  });

  test.each([
    ['regex:(', /^config\.startup\.done: "regex:\(" is left out: Invalid regular expression/],
    ['regex:(?i)[a-z]', /is left out: \(\?i\) together with a class/],
    ['x'.repeat(501), /^config\.startup\.done: left out, because it has more than 500 characters/],
  ])('%s is left out with a warning', (done, warning) => {
    const { template, warnings } = importEgg({}, { startup: { done } });
    expect(template.startupDetection).toBeNull();
    expect(warnings).toEqual([expect.stringMatching(warning), PORTS]);
  });
});

describe('expressions', () => {
  test.each([
    ['(?i)Done', 'server DONE', true],
    ['(?s)a.b', 'a\nb', true],
    ['\\ADone\\z', 'Done', true],
    ['^[[:digit:]]{2}\\:\\-\\ x$', '12:- x', true],
    ['[^[:space:]\\-]', '-', false],
    ['(?P<time>\\d+)s', '12s', true],
    ['\\x{263A}', '☺', true],
    ['a[\\]b]c', 'a]c', true],
    ['[[]', '[', true],
  ])('%s on %j: %s', (expression, text, isMatch) => {
    expect(new RegExp(convertExpression(expression), 'u').test(text)).toBe(isMatch);
  });

  test('a literal text matches itself and nothing else', () => {
    const text = '^$\\.*+?()[]{}|/ -"#';
    expect(new RegExp(`^${escapeExpression(text)}$`, 'u').test(text)).toBe(true);
  });
});

describe('variables', () => {
  test.each([
    ['SERVER_ID', 'the panel sets it itself'],
    ['SERVER_PORT', 'the panel sets it itself'],
    ['1ST', 'this cannot be the name of a variable here'],
    ['A-B', 'this cannot be the name of a variable here'],
    ['A'.repeat(65), 'this cannot be the name of a variable here'],
  ])('%s is left out: %s', (name, reason) => {
    const { template, warnings } = importEgg({ variables: [variable(name)] });
    expect(template.variables).toMatchObject([{ name: 'STARTUP' }]);
    expect(warnings).toEqual([`variables.0: the variable ${name} is left out: ${reason}`, PORTS]);
  });

  test('a time zone of its own is kept', () => {
    const { template } = importEgg({ variables: [variable('TZ', { default_value: 'Europe/Rome' })] });
    expect(template.environment).not.toHaveProperty('TZ');
    expect(template.variables).toMatchObject([{ name: 'TZ', default: 'Europe/Rome' }, { name: 'STARTUP' }]);
  });

  test('a second one of the same name, odd fields and a default against the rules are in the warnings', () => {
    const { template, warnings } = importEgg({
      variables: [
        variable('A', { default_value: 'x', rules: 'integer', field_type: 'select', id: 7 }),
        variable('a'),
      ],
    });
    expect(template.variables).toMatchObject([{ name: 'A', default: null }, { name: 'STARTUP' }]);
    expect(warnings).toEqual([
      'variables.A.field_type: "select" is left out: clients choose the field by the rules',
      "variables.A.default_value: left out, because it breaks the variable's own rules: must be a whole number",
      'variables.0.id: has no counterpart here and is left out',
      'variables.1: a is called A here, which is what servers of eggs are given',
      'variables.1: left out: A is there twice',
      PORTS,
    ]);
  });
});

test('features and files of every shape are shown in their warning', () => {
  const odd = [{ toString: 'x', valueOf: 1 }, null, ['a'], 'eula'];
  const { template, warnings } = importEgg({ features: odd, file_denylist: odd });
  const shown = '{"toString":"x","valueOf":1}, null, ["a"], eula';
  expect(template.features.egg).toMatchObject({ features: odd, fileDenylist: odd });
  expect(warnings).toEqual([
    `features: kept, but nothing here acts on them: ${shown}`,
    `file_denylist: kept, but users may open and change these files: ${shown}`,
    PORTS,
  ]);
});

test('of images that get the same name the first is taken, the others are in the warnings', () => {
  const long = 'x'.repeat(120);
  const { template, warnings } = importEgg({
    docker_images: { Java: 'a:1', ' Java ': 'a:2', [`${long}1`]: 'a:3', [`${long}2`]: 'a:4' },
  });
  expect(Object.values(template.images)).toEqual(['a:1', 'a:3']);
  expect(warnings).toEqual([
    expect.stringContaining('docker_images. Java : left out: another image is called Java, too'),
    expect.stringContaining('left out: another image is called xxx'),
    PORTS,
  ]);
});

test('rules that a template has no room for are in the warnings', () => {
  const long = `in:${'map,'.repeat(300)}`;
  const { template, warnings } = importEgg({
    variables: [variable('A', { rules: [long, ...Array(30).fill('string')] })],
  });
  expect(template.variables[0]?.rules).toHaveLength(20);
  expect(warnings).toEqual([
    expect.stringMatching(/^variables\.A\.rules: "in:map,.*is left out: it has more than 1000 characters$/),
    'variables.A.rules: only the first 20 are taken',
    PORTS,
  ]);
});

test('whatever an egg has that nobody reads is in the warnings, at every level', () => {
  const { warnings } = importEgg(
    {
      nest: 'games',
      empty: [],
      meta: { version: 'PTDL_v2', signed_by: 'x' },
      force_outgoing_ip: true,
      copy_script_from: 3,
      scripts: { installation: { privileged: true }, upgrade: { script: 'x' } },
    },
    {
      extends: 2,
      colour: 'red',
      startup: { done: 'x', after: 'y' },
      files: { 'a.ini': { parser: 'ini', create_file: false, find: { a: 'b' }, owner: 'root' } },
    },
  );
  expect(warnings).toEqual([
    'config.files.a.ini.create_file: has no counterpart here: the file is made when it is not there',
    'config.files.a.ini.owner: has no counterpart here and is left out',
    'force_outgoing_ip: has no counterpart: outgoing connections come from the address of the node',
    'config.extends: what that other egg says is not in this file: add it to the template',
    'copy_script_from: the script of that other egg is not in this file: add it to the template',
    'scripts.installation.privileged: has no counterpart here and is left out',
    'scripts.upgrade: has no counterpart here and is left out',
    'config.startup.after: has no counterpart here and is left out',
    'meta.signed_by: has no counterpart here and is left out',
    'config.colour: has no counterpart here and is left out',
    'nest: has no counterpart here and is left out',
    PORTS,
  ]);
});

test.each([
  ['no name', { name: '' }, 'name: is missing'],
  ['a name that is a number', { name: 1 }, 'name: must be text'],
  ['no image', { docker_images: {} }, 'docker_images: names no image that can be used'],
  ['images that are none', { docker_images: { a: 'Not an image' } }, 'docker_images: names no image'],
  ['an image that is a number', { docker_images: { a: 1 } }, 'docker_images.a: must be text'],
  ['a list as config', { config: ['x'] }, 'config: must be an object, not a list'],
  ['text as config', { config: 'x' }, 'config: must be an object'],
  ['broken JSON inside', { config: { files: '{"a": ' } }, 'config.files: is not valid JSON'],
  ['a list inside', { config: { files: '[1]' } }, 'config.files: must be an object, not a list'],
  ['a number inside', { config: { startup: '1' } }, 'config.startup: must be an object'],
  ['a file that is text', { config: { files: '{"a": "b"}' } }, 'config.files.a: must be an object'],
  [
    '__proto__ inside',
    { config: { files: '{"a": {"parser": "ini", "find": {"__proto__": {"b": 1}}}}' } },
    'config.files.__proto__: is not allowed',
  ],
  ['a NUL inside', { config: { startup: '{"done": "\\u0000"}' } }, 'config.startup: contains a character'],
  [
    'half a character inside',
    { config: { startup: '{"done": "\\ud800"}' } },
    'config.startup: contains a ch',
  ],
  ['a number without end inside', { config: { logs: '{"a": 1e999}' } }, 'config.logs: has a number'],
  [
    'a deep hole inside',
    { config: { logs: `{"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}` } },
    'config.logs: is nested too deeply',
  ],
  ['done that is a number', { config: { startup: { done: 1 } } }, 'config.startup.done: must be text'],
  ['a stop that is a list', { config: { stop: ['x'] } }, 'config.stop: must be text'],
  ['a start command that is a list', { startup: ['x'] }, 'startup: must be text'],
  ['a start command that is too long', { startup: 'x'.repeat(9000) }, 'startCommand'],
  ['variables that are an object', { variables: { a: 1 } }, 'variables: must be a list'],
  ['a variable that is text', { variables: ['x'] }, 'variables.0: must be an object'],
  ['a variable without a name', { variables: [{}] }, 'variables.0.env_variable: is missing'],
  [
    'rules that are a number',
    { variables: [variable('A', { rules: 1 })] },
    'variables.A.rules: must be text',
  ],
  ['a rule that is a number', { variables: [variable('A', { rules: [1] })] }, 'variables.A.rules: must be'],
  [
    'a flag that is text',
    { variables: [variable('A', { user_editable: 'maybe' })] },
    'must be true or false',
  ],
  [
    'too many variables',
    { variables: Array(200).fill(variable('A')) },
    'variables: an egg may have at most 199',
  ],
  [
    'a rule that takes for ever',
    { variables: [variable('A', { rules: 'regex:/^(a+)+$/', default_value: `${'a'.repeat(64)}!` })] },
    'variables.A.rules: the default value takes too long',
  ],
  [
    'a script that is too long',
    { scripts: { installation: { script: 'x'.repeat(70_000) } } },
    'installScript',
  ],
  [
    'an install image that is none',
    { scripts: { installation: { script: 'x', container: 'No Image' } } },
    'scripts.installation.container: is not the reference of an image',
  ],
])('refuses %s', (_, fields, message) => {
  expect(() => importEgg({ config: {}, ...fields })).toThrow(message);
});

test('too many warnings are counted', () => {
  const unknown = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`field${index}`, 1]));
  const { warnings } = importTemplate({ ...javaEgg, meta: { version: 'PTDL_v2', ...unknown } });
  expect(warnings).toHaveLength(301);
  expect(warnings.at(-1)).toBe('There are 106 more of these.');
});
