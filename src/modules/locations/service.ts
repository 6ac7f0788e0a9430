import type { PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import type { CreateLocationBody, Location, UpdateLocationBody } from './schemas.js';

export interface Locations {
  list(query: PageQuery): Promise<Page<Location>>;
  get(locationId: string): Promise<Location>;
  create(actor: Actor, input: CreateLocationBody): Promise<Location>;
  update(actor: Actor, locationId: string, input: UpdateLocationBody): Promise<Location>;
  delete(actor: Actor, locationId: string): Promise<void>;
}

export function createLocations({ prisma }: { prisma: PrismaClient }): Locations {
  async function get(locationId: string): Promise<Location> {
    const location = await prisma.location.findUnique({ where: { id: locationId } });
    if (!location) throw new AppError('location.not_found');
    return location;
  }

  return {
    get,

    async list(query) {
      const [items, total] = await Promise.all([
        prisma.location.findMany({ orderBy: [{ name: 'asc' }, { id: 'asc' }], ...pageRange(query) }),
        prisma.location.count(),
      ]);
      return { items, total };
    },

    async create(actor, input) {
      requirePermission(actor, 'admin.write');
      return named(() => prisma.location.create({ data: input }));
    },

    async update(actor, locationId, { name, description }) {
      requirePermission(actor, 'admin.write');
      const data = { ...(name !== undefined && { name }), ...(description !== undefined && { description }) };
      const [location] = await named(() =>
        prisma.location.updateManyAndReturn({ where: { id: locationId }, data }),
      );
      if (!location) throw new AppError('location.not_found');
      return location;
    },

    async delete(actor, locationId) {
      requirePermission(actor, 'admin.write');
      try {
        const { count } = await prisma.location.deleteMany({ where: { id: locationId } });
        if (count === 0) throw new AppError('location.not_found');
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('location.in_use') : error;
      }
    },
  };
}

/** Names are unique: the database says when one is taken. */
async function named<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('location.name_taken') : error;
  }
}
