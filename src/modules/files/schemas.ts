import { z } from 'zod';
import { queryInteger, Success, success } from '../../lib/schemas.js';
import { SEARCH_MAX } from '../../protocol/data-plane.js';

export const PATH_MAX_LENGTH = 4096;
const NAME_MAX_LENGTH = 255;
/** For files of text that people edit; anything larger is uploaded. */
export const CONTENT_MAX_LENGTH = 2 * 1024 * 1024;

/** From the server's directory: `/plugins/config.yml`. */
export const Path = z.string().min(1).max(PATH_MAX_LENGTH);

export const DirectoryQuery = z.object({
  path: Path.default('/'),
  /** `next` of the answer before. */
  after: z.string().min(1).max(NAME_MAX_LENGTH).optional(),
});
export type DirectoryQuery = z.output<typeof DirectoryQuery>;

export const PathQuery = z.object({ path: Path });

const OCTAL_MODE = /^0?[0-7]{3}$/;

export const FileView = z.object({
  name: z.string(),
  /** In bytes; 0 for directories. */
  size: z.number(),
  isDirectory: z.boolean(),
  /** A symbolic link; what it leads to is not looked at. */
  isLink: z.boolean(),
  /** Permission bits as `chmod` takes them: `0644`. */
  mode: z.string(),
  modified: z.iso.datetime(),
});
export type FileView = z.output<typeof FileView>;

const SEARCH_DEFAULT = 100;

export const SearchQuery = z.object({
  path: Path.default('/'),
  /** A part of the name, or with `*` and `?` a pattern for all of it. */
  text: z.string().min(1).max(NAME_MAX_LENGTH),
  limit: queryInteger({ min: 1, max: SEARCH_MAX }).default(SEARCH_DEFAULT),
});
export type SearchQuery = z.output<typeof SearchQuery>;

/** A file that was found, and where. */
export const FoundFile = z.object({ path: z.string(), ...FileView.shape });
export type FoundFile = z.output<typeof FoundFile>;

export const SearchResponse = z.object({
  success: z.literal(true),
  data: z.array(FoundFile),
  /** False: there may be more, the search ended at its limit of matches or of time. */
  isComplete: z.boolean(),
});

export const FilesResponse = z.object({
  success: z.literal(true),
  data: z.array(FileView),
  /** Only when there are more: what to give as `after` for the rest. */
  next: z.string().optional(),
});
export const FileResponse = success(FileView);
export const CopyResponse = success(z.object({ bytes: z.number() }));
export const MessageResponse = Success.extend({ message: z.string() });

const Content = z.string().max(CONTENT_MAX_LENGTH);

export const CreateFileBody = z.strictObject({
  path: Path,
  content: Content.optional(),
  isDirectory: z.boolean().default(false),
});
export type CreateFileBody = z.output<typeof CreateFileBody>;

export const WriteFileBody = z.strictObject({ path: Path, content: Content });
export type WriteFileBody = z.output<typeof WriteFileBody>;

export const RenameFileBody = z.strictObject({
  from: Path,
  to: Path,
  /** A file in the way goes. */
  replace: z.boolean().default(false),
});
export type RenameFileBody = z.output<typeof RenameFileBody>;

export const CopyFileBody = z.strictObject({ from: Path, to: Path });
export type CopyFileBody = z.output<typeof CopyFileBody>;

export const PermissionsBody = z.strictObject({
  path: Path,
  mode: z.string().regex(OCTAL_MODE, 'must be permission bits like "0644"'),
});
export type PermissionsBody = z.output<typeof PermissionsBody>;

export const UploadQuery = z.object({ path: Path.optional() });

/** It never becomes a value: the form is read piece by piece. This is what the documentation shows. */
export const UploadForm = z.any().meta({
  type: 'object',
  required: ['file'],
  properties: {
    path: { type: 'string', description: 'The directory. Also as `?path=`.' },
    file: {
      type: 'array',
      items: { type: 'string', format: 'binary' },
      description: 'One file or several.',
    },
  },
});

export const Bytes = z.any().meta({ type: 'string', format: 'binary' });
