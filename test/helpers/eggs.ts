/**
 * Eggs in the shapes that panels export, of games that do not exist. Each has what is typical for its kind:
 * JSON as text inside of JSON, Windows line ends, ones and zeros for true and false.
 */
type Egg = Record<string, unknown>;

const GENERATED = 'DO NOT EDIT: FILE GENERATED AUTOMATICALLY BY PANEL';

function variable(fields: Record<string, unknown>): Record<string, unknown> {
  return {
    name: 'A variable',
    description: 'What it is for.',
    default_value: '',
    user_viewable: true,
    user_editable: true,
    rules: 'nullable|string',
    field_type: 'text',
    ...fields,
  };
}

/** A game in Java with a properties file, and a choice of images. */
export const javaEgg: Egg = {
  _comment: GENERATED,
  meta: { version: 'PTDL_v2', update_url: 'https://example.com/egg-blockworld.json' },
  exported_at: '2024-05-01T10:00:00+00:00',
  name: 'Blockworld',
  author: 'eggs@example.com',
  description: 'Blocks, as far as one can see.',
  features: ['eula', 'java_version', 'pid_limit'],
  docker_images: { 'Java 21': 'ghcr.io/example/yolks:java_21', 'Java 17': 'ghcr.io/example/yolks:java_17' },
  file_denylist: [],
  startup: 'java -Xms128M -Xmx{{SERVER_MEMORY}}M -Dterminal.jline=false -jar {{SERVER_JARFILE}}',
  config: {
    files: JSON.stringify(
      {
        'server.properties': {
          parser: 'properties',
          find: {
            'server-ip': '0.0.0.0',
            'server-port': '{{server.build.default.port}}',
            'query.port': '{{server.build.default.port}}',
            'max-players': '{{server.build.env.MAX_PLAYERS}}',
          },
        },
      },
      null,
      4,
    ).replaceAll('\n', '\r\n'),
    startup: '{\r\n    "done": ")! For help, type "\r\n}',
    logs: '{}',
    stop: 'stop',
  },
  scripts: {
    installation: {
      script: '#!/bin/ash\r\ncd /mnt/server\r\ncurl -o "$SERVER_JARFILE" https://example.com/server.jar',
      container: 'ghcr.io/example/installers:alpine',
      entrypoint: 'ash',
    },
  },
  variables: [
    variable({
      name: 'Server jar',
      description: 'The file to run.',
      env_variable: 'SERVER_JARFILE',
      default_value: 'server.jar',
      rules: 'required|regex:/^([\\w\\d._-]+)(\\.jar)$/',
    }),
    variable({ env_variable: 'MAX_PLAYERS', default_value: '20', rules: 'required|integer|between:1,200' }),
    variable({
      env_variable: 'BUILD',
      default_value: 'latest',
      user_viewable: false,
      user_editable: false,
      rules: 'required|string|uppercase',
    }),
  ],
};

/** Of the first version: one image, ones and zeros, and a list of done strings. */
export const oldestEgg: Egg = {
  _comment: GENERATED,
  meta: { version: 'PTDL_v1' },
  exported_at: '2018-03-01T17:26:17-05:00',
  name: 'Spaceport',
  author: 'eggs@example.com',
  description: null,
  features: null,
  image: 'quay.io/example/core:spaceport',
  startup: './spaceport --port {{SERVER_PORT}} --name "{{server_name}}" {{EXTRA}}',
  config: {
    files: '[]',
    startup: '{"done": ["Docking bay open", "regex:^Ready \\\\([0-9]+ ms\\\\)$"], "userInteraction": []}',
    logs: '{"custom": true, "location": "logs/latest.log"}',
    stop: '^C',
  },
  scripts: { installation: { script: null, container: 'alpine:3.4', entrypoint: 'ash' } },
  variables: [
    {
      name: 'Name',
      description: 'Of the port.',
      env_variable: 'server_name',
      default_value: 'Port of call',
      user_viewable: 1,
      user_editable: 0,
      rules: 'required|string|max:64',
    },
    {
      name: 'More',
      env_variable: 'EXTRA',
      default_value: null,
      user_viewable: 1,
      user_editable: 1,
      rules: '',
    },
  ],
};

