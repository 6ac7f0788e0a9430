-- CreateEnum
CREATE TYPE "DesiredState" AS ENUM ('stopped', 'running');

-- CreateEnum
CREATE TYPE "ServerStatus" AS ENUM ('stopped', 'installing', 'starting', 'running', 'stopping', 'crashed', 'transferring');

-- CreateEnum
CREATE TYPE "PowerAction" AS ENUM ('install', 'start', 'stop', 'restart', 'kill', 'delete');

-- CreateEnum
CREATE TYPE "RestartPolicy" AS ENUM ('always', 'on-failure', 'never');

-- CreateEnum
CREATE TYPE "NodeRuntime" AS ENUM ('docker', 'process');

-- CreateTable
CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "emailKey" TEXT NOT NULL,
    "username" TEXT NOT NULL,
    "usernameKey" TEXT NOT NULL,
    "passwordHash" TEXT NOT NULL,
    "disabledAt" TIMESTAMPTZ(3),
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Session" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "ipAddress" TEXT,
    "userAgent" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastUsedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "revokedAt" TIMESTAMPTZ(3),

    CONSTRAINT "Session_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "RefreshToken" (
    "id" TEXT NOT NULL,
    "sessionId" TEXT NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "usedAt" TIMESTAMPTZ(3),

    CONSTRAINT "RefreshToken_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Role" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "permissions" TEXT[],
    "isBuiltIn" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Role_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "UserRole" (
    "userId" TEXT NOT NULL,
    "roleId" TEXT NOT NULL,

    CONSTRAINT "UserRole_pkey" PRIMARY KEY ("userId","roleId")
);

