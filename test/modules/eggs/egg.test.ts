import { expect, test } from 'vitest';
import { importTemplate } from '../../../src/modules/templates/import.js';
import { eggs, javaEgg, oldestEgg, parsersEgg, pelicanEgg, steamEgg, yamlEgg } from '../../helpers/eggs.js';

const ENTRYPOINT = expect.stringContaining('/entrypoint.sh; fi\n');
const PORTS = 'ports: eggs name none: add them to the template, or give each server a primaryPort';
const AS_ROOT =
  "scripts.installation.script: runs as root of its container, with the server's files at /mnt/server, " +
  'as its author expects. Read it before you use it';

/** As a variable of a shell. */
function shell(name: string): string {
  return `$\{${name}}`;
}

/** Nobody but an administrator may set it: images run it in a shell. */
const STARTUP = expect.objectContaining({ name: 'STARTUP', userEditable: false, default: null });

function scriptOf(startCommand: string | string[]): string | undefined {
  return startCommand[2]?.split('\n').slice(1).join('\n');
}

test.each(Object.keys(eggs))('%s becomes a valid template in the way of eggs', (name) => {
  const { template, warnings, format } = importTemplate(structuredClone(eggs[name] ?? {}));
  expect(format).toMatch(/^(PTDL|PLCN)_v[123]$/);
  expect(template).toMatchObject({
    dataPath: '/home/container',
    ports: [],
    environment: {
      SERVER_MEMORY: '{{MEMORY_MB}}',
      SERVER_PORT: '{{PORT}}',
      SERVER_IP: '0.0.0.0',
      P_SERVER_UUID: '{{SERVER_UUID}}',
      TZ: 'UTC',
    },
  });
  expect(template.startCommand[2]).toEqual(ENTRYPOINT);
  expect(scriptOf(template.startCommand)?.replace(/^exec /, '')).toBe(template.environment.STARTUP);
  expect(warnings).toContain(PORTS);
});

test('a game in Java: images, properties, a literal done string, an install script as root', () => {
  const { template, warnings } = importTemplate(javaEgg);
  expect(template).toMatchObject({
    name: 'Blockworld',
    description: 'Blocks, as far as one can see.',
    dockerImage: 'ghcr.io/example/yolks:java_21',
    images: { 'Java 21': 'ghcr.io/example/yolks:java_21', 'Java 17': 'ghcr.io/example/yolks:java_17' },
    stopCommand: 'stop',
    stopSignal: null,
    startupDetection: '\\)! For help, type ',
    configFiles: [
      {
        path: 'server.properties',
        parser: 'properties',
        values: {
          'server-ip': '0.0.0.0',
          'server-port': '{{PORT}}',
          'query.port': '{{PORT}}',
          'max-players': '{{MAX_PLAYERS}}',
        },
      },
    ],
    installImage: 'ghcr.io/example/installers:alpine',
    installScript: '#!/bin/ash\ncd /mnt/server\ncurl -o "$SERVER_JARFILE" https://example.com/server.jar',
    installShell: 'ash',
    installDataPath: '/mnt/server',
    installAsRoot: true,
    features: {
      configFiles: ['/server.properties'],
      egg: {
        format: 'PTDL_v2',
        author: 'eggs@example.com',
        updateUrl: 'https://example.com/egg-blockworld.json',
        features: ['eula', 'java_version', 'pid_limit'],
      },
    },
  });
  expect(template.startCommand.slice(0, 2)).toEqual(['sh', '-c']);
  expect(scriptOf(template.startCommand)).toBe(
    `exec java -Xms128M -Xmx${shell('SERVER_MEMORY')}M -Dterminal.jline=false -jar ${shell('SERVER_JARFILE')}`,
  );
  expect(template.variables).toEqual([
    {
      name: 'SERVER_JARFILE',
      description: 'Server jar: The file to run.',
      default: 'server.jar',
      required: true,
      userEditable: true,
      rules: ['required', 'regex:/^([\\w\\d._-]+)(\\.jar)$/'],
    },
    expect.objectContaining({ name: 'MAX_PLAYERS', rules: ['required', 'integer', 'between:1,200'] }),
    expect.objectContaining({ name: 'BUILD', userEditable: false, rules: ['required', 'string'] }),
    STARTUP,
  ]);
  expect(warnings).toEqual([
    'variables.BUILD.rules: "uppercase" is left out: there is no rule "uppercase"',
    'variables.BUILD: was hidden from users; here all who are signed in see the variables of a template',
    expect.stringMatching(/^startup: gives the program all memory of the server/),
    'features: kept, but nothing here acts on them: eula, java_version, pid_limit',
    AS_ROOT,
    PORTS,
  ]);
});

test('the oldest kind: one image, no capitals, ones and zeros, several done strings, a signal', () => {
  const { template, warnings } = importTemplate(oldestEgg);
  expect(template).toMatchObject({
    description: '',
    dockerImage: 'quay.io/example/core:spaceport',
    stopCommand: null,
    stopSignal: 'SIGINT',
    startupDetection: 'Docking bay open|^Ready \\([0-9]+ ms\\)$',
    installScript: null,
    installImage: null,
    installAsRoot: false,
    installDataPath: null,
    configFiles: [],
    variables: [
      { name: 'SERVER_NAME', userEditable: false, required: true },
      { name: 'EXTRA', userEditable: true, required: false, default: '' },
      STARTUP,
    ],
  });
  // Quoted values stay one word, others may become several.
  expect(scriptOf(template.startCommand)).toBe(
    `exec ./spaceport --port ${shell('SERVER_PORT')} --name "${shell('SERVER_NAME')}" ${shell('EXTRA')}`,
  );
  expect(warnings).toEqual([
    'variables.0: server_name is called SERVER_NAME here, which is what servers of eggs are given',
    PORTS,
  ]);
});

