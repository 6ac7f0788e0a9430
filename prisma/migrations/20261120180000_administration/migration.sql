-- CreateEnum
CREATE TYPE "NetworkDriver" AS ENUM ('bridge', 'macvlan', 'ipvlan');

-- CreateEnum
CREATE TYPE "DatabaseEngine" AS ENUM ('mysql', 'postgresql');

-- CreateEnum
CREATE TYPE "DatabaseState" AS ENUM ('creating', 'ready', 'deleting');

-- AlterTable
ALTER TABLE "Node" ADD COLUMN     "cpuOverallocatePercent" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "diskOverallocatePercent" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "isInMaintenance" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "memoryOverallocatePercent" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "tags" TEXT[] DEFAULT ARRAY[]::TEXT[];

-- AlterTable
ALTER TABLE "Server" ADD COLUMN     "databaseLimit" INTEGER NOT NULL DEFAULT 5,
ADD COLUMN     "deletionRequestedAt" TIMESTAMPTZ(3),
ADD COLUMN     "dockerImage" TEXT;

-- AlterTable
ALTER TABLE "Template" ADD COLUMN     "images" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN     "installAsRoot" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "installDataPath" TEXT,
ADD COLUMN     "installShell" TEXT NOT NULL DEFAULT 'sh';

-- AlterTable
ALTER TABLE "User" ADD COLUMN     "failedLogins" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "lastFailedLoginAt" TIMESTAMPTZ(3);

-- CreateTable
CREATE TABLE "ApiKey" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "permissions" TEXT[],
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMPTZ(3),
    "lastUsedAt" TIMESTAMPTZ(3),
    "lastUsedIp" TEXT,

    CONSTRAINT "ApiKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SshKey" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "publicKey" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastUsedAt" TIMESTAMPTZ(3),

    CONSTRAINT "SshKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "TwoFactor" (
    "userId" TEXT NOT NULL,
    "secretEncrypted" TEXT NOT NULL,
    "confirmedAt" TIMESTAMPTZ(3),
    "lastTimeStep" INTEGER,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "TwoFactor_pkey" PRIMARY KEY ("userId")
);

-- CreateTable
CREATE TABLE "RecoveryCode" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "codeHash" TEXT NOT NULL,
    "usedAt" TIMESTAMPTZ(3),

    CONSTRAINT "RecoveryCode_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "TwoFactorTicket" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "TwoFactorTicket_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "RemovedServer" (
    "serverId" TEXT NOT NULL,
    "serverUuid" UUID NOT NULL,
    "nodeId" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "RemovedServer_pkey" PRIMARY KEY ("serverId")
);