-- CreateTable
CREATE TABLE "Location" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Location_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Node" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "locationId" TEXT NOT NULL,
    "hostname" TEXT NOT NULL,
    "publicAddress" TEXT NOT NULL,
    "secretEncrypted" TEXT NOT NULL,
    "maxMemoryMb" INTEGER NOT NULL,
    "maxCpuCores" DOUBLE PRECISION NOT NULL,
    "maxDiskMb" INTEGER,
    "portRangeStart" INTEGER NOT NULL DEFAULT 1024,
    "portRangeEnd" INTEGER NOT NULL DEFAULT 65535,
    "runtime" "NodeRuntime",
    "agentVersion" TEXT,
    "capabilities" TEXT[],
    "isOnline" BOOLEAN NOT NULL DEFAULT false,
    "lastSeenAt" TIMESTAMPTZ(3),
    "cpuPercent" DOUBLE PRECISION,
    "memoryUsageMb" INTEGER,
    "memoryTotalMb" INTEGER,
    "diskUsageMb" INTEGER,
    "diskTotalMb" INTEGER,
    "containerCount" INTEGER,
    "uptimeSeconds" BIGINT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Node_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "DeploymentToken" (
    "id" TEXT NOT NULL,
    "nodeId" TEXT NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "createdById" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "usedAt" TIMESTAMPTZ(3),

    CONSTRAINT "DeploymentToken_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Template" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "dockerImage" TEXT NOT NULL,
    "startCommand" JSONB NOT NULL,
    "stopCommand" TEXT,
    "stopSignal" TEXT,
    "ports" JSONB NOT NULL DEFAULT '[]',
    "environment" JSONB NOT NULL DEFAULT '{}',
    "requiredVariables" TEXT[],
    "variables" JSONB NOT NULL DEFAULT '[]',
    "features" JSONB NOT NULL DEFAULT '{}',
    "configFiles" JSONB NOT NULL DEFAULT '[]',
    "installImage" TEXT,
    "installScript" TEXT,
    "startupDetection" TEXT,
    "dataPath" TEXT NOT NULL DEFAULT '/data',
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Template_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Server" (
    "id" TEXT NOT NULL,
    "uuid" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "ownerId" TEXT NOT NULL,
    "nodeId" TEXT NOT NULL,
    "templateId" TEXT NOT NULL,
    "desiredState" "DesiredState" NOT NULL DEFAULT 'stopped',
    "status" "ServerStatus" NOT NULL DEFAULT 'stopped',
    "statusReason" TEXT,
    "statusChangedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "exitCode" INTEGER,
    "oomKilled" BOOLEAN,
    "startedAt" TIMESTAMPTZ(3),
    "installedAt" TIMESTAMPTZ(3),
    "activeAction" "PowerAction",
    "activeCommandId" TEXT,
    "activeActionExpiresAt" TIMESTAMPTZ(3),
    "allocatedMemoryMb" INTEGER NOT NULL,
    "allocatedCpuCores" DOUBLE PRECISION NOT NULL,
    "allocatedDiskMb" INTEGER NOT NULL,
    "primaryPort" INTEGER NOT NULL,
    "networkMode" TEXT NOT NULL DEFAULT 'bridge',
    "environment" JSONB NOT NULL DEFAULT '{}',
    "containerName" TEXT NOT NULL,
    "containerId" TEXT,
    "crashCount" INTEGER NOT NULL DEFAULT 0,
    "lastCrashAt" TIMESTAMPTZ(3),
    "restartPolicy" "RestartPolicy" NOT NULL DEFAULT 'on-failure',
    "maxCrashCount" INTEGER NOT NULL DEFAULT 5,
    "suspendedAt" TIMESTAMPTZ(3),
    "suspendedByUserId" TEXT,
    "suspensionReason" TEXT,
    "cpuUsage" DOUBLE PRECISION,
    "memoryUsageMb" INTEGER,
    "diskUsageMb" INTEGER,
    "networkSent" BIGINT,
    "networkReceived" BIGINT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Server_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Allocation" (
    "id" TEXT NOT NULL,
    "nodeId" TEXT NOT NULL,
    "serverId" TEXT NOT NULL,
    "hostIp" TEXT NOT NULL DEFAULT '0.0.0.0',
    "hostPort" INTEGER NOT NULL,
    "containerPort" INTEGER NOT NULL,
    "isPrimary" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "Allocation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ServerAccess" (
    "userId" TEXT NOT NULL,
    "serverId" TEXT NOT NULL,
    "permissions" TEXT[],
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ServerAccess_pkey" PRIMARY KEY ("userId","serverId")
);

-- CreateTable
CREATE TABLE "ServerConsole" (
    "serverId" TEXT NOT NULL,
    "lastSeq" BIGINT NOT NULL DEFAULT 0,
    "lastAt" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ServerConsole_pkey" PRIMARY KEY ("serverId")
);

-- CreateIndex
CREATE UNIQUE INDEX "User_emailKey_key" ON "User"("emailKey");

-- CreateIndex
CREATE UNIQUE INDEX "User_usernameKey_key" ON "User"("usernameKey");

-- CreateIndex
CREATE INDEX "Session_userId_idx" ON "Session"("userId");

-- CreateIndex
CREATE INDEX "Session_expiresAt_idx" ON "Session"("expiresAt");

-- CreateIndex
CREATE UNIQUE INDEX "RefreshToken_tokenHash_key" ON "RefreshToken"("tokenHash");

-- CreateIndex
CREATE INDEX "RefreshToken_sessionId_idx" ON "RefreshToken"("sessionId");

-- CreateIndex
CREATE UNIQUE INDEX "Role_name_key" ON "Role"("name");

-- CreateIndex
CREATE INDEX "UserRole_roleId_idx" ON "UserRole"("roleId");

-- CreateIndex
CREATE UNIQUE INDEX "Location_name_key" ON "Location"("name");

-- CreateIndex
CREATE UNIQUE INDEX "Node_name_key" ON "Node"("name");

-- CreateIndex
CREATE INDEX "Node_locationId_idx" ON "Node"("locationId");

-- CreateIndex
CREATE UNIQUE INDEX "DeploymentToken_tokenHash_key" ON "DeploymentToken"("tokenHash");

-- CreateIndex
CREATE INDEX "DeploymentToken_nodeId_idx" ON "DeploymentToken"("nodeId");

-- CreateIndex
CREATE UNIQUE INDEX "Template_name_key" ON "Template"("name");

-- CreateIndex
CREATE UNIQUE INDEX "Server_uuid_key" ON "Server"("uuid");

-- CreateIndex
CREATE INDEX "Server_ownerId_idx" ON "Server"("ownerId");

-- CreateIndex
CREATE INDEX "Server_nodeId_idx" ON "Server"("nodeId");

-- CreateIndex
CREATE INDEX "Server_templateId_idx" ON "Server"("templateId");

-- CreateIndex
CREATE INDEX "Server_createdAt_id_idx" ON "Server"("createdAt", "id");

-- CreateIndex
CREATE UNIQUE INDEX "Allocation_nodeId_hostIp_hostPort_key" ON "Allocation"("nodeId", "hostIp", "hostPort");

-- CreateIndex
CREATE UNIQUE INDEX "Allocation_serverId_containerPort_key" ON "Allocation"("serverId", "containerPort");

-- CreateIndex
CREATE INDEX "ServerAccess_serverId_idx" ON "ServerAccess"("serverId");

-- AddForeignKey
ALTER TABLE "Session" ADD CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "RefreshToken" ADD CONSTRAINT "RefreshToken_sessionId_fkey" FOREIGN KEY ("sessionId") REFERENCES "Session"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "UserRole" ADD CONSTRAINT "UserRole_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "UserRole" ADD CONSTRAINT "UserRole_roleId_fkey" FOREIGN KEY ("roleId") REFERENCES "Role"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Node" ADD CONSTRAINT "Node_locationId_fkey" FOREIGN KEY ("locationId") REFERENCES "Location"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "DeploymentToken" ADD CONSTRAINT "DeploymentToken_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "Node"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Server" ADD CONSTRAINT "Server_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Server" ADD CONSTRAINT "Server_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "Node"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Server" ADD CONSTRAINT "Server_templateId_fkey" FOREIGN KEY ("templateId") REFERENCES "Template"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Allocation" ADD CONSTRAINT "Allocation_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "Node"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Allocation" ADD CONSTRAINT "Allocation_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ServerAccess" ADD CONSTRAINT "ServerAccess_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ServerAccess" ADD CONSTRAINT "ServerAccess_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ServerConsole" ADD CONSTRAINT "ServerConsole_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Rules that Prisma's schema language cannot say.
ALTER TABLE "User"
  ADD CONSTRAINT "User_emailKey_lower" CHECK ("emailKey" = lower("emailKey")),
  ADD CONSTRAINT "User_usernameKey_lower" CHECK ("usernameKey" = lower("usernameKey"));

ALTER TABLE "Node"
  ADD CONSTRAINT "Node_capacity" CHECK ("maxMemoryMb" > 0 AND "maxCpuCores" > 0 AND ("maxDiskMb" IS NULL OR "maxDiskMb" > 0)),
  ADD CONSTRAINT "Node_portRange" CHECK ("portRangeStart" BETWEEN 1 AND 65535 AND "portRangeEnd" BETWEEN "portRangeStart" AND 65535);

ALTER TABLE "Server"
  ADD CONSTRAINT "Server_limits" CHECK ("allocatedMemoryMb" > 0 AND "allocatedCpuCores" > 0 AND "allocatedDiskMb" > 0),
  ADD CONSTRAINT "Server_primaryPort" CHECK ("primaryPort" BETWEEN 1 AND 65535),
  ADD CONSTRAINT "Server_crashes" CHECK ("crashCount" >= 0 AND "maxCrashCount" >= 0),
  ADD CONSTRAINT "Server_activeAction" CHECK (("activeAction" IS NULL) = ("activeActionExpiresAt" IS NULL));

ALTER TABLE "Allocation"
  ADD CONSTRAINT "Allocation_ports" CHECK ("hostPort" BETWEEN 1 AND 65535 AND "containerPort" BETWEEN 1 AND 65535);

-- At most one primary port a server.
CREATE UNIQUE INDEX "Allocation_primary_key" ON "Allocation" ("serverId") WHERE "isPrimary";

-- History: what is written all day and thrown away by age. One partition a day (src/database/partitions.ts
-- makes and drops them), so trimming is a DROP TABLE. No foreign keys: a deleted server's rows go with their day.
CREATE SCHEMA "history";

CREATE TYPE "history"."LogStream" AS ENUM ('stdout', 'stderr', 'system');

CREATE TABLE "history"."server_logs" (
  "serverId" TEXT NOT NULL,
  "seq"      BIGINT NOT NULL,
  "at"       TIMESTAMPTZ(6) NOT NULL,
  "stream"   "history"."LogStream" NOT NULL,
  "data"     TEXT NOT NULL,
  PRIMARY KEY ("serverId", "seq", "at")
) PARTITION BY RANGE ("at");

CREATE INDEX "server_logs_serverId_at_idx" ON "history"."server_logs" ("serverId", "at");

CREATE TABLE "history"."server_metrics" (
  "serverId"        TEXT NOT NULL,
  "at"              TIMESTAMPTZ(3) NOT NULL,
  "cpuUsage"        REAL NOT NULL,
  "memoryUsageMb"   INTEGER NOT NULL,
  "diskUsageMb"     INTEGER,
  "networkSent"     BIGINT NOT NULL,
  "networkReceived" BIGINT NOT NULL,
  PRIMARY KEY ("serverId", "at")
) PARTITION BY RANGE ("at");

CREATE TABLE "history"."node_metrics" (
  "nodeId"         TEXT NOT NULL,
  "at"             TIMESTAMPTZ(3) NOT NULL,
  "cpuPercent"     REAL NOT NULL,
  "memoryUsageMb"  INTEGER NOT NULL,
  "memoryTotalMb"  INTEGER NOT NULL,
  "diskUsageMb"    INTEGER NOT NULL,
  "diskTotalMb"    INTEGER NOT NULL,
  "containerCount" INTEGER NOT NULL,
  PRIMARY KEY ("nodeId", "at")
) PARTITION BY RANGE ("at");
