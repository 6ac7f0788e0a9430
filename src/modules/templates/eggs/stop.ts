import type { TemplateColumns } from '../../../lib/stored-template.js';
import type { EggObject } from './egg-object.js';
import type { Placeholders } from './placeholders.js';
import type { Report } from './report.js';

type StopSignal = NonNullable<TemplateColumns['stopSignal']>;

export interface Stop {
  stopCommand: string | null;
  stopSignal: StopSignal | null;
}

const SIGNALS: Readonly<Record<string, StopSignal>> = {
  C: 'SIGINT',
  SIGINT: 'SIGINT',
  SIGTERM: 'SIGTERM',
  SIGQUIT: 'SIGQUIT',
  SIGHUP: 'SIGHUP',
  SIGUSR1: 'SIGUSR1',
  SIGUSR2: 'SIGUSR2',
  SIGKILL: 'SIGKILL',
};

/** `config.stop`: a command for the console, or behind a caret (`^C`, `^SIGTERM`) a signal. */
export function readStop(config: EggObject, placeholders: Placeholders, report: Report): Stop {
  const stop = config.text('stop').trim();
  const place = config.place('stop');
  if (stop === '') return { stopCommand: null, stopSignal: null };
  const name = stop.replace(/^\^+/, '').toUpperCase();
  const isSignal = stop.startsWith('^') || /^SIG[A-Z0-9]+$/.test(stop);
  if (!isSignal) return { stopCommand: placeholders.translate(stop, place), stopSignal: null };
  const signal = Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
  if (!signal) report.warn(place, `the signal ${stop} is not sent here; SIGTERM is sent instead`);
  return { stopCommand: null, stopSignal: signal ?? 'SIGTERM' };
}
