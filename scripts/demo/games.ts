import type { Api } from './api.js';
import { DemoFailure } from './failure.js';

export interface Node {
  id: string;
  name: string;
  isOnline: boolean;
  runtime: 'docker' | 'process' | null;
}

interface Template {
  id: string;
  name: string;
  dockerImage: string;
  ports: { internal: number }[];
}

/** What the demo knows of a game beyond its template. */
interface GameKnowledge {
  templateName: string;
  runtimes: ('docker' | 'process')[];
  memoryMb: number;
  diskMb: number;
  command: string;
  /** What the console answers. */
  answer: RegExp;
}

export interface Game extends GameKnowledge {
  templateId: string;
  port: number;
}

/** The best first. */
const GAMES: GameKnowledge[] = [
  {
    templateName: 'OpenTTD',
    runtimes: ['docker'],
    memoryMb: 512,
    diskMb: 1024,
    command: 'getdate',
    answer: /Date: /,
  },
  {
    templateName: 'Minecraft (flying-squid)',
    runtimes: ['process', 'docker'],
    memoryMb: 1024,
    diskMb: 2048,
    command: 'version',
    answer: /running flying-squid version/,
  },
];

/** The games that could run on the node, the best first; with a name, that one only. */
export async function findGames(api: Api, node: Node, templateName: string | undefined): Promise<Game[]> {
  const templates = await api.get<Template[]>('/api/templates?limit=100');
  const games = GAMES.flatMap((game) => {
    const template = templates.find(({ name }) => name === game.templateName);
    const port = template?.ports[0]?.internal;
    return template && port !== undefined ? [{ ...game, templateId: template.id, port }] : [];
  });
  const wanted = games.filter((game) =>
    templateName === undefined
      ? node.runtime !== null && game.runtimes.includes(node.runtime)
      : game.templateName === templateName,
  );
  if (wanted.length > 0) return wanted;
  const names = GAMES.map((game) => `"${game.templateName}"`).join(', ');
  throw new DemoFailure(
    templateName === undefined
      ? `This panel has none of the templates that the demo knows: ${names}.`
      : `The demo cannot play "${templateName}": it knows ${names}.`,
  );
}