/** Installed as root with SteamCMD, into the game's own image; a list of images. */
export const steamEgg: Egg = {
  _comment: GENERATED,
  meta: { version: 'PTDL_v1', update_url: null },
  exported_at: '2021-06-01T10:00:00+00:00',
  name: 'Trenchfoot',
  author: 'eggs@example.com',
  description: 'Mud.',
  features: ['steam_disk_space'],
  images: ['ghcr.io/example/games:source', 'ghcr.io/example/games:source-beta'],
  file_denylist: ['*.vpk'],
  startup:
    './srcds_run -game trench -console -port {{SERVER_PORT}} +ip 0.0.0.0 +map {{SRCDS_MAP}} $( [ "{{VALIDATE}}" == "1" ] && printf %s "-validate" )',
  config: {
    files: '{}',
    startup: '{"done": "gameserver Steam ID", "userInteraction": []}',
    logs: '{}',
    stop: 'quit',
  },
  scripts: {
    installation: {
      script:
        '#!/bin/bash\napt -y update\napt -y install curl lib32gcc-s1\n./steamcmd.sh +login anonymous +force_install_dir /mnt/server +app_update $SRCDS_APPID +quit\ndocker version -f "{{.Server}}" || true',
      container: 'debian:bookworm-slim',
      entrypoint: 'bash',
    },
  },
  variables: [
    variable({
      env_variable: 'SRCDS_APPID',
      default_value: 4_020,
      user_editable: 0,
      rules: 'required|numeric|in:4020',
    }),
    variable({ env_variable: 'SRCDS_MAP', default_value: 'mud_1', rules: 'required|alpha_dash|max:32' }),
    variable({ env_variable: 'VALIDATE', default_value: '0', rules: 'required|boolean' }),
  ],
};

/** A proxy: yaml, paths with wildcards, values by what is there now, the address of the node's Docker. */
export const yamlEgg: Egg = {
  meta: { version: 'PTDL_v2', update_url: null },
  name: 'Crossroads',
  author: 'eggs@example.com',
  docker_images: { 'Java 17': 'ghcr.io/example/yolks:java_17' },
  startup: 'java -jar {{SERVER_JARFILE}}',
  config: {
    files: JSON.stringify({
      'config.yml': {
        parser: 'yaml',
        find: {
          'listeners[0].query_port': '{{server.build.default.port}}',
          'listeners[0].query_enabled': true,
          'listeners[0].host': '0.0.0.0:{{server.build.default.port}}',
          'servers.*.address': {
            'regex:^(127\\.0\\.0\\.1|localhost)(:\\d{1,5})?$': '{{config.docker.interface}}$2',
            '127.0.0.1:25565': '{{server.build.default.ip}}:{{server.build.default.port}}',
          },
          ip_forward: { true: 'false', 'regex:^(yes|on)$': 'false', 'regex:(': 'x' },
          groups: ['admin'],
          motd: null,
        },
      },
    }),
    startup: '{"done": "Listening on "}',
    logs: '{}',
    stop: 'end',
  },
  scripts: { installation: { script: '', container: '', entrypoint: '' } },
  variables: [
    variable({ env_variable: 'SERVER_JARFILE', default_value: 'crossroads.jar', rules: 'required|string' }),
  ],
};

