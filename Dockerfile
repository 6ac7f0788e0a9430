# The panel and the agent in one image: the agent is `node dist/catalyst-agent.mjs`.
FROM node:20-bookworm-slim AS build
WORKDIR /app
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends python3 make g++ \
  && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
# The cryptography of SFTP, which is compiled: without it SFTP runs at half its speed. The headers are Node's own.
RUN CI_CHECK_FAIL=ssh2 npm_config_nodedir=/usr/local npm rebuild ssh2 --foreground-scripts \
  && rm -rf node_modules/ssh2/lib/protocol/crypto/build/Release/obj.target
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data \
    LOCAL_AGENT=false
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 3000 2022
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]
