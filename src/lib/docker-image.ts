import { z } from 'zod';

const IMAGE_MAX_LENGTH = 512;

/** `[registry[:port]/]name[/name…][:tag][@sha256:…]`, after the reference grammar of the distribution project. */
const IMAGE_NAME = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const REGISTRY = '[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\\d{1,5})?';
const IMAGE = new RegExp(
  `^(?:${REGISTRY}/)?${IMAGE_NAME}(?:/${IMAGE_NAME})*(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

/** The reference of an image. */
export const DockerImage = z.string().max(IMAGE_MAX_LENGTH).regex(IMAGE, 'is not the reference of an image');