/** All of the other parsers. */
export const parsersEgg: Egg = {
  meta: { version: 'PTDL_v2', update_url: null },
  name: 'Seven Nights',
  author: 'eggs@example.com',
  docker_images: { 'ghcr.io/example/yolks:debian': 'ghcr.io/example/yolks:debian' },
  startup: 'LD_LIBRARY_PATH=. ./nights -configfile=nights.xml -logfile /dev/stdout & tail -f log.txt',
  config: {
    files: JSON.stringify({
      'nights.xml': {
        parser: 'xml',
        find: {
          "ServerSettings.property[@name='ServerPort']": "[value='{{server.build.default.port}}']",
          "ServerSettings.property[@name='ServerName']": "[value='{{server.build.env.NAME}}']",
        },
      },
      'settings.ini': { parser: 'ini', find: { 'server.port': '{{env.SERVER_PORT}}', 'server.max': 8 } },
      './data/config.json': { parser: 'json', find: { 'network.bind': '{{server.allocations.default.ip}}' } },
      'start.cfg': { parser: 'file', find: { 'memory=': 'memory={{server.build.memory}}' } },
      'Game.toml': { parser: 'toml', find: { port: '1' } },
      '../../etc/passwd': { parser: 'file', find: { root: 'x' } },
    }),
    startup: '{"done": ""}',
    logs: '',
    stop: '^SIGABRT',
  },
  variables: [variable({ env_variable: 'NAME', default_value: 'Nights', rules: 'required|string' })],
};

/** Of Pelican: objects instead of text, several start commands, lists of rules, tags, a picture. */
export const pelicanEgg: Egg = {
  _comment: GENERATED,
  meta: { version: 'PLCN_v3', update_url: 'https://example.com/egg-lighthouse.json' },
  exported_at: '2026-03-03T22:03:41+00:00',
  name: 'Lighthouse',
  author: 'eggs@example.com',
  uuid: '1f1c0a52-6f5a-4b8e-9a58-0a5c8c2f7a10',
  description: 'Turns.',
  image: 'data:image/png;base64,iVBORw0KGgo=',
  tags: ['sea', 'night'],
  features: [],
  docker_images: { 'Node 20': 'ghcr.io/example/yolks:nodejs_20' },
  file_denylist: [],
  startup_commands: {
    Default: 'if [[ -d .git ]] && [[ "{{AUTO_UPDATE}}" == "1" ]]; then git pull; fi; node {{MAIN_FILE}}',
    Debug: 'node --inspect {{MAIN_FILE}}',
  },
  config: {
    files: {
      'config/light.json': {
        parser: 'json',
        find: {
          'listen.port': '{{server.allocations.default.port}}',
          'light.color': '{{server.environment.COLOR}}',
        },
      },
    },
    startup: { done: ['Light on'], strip_ansi: true },
    logs: {},
    stop: '^^C',
  },
  scripts: {
    installation: { script: 'npm ci', container: 'node:20-bookworm-slim', entrypoint: '/bin/bash' },
  },
  variables: [
    {
      name: 'Color',
      description: '',
      env_variable: 'COLOR',
      default_value: 'white',
      user_viewable: true,
      user_editable: true,
      rules: ['required', 'string', 'in:white,red,green'],
      sort: 2,
    },
    {
      name: 'Main file',
      description: '',
      env_variable: 'MAIN_FILE',
      default_value: 'index.js',
      user_viewable: true,
      user_editable: true,
      rules: ['required', 'regex:/^[a-z|.]+$/'],
      sort: 1,
    },
    {
      name: 'Update',
      description: '',
      env_variable: 'AUTO_UPDATE',
      default_value: false,
      user_viewable: true,
      user_editable: true,
      rules: ['required', 'boolean'],
      sort: 3,
    },
  ],
};

export const eggs: Record<string, Egg> = {
  javaEgg,
  oldestEgg,
  steamEgg,
  yamlEgg,
  parsersEgg,
  pelicanEgg,
  'the same of the first version of Pelican': {
    ...pelicanEgg,
    name: 'Lighthouse 1',
    meta: { version: 'PLCN_v1', update_url: null },
    startup_commands: undefined,
    startup: 'node {{MAIN_FILE}}',
    config: {
      files: '{}',
      startup: '{"done": "Light on", "strip_ansi": false, "user_interaction": []}',
      logs: '{}',
      stop: '^C',
    },
    variables: [
      variable({ env_variable: 'MAIN_FILE', default_value: 'index.js', rules: 'required|string|max:16' }),
    ],
  },
  'the same of the second version of Pelican': {
    ...pelicanEgg,
    name: 'Lighthouse 2',
    meta: { version: 'PLCN_v2' },
    image: null,
    features: null,
  },
};
