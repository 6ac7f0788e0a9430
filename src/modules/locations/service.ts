import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { containsText } from '../../lib/like.js';
import { type Page, pageRange } from '../../lib/schemas.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type { CreateLocationBody, ListLocationsQuery, Location, UpdateLocationBody } from './schemas.js';

export interface Locations {
  list(query: ListLocationsQuery): Promise<Page<Location>>;
  get(locationId: string): Promise<Location>;
  create(actor: Actor, input: CreateLocationBody): Promise<Location>;
  update(actor: Actor, locationId: string, input: UpdateLocationBody): Promise<Location>;
  delete(actor: Actor, locationId: string): Promise<void>;
}

const COLUMNS = { include: { _count: { select: { nodes: true } } } } as const;
type Row = Prisma.LocationGetPayload<typeof COLUMNS>;

export function createLocations({ prisma }: { prisma: PrismaClient }): Locations {
  async function get(locationId: string): Promise<Location> {
    const location = await prisma.location.findUnique({ where: { id: locationId }, ...COLUMNS });
    if (!location) throw new AppError('location.not_found');
    return present(location);
  }

  return {
    get,

    async list(query) {
      const text = containsText(query.search ?? '');
      const where = query.search ? { OR: [{ name: text }, { description: text }] } : {};
      const [locations, total] = await Promise.all([
        prisma.location.findMany({
          where,
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
          ...COLUMNS,
        }),
        prisma.location.count({ where }),
      ]);
      return { items: locations.map(present), total };
    },

    async create(actor, input) {
      requirePermission(actor, 'admin.write');
      return writing(() =>
        prisma.$transaction(async (transaction) => {
          const location = await transaction.location.create({ data: input, ...COLUMNS });
          await recordAudit(transaction, actor, {
            action: 'location.create',
            resourceType: 'location',
            resourceId: location.id,
            metadata: { locationName: location.name, ...auditChanges({}, input) },
          });
          return present(location);
        }),
      );
    },

    async update(actor, locationId, input) {
      requirePermission(actor, 'admin.write');
      const changes = withoutUndefined(input);
      return writing(() =>
        prisma.$transaction(async (transaction) => {
          await transaction.$queryRaw`SELECT FROM "Location" WHERE "id" = ${locationId} FOR UPDATE`;
          const before = await transaction.location.findUnique({ where: { id: locationId }, ...COLUMNS });
          if (!before) throw new AppError('location.not_found');
          const differences = auditChanges(before, changes);
          if (Object.keys(differences.after).length === 0) return present(before);
          const location = await transaction.location.update({
            where: { id: locationId },
            data: changes,
            ...COLUMNS,
          });
          await recordAudit(transaction, actor, {
            action: 'location.update',
            resourceType: 'location',
            resourceId: locationId,
            metadata: { locationName: before.name, ...differences },
          });
          return present(location);
        }),
      );
    },

    async delete(actor, locationId) {
      requirePermission(actor, 'admin.write');
      try {
        await prisma.$transaction(async (transaction) => {
          const [location] = await transaction.$queryRaw<{ name: string }[]>`
            DELETE FROM "Location" WHERE "id" = ${locationId} RETURNING "name"`;
          if (!location) throw new AppError('location.not_found');
          await recordAudit(transaction, actor, {
            action: 'location.delete',
            resourceType: 'location',
            resourceId: locationId,
            metadata: { locationName: location.name },
          });
        });
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('location.in_use') : error;
      }
    },
  };
}

function present({ _count, ...location }: Row): Location {
  return { ...location, nodeCount: _count.nodes };
}

/** Names are unique: the database says when one is taken. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('location.name_taken') : error;
  }
}