-- CreateTable
CREATE TABLE "IpPool" (
    "id" TEXT NOT NULL,
    "nodeId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "networkName" TEXT NOT NULL,
    "driver" "NetworkDriver" NOT NULL DEFAULT 'bridge',
    "parentInterface" TEXT,
    "cidr" TEXT NOT NULL,
    "gateway" TEXT,
    "startIp" TEXT,
    "endIp" TEXT,
    "reserved" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "IpPool_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "IpAllocation" (
    "id" TEXT NOT NULL,
    "poolId" TEXT NOT NULL,
    "serverId" TEXT NOT NULL,
    "ip" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "IpAllocation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "DatabaseHost" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "engine" "DatabaseEngine" NOT NULL,
    "host" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "publicHost" TEXT,
    "publicPort" INTEGER,
    "username" TEXT NOT NULL,
    "passwordEncrypted" TEXT NOT NULL,
    "useTls" BOOLEAN NOT NULL DEFAULT false,
    "maxDatabases" INTEGER,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "DatabaseHost_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ServerDatabase" (
    "id" TEXT NOT NULL,
    "serverId" TEXT,
    "hostId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "username" TEXT NOT NULL,
    "passwordEncrypted" TEXT NOT NULL,
    "remote" TEXT NOT NULL DEFAULT '%',
    "maxConnections" INTEGER NOT NULL,
    "state" "DatabaseState" NOT NULL DEFAULT 'creating',
    "stateChangedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ServerDatabase_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "AuditLog" (
    "id" BIGSERIAL NOT NULL,
    "userId" TEXT,
    "username" TEXT,
    "apiKeyId" TEXT,
    "action" TEXT NOT NULL,
    "resourceType" TEXT NOT NULL,
    "resourceId" TEXT,
    "serverId" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "ipAddress" TEXT,
    "userAgent" TEXT,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "AuditLog_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "ApiKey_tokenHash_key" ON "ApiKey"("tokenHash");

-- CreateIndex
CREATE INDEX "ApiKey_userId_idx" ON "ApiKey"("userId");

-- CreateIndex
CREATE UNIQUE INDEX "SshKey_fingerprint_key" ON "SshKey"("fingerprint");

-- CreateIndex
CREATE INDEX "SshKey_userId_idx" ON "SshKey"("userId");

-- CreateIndex
CREATE UNIQUE INDEX "RecoveryCode_userId_codeHash_key" ON "RecoveryCode"("userId", "codeHash");

-- CreateIndex
CREATE UNIQUE INDEX "TwoFactorTicket_tokenHash_key" ON "TwoFactorTicket"("tokenHash");

-- CreateIndex
CREATE INDEX "TwoFactorTicket_userId_idx" ON "TwoFactorTicket"("userId");

-- CreateIndex
CREATE INDEX "TwoFactorTicket_expiresAt_idx" ON "TwoFactorTicket"("expiresAt");

-- CreateIndex
CREATE INDEX "RemovedServer_nodeId_idx" ON "RemovedServer"("nodeId");

-- CreateIndex
CREATE UNIQUE INDEX "IpPool_nodeId_networkName_key" ON "IpPool"("nodeId", "networkName");

-- CreateIndex
CREATE UNIQUE INDEX "IpAllocation_serverId_key" ON "IpAllocation"("serverId");

-- CreateIndex
CREATE UNIQUE INDEX "IpAllocation_poolId_ip_key" ON "IpAllocation"("poolId", "ip");

-- CreateIndex
CREATE UNIQUE INDEX "DatabaseHost_name_key" ON "DatabaseHost"("name");

-- CreateIndex
CREATE INDEX "ServerDatabase_serverId_idx" ON "ServerDatabase"("serverId");

-- CreateIndex
CREATE UNIQUE INDEX "ServerDatabase_hostId_name_key" ON "ServerDatabase"("hostId", "name");

-- CreateIndex
CREATE UNIQUE INDEX "ServerDatabase_hostId_username_key" ON "ServerDatabase"("hostId", "username");

-- CreateIndex
CREATE INDEX "AuditLog_createdAt_idx" ON "AuditLog"("createdAt");

-- CreateIndex
CREATE INDEX "AuditLog_userId_id_idx" ON "AuditLog"("userId", "id");

-- CreateIndex
CREATE INDEX "AuditLog_action_id_idx" ON "AuditLog"("action", "id");

-- CreateIndex
CREATE INDEX "AuditLog_serverId_id_idx" ON "AuditLog"("serverId", "id");

-- CreateIndex
CREATE INDEX "AuditLog_resourceType_resourceId_id_idx" ON "AuditLog"("resourceType", "resourceId", "id");

-- AddForeignKey
ALTER TABLE "ApiKey" ADD CONSTRAINT "ApiKey_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SshKey" ADD CONSTRAINT "SshKey_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "TwoFactor" ADD CONSTRAINT "TwoFactor_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "RecoveryCode" ADD CONSTRAINT "RecoveryCode_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "TwoFactorTicket" ADD CONSTRAINT "TwoFactorTicket_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "RemovedServer" ADD CONSTRAINT "RemovedServer_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "Node"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "IpPool" ADD CONSTRAINT "IpPool_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "Node"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "IpAllocation" ADD CONSTRAINT "IpAllocation_poolId_fkey" FOREIGN KEY ("poolId") REFERENCES "IpPool"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "IpAllocation" ADD CONSTRAINT "IpAllocation_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ServerDatabase" ADD CONSTRAINT "ServerDatabase_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ServerDatabase" ADD CONSTRAINT "ServerDatabase_hostId_fkey" FOREIGN KEY ("hostId") REFERENCES "DatabaseHost"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- Written by hand: Prisma has no words for these.
ALTER TABLE "Node"
  ADD CONSTRAINT "Node_overallocation" CHECK (
    "memoryOverallocatePercent" BETWEEN 0 AND 10000
    AND "cpuOverallocatePercent" BETWEEN 0 AND 10000
    AND "diskOverallocatePercent" BETWEEN 0 AND 10000
  );

ALTER TABLE "Server"
  ADD CONSTRAINT "Server_databaseLimit" CHECK ("databaseLimit" >= 0),
  ADD CONSTRAINT "Server_suspension" CHECK ("suspendedAt" IS NOT NULL OR ("suspendedByUserId" IS NULL AND "suspensionReason" IS NULL));

ALTER TABLE "DatabaseHost"
  ADD CONSTRAINT "DatabaseHost_port" CHECK ("port" BETWEEN 1 AND 65535 AND ("publicPort" IS NULL OR "publicPort" BETWEEN 1 AND 65535));

ALTER TABLE "ServerDatabase"
  ADD CONSTRAINT "ServerDatabase_name" CHECK ("name" ~ '^[A-Za-z0-9_]{1,48}$'),
  ADD CONSTRAINT "ServerDatabase_username" CHECK ("username" ~ '^[a-z0-9_]{1,32}$'),
  ADD CONSTRAINT "ServerDatabase_maxConnections" CHECK ("maxConnections" > 0);


ALTER TABLE "TwoFactorTicket"
  ADD CONSTRAINT "TwoFactorTicket_attempts" CHECK ("attempts" >= 0);

-- Whoever sees everything sees what was done to a server, too.
UPDATE "Role" SET "permissions" = array_append("permissions", 'activity.read')
  WHERE "name" = 'Support' AND "isBuiltIn" AND NOT "permissions" @> ARRAY['activity.read'];
