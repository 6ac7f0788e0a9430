import { DockerImage } from '../../../lib/docker-image.js';
import { type EggObject, isEmpty } from './egg-object.js';
import { type Report, refuse } from './report.js';

export interface Installation {
  installScript: string | null;
  installImage: string | null;
  installShell: string;
  installDataPath: string | null;
  installAsRoot: boolean;
}

/** Where install scripts of eggs find the directory of the server. */
const INSTALL_DATA_PATH = '/mnt/server';
const SHELL = /^[A-Za-z0-9/_.][A-Za-z0-9/_.-]{0,63}$/;
const DEFAULT_SHELL = 'bash';

/** `scripts.installation { script, container, entrypoint }`. Braces in a script are the script's own. */
export function readInstallation(egg: EggObject, report: Report): Installation {
  const scripts = egg.object('scripts');
  const installation = scripts.object('installation');
  const script = installation.text('script').replaceAll('\r\n', '\n').trim();
  const container = installation.text('container').trim();
  const entrypoint = installation.text('entrypoint').trim();
  const inherited = [egg.take('copy_script_from'), installation.take('copy_script_from')];
  if (inherited.some((value) => !isEmpty(value))) {
    report.warn(
      'copy_script_from',
      'the script of that other egg is not in this file: add it to the template',
    );
  }
  installation.reportRest(report);
  scripts.reportRest(report);
  if (script === '') {
    return {
      installScript: null,
      installImage: null,
      installShell: 'sh',
      installDataPath: null,
      installAsRoot: false,
    };
  }
  const place = 'scripts.installation';
  report.warn(
    `${place}.script`,
    `runs as root of its container, with the server's files at ${INSTALL_DATA_PATH}, as its author expects. ` +
      'Read it before you use it',
  );
  return {
    installScript: script,
    installImage: container === '' ? null : requireImage(container, `${place}.container`),
    installShell: chooseShell(entrypoint, `${place}.entrypoint`, report),
    installDataPath: INSTALL_DATA_PATH,
    installAsRoot: true,
  };
}

function requireImage(image: string, place: string): string {
  return DockerImage.safeParse(image).success ? image : refuse(place, 'is not the reference of an image');
}

function chooseShell(entrypoint: string, place: string, report: Report): string {
  if (entrypoint === '') return DEFAULT_SHELL;
  if (SHELL.test(entrypoint)) return entrypoint;
  report.warn(place, `"${entrypoint}" is not the name of a shell; ${DEFAULT_SHELL} runs the script`);
  return DEFAULT_SHELL;
}