test('a game of Steam: a list of images, a script that keeps its braces, a line with operators', () => {
  const { template, warnings } = importTemplate(steamEgg);
  expect(template).toMatchObject({
    dockerImage: 'ghcr.io/example/games:source',
    images: {
      'ghcr.io/example/games:source': 'ghcr.io/example/games:source',
      'ghcr.io/example/games:source-beta': 'ghcr.io/example/games:source-beta',
    },
    installShell: 'bash',
    installImage: 'debian:bookworm-slim',
    installScript: expect.stringContaining('docker version -f "{{.Server}}"'),
    variables: [
      { name: 'SRCDS_APPID', default: '4020' },
      { name: 'SRCDS_MAP' },
      { name: 'VALIDATE' },
      STARTUP,
    ],
  });
  expect(template.startCommand.slice(0, 2)).toEqual(['/bin/bash', '-c']);
  expect(warnings).toEqual([
    'features: kept, but nothing here acts on them: steam_disk_space',
    'file_denylist: kept, but users may open and change these files: *.vpk',
    AS_ROOT,
    PORTS,
  ]);
});

test('a proxy: yaml with wildcards, numbers of lists and values by what is there now', () => {
  const { template, warnings } = importTemplate(yamlEgg);
  expect(template.configFiles).toEqual([
    {
      path: 'config.yml',
      parser: 'yaml',
      values: {
        'listeners[0].query_port': '{{PORT}}',
        'listeners[0].query_enabled': true,
        'listeners[0].host': '0.0.0.0:{{PORT}}',
        'servers.*.address': { '127.0.0.1:25565': '0.0.0.0:{{PORT}}' },
        ip_forward: { true: 'false', 'regex:^(yes|on)$': 'false' },
      },
    },
  ]);
  expect(warnings).toEqual([
    expect.stringMatching(
      /^config\.files\.config\.yml\.find\.servers\.\*\.address\.regex:.*: left out, because \{\{config\.docker\.interface\}\} has no counterpart here$/,
    ),
    expect.stringMatching(/^config\.files\.config\.yml\.find\.ip_forward\.regex:\(: left out: Invalid reg/),
    'config.files.config.yml.find.groups: left out: lists cannot be set here',
    'config.files.config.yml.find.motd: left out: null cannot be set here',
    PORTS,
  ]);
});

test('the parsers xml, ini, json and file; what no parser here can do is in the warnings', () => {
  const { template, warnings } = importTemplate(parsersEgg);
  expect(template.configFiles).toEqual([
    {
      path: 'nights.xml',
      parser: 'xml',
      values: {
        "ServerSettings.property[@name='ServerPort']": "[value='{{PORT}}']",
        "ServerSettings.property[@name='ServerName']": "[value='{{NAME}}']",
      },
    },
    { path: 'settings.ini', parser: 'ini', values: { 'server.port': '{{PORT}}', 'server.max': 8 } },
    { path: './data/config.json', parser: 'json', values: { 'network.bind': '0.0.0.0' } },
    { path: 'start.cfg', parser: 'file', values: { 'memory=': 'memory={{MEMORY_MB}}' } },
  ]);
  expect(template.features.configFiles).toEqual([
    '/nights.xml',
    '/settings.ini',
    '/data/config.json',
    '/start.cfg',
  ]);
  expect(template).toMatchObject({ startupDetection: null, stopSignal: 'SIGTERM', stopCommand: null });
  expect(warnings).toEqual([
    'config.files.Game.toml.parser: the file is left out: there is no parser "toml" here',
    'config.files.../../etc/passwd.parser: the file is left out: the path leaves the directory of the server',
    'config.stop: the signal ^SIGABRT is not sent here; SIGTERM is sent instead',
    PORTS,
  ]);
});

test('of Pelican: objects, lists of rules, several start commands, an order of variables', () => {
  const { template, warnings } = importTemplate(pelicanEgg);
  expect(template).toMatchObject({
    dockerImage: 'ghcr.io/example/yolks:nodejs_20',
    startupDetection: 'Light on',
    stopSignal: 'SIGINT',
    installShell: '/bin/bash',
    configFiles: [
      {
        path: 'config/light.json',
        parser: 'json',
        values: { 'listen.port': '{{PORT}}', 'light.color': '{{COLOR}}' },
      },
    ],
    variables: [
      { name: 'MAIN_FILE', rules: ['required', 'regex:/^[a-z|.]+$/'] },
      { name: 'COLOR', rules: ['required', 'string', 'in:white,red,green'] },
      { name: 'AUTO_UPDATE', default: 'false' },
      STARTUP,
    ],
    features: {
      egg: {
        format: 'PLCN_v3',
        uuid: '1f1c0a52-6f5a-4b8e-9a58-0a5c8c2f7a10',
        tags: ['sea', 'night'],
        startupCommands: { Debug: 'node --inspect {{MAIN_FILE}}' },
      },
    },
  });
  expect(template.startCommand.slice(0, 2)).toEqual(['/bin/bash', '-c']);
  expect(scriptOf(template.startCommand)).toBe(
    `if [[ -d .git ]] && [[ "${shell('AUTO_UPDATE')}" == "1" ]]; then git pull; fi; node ${shell('MAIN_FILE')}`,
  );
  expect(warnings).toEqual([
    'startup_commands: a template has one start command; kept in features only: Debug',
    'image: a picture has no place here and is left out',
    AS_ROOT,
    PORTS,
  ]);
});
