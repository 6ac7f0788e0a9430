import { DockerImage } from '../../../lib/docker-image.js';
import { type EggObject, isEmpty } from './egg-object.js';
import { cut, type Report, refuse } from './report.js';

const NAME_MAX_LENGTH = 100;
const IMAGES_MAX = 50;

/** `docker_images { name: image }`, or in older eggs `images [image]` or `image`. The first is the default. */
export function readImages(
  egg: EggObject,
  report: Report,
): { dockerImage: string; images: Record<string, string> } {
  const found = namedImages(egg, report).filter(([name, image], index) => {
    const problem =
      index >= IMAGES_MAX ? `only the first ${IMAGES_MAX} images are taken` : imageProblem(image);
    if (problem) report.warn(`docker_images.${name}`, `left out: ${problem}`);
    return problem === null;
  });
  const [first] = found;
  if (!first) return refuse('docker_images', 'names no image that can be used');
  const images: [string, string][] = [];
  for (const [name, image] of found) {
    const shown = cut(name.trim() || image, NAME_MAX_LENGTH);
    const isTaken = images.some(([other]) => other === shown);
    if (isTaken) report.warn(`docker_images.${name}`, `left out: another image is called ${shown}, too`);
    else images.push([shown, image]);
  }
  return { dockerImage: first[1], images: Object.fromEntries(images) };
}

function namedImages(egg: EggObject, report: Report): [name: string, image: string][] {
  const sources = ['docker_images', 'images'].map((key) => egg.take(key));
  const single = egg.take('image');
  const source = sources.find((value) => !isEmpty(value));
  if (source === undefined) return typeof single === 'string' ? [[single, single.trim()]] : [];
  // Beside the map of images, newer eggs have a picture of the game under this name.
  if (!isEmpty(single)) report.warn('image', 'a picture has no place here and is left out');
  if (typeof source === 'string') return [[source, source.trim()]];
  return Object.entries(source as object).map(([key, image]) => {
    if (typeof image !== 'string') return refuse(`docker_images.${key}`, 'must be text');
    return [Array.isArray(source) ? image : key, image.trim()];
  });
}

function imageProblem(image: string): string | null {
  return DockerImage.safeParse(image).success ? null : `"${image}" is not the reference of an image`;
}
