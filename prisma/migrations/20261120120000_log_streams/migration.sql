-- `GET …/logs?stream=stderr` on a server that says nearly everything on stdout, without reading past all of that.
-- Lines on stdout, nearly all there are, pay nothing for it.
CREATE INDEX "server_logs_other_streams_idx" ON "history"."server_logs" ("serverId", "stream", "at") WHERE "stream" <> 'stdout';
