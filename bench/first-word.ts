import type { Bench } from './harness/bench.js';
import { startPanel } from './harness/panel.js';
import { connectRawSubscriber, type RawSubscriber } from './harness/raw-subscriber.js';
import type { Finding } from './harness/report.js';
import { createConsoleServer } from './harness/seed.js';

const SUBSCRIBERS = 500;
const WAVE_SIZE = 50;
const ANSWER_TIMEOUT_MS = 5000;

/** When a subscriber speaks, and how it says who it is. */
interface Manner {
  name: string;
  speaksAtOnce: boolean;
  hasTokenInAddress: boolean;
}

const MANNERS: Manner[] = [
  { name: 'right after `open`', speaksAtOnce: false, hasTokenInAddress: true },
  { name: 'together with the upgrade request', speaksAtOnce: true, hasTokenInAddress: true },
  { name: '`authenticate` and `subscribe` in one breath', speaksAtOnce: true, hasTokenInAddress: false },
];

/** Whether a subscriber that speaks before the panel has checked who it is misses its subscription. */
export async function firstWord(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const { server } = await createConsoleServer(panel.api);
  const findings: Finding[] = [];
  for (const manner of MANNERS) {
    let answered = 0;
    for (let left = SUBSCRIBERS; left > 0; left -= WAVE_SIZE) {
      const wave = Array.from({ length: Math.min(left, WAVE_SIZE) }, () =>
        isSubscribed(panel.socketUrl, panel.api.token(), server.id, manner),
      );
      answered += (await Promise.all(wave)).filter(Boolean).length;
    }
    findings.push({
      measure: `subscribers that speak ${manner.name} and are subscribed`,
      target: `${SUBSCRIBERS} of ${SUBSCRIBERS}`,
      measured: `${answered} of ${SUBSCRIBERS}`,
      isMet: answered === SUBSCRIBERS,
    });
  }
  return findings;
}

function isSubscribed(url: string, token: string, serverId: string, manner: Manner): Promise<boolean> {
  return new Promise((resolve) => {
    const authenticate = JSON.stringify({ type: 'authenticate', token });
    const subscribe = JSON.stringify({ type: 'subscribe', serverId });
    let connection: RawSubscriber | undefined;
    function finish(isIn: boolean): void {
      clearTimeout(timer);
      // The first answer counts: closing is an end, too.
      resolve(isIn);
      connection?.close();
    }
    const timer = setTimeout(() => finish(false), ANSWER_TIMEOUT_MS);
    connection = connectRawSubscriber({
      url: manner.hasTokenInAddress ? `${url}?token=${token}` : url,
      messages: manner.hasTokenInAddress ? [subscribe] : [authenticate, subscribe],
      speaksAtOnce: manner.speaksAtOnce,
      keepBytes: 65_536,
      onText(text) {
        if (text.includes('"type":"subscribed"')) finish(true);
      },
      onEnd: () => finish(false),
    });
  });
}
