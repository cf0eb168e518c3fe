# Builds with compilers, runs without. amd64 and arm64.
#   docker build .                     the service
#   docker build --target harness .    the load harness, with the service that it measures

FROM node:24-bookworm AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY load/package.json ./load/
RUN npm ci
COPY scripts ./scripts
COPY tsconfig.json ./
COPY src ./src
# what compiling the native module left behind goes
RUN npm run build \
 && find node_modules/mmap-io/build ! -type d ! -path '*/build/Release/mmap-io.node' -delete

# Of the packages what only a build needs goes, and of all that only people read.
FROM build AS harness-build
COPY load ./load
RUN npx tsc -b load && npm prune --omit=dev \
 && find node_modules/echarts -type f ! -name package.json ! -path '*/dist/echarts.min.js' -delete && rm -r node_modules/zrender \
 && find dist node_modules \( -name '.tsbuildinfo' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' -o -name '*.md' \) -type f -delete \
 && find load -type f ! -name package.json -delete \
 && find load node_modules -type d -empty -delete
RUN node dist/load/main.js --help > /dev/null

# The same without the packages of the workspace load/.
FROM build AS service-build
RUN npm prune --omit=dev --workspaces=false \
 && find dist node_modules \( -name '.tsbuildinfo' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' -o -name '*.md' \) -type f -delete \
 && find node_modules -type d -empty -delete
# An image whose native module does not load, or that carries the harness, must not come to be.
RUN node dist/main.js --version && node -e "require('mmap-io'); require('koffi')" \
 && test ! -e node_modules/autocannon && test ! -e node_modules/mmap-range-server-load

FROM node:24-bookworm-slim AS runtime
LABEL org.opencontainers.image.title="mmap-range-server" \
      org.opencontainers.image.description="HTTP byte ranges straight from memory-mapped files" \
      org.opencontainers.image.licenses="MIT"
# Package managers are not needed to run, and a scanner finds nothing in what is not there.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg
WORKDIR /app
ENV NODE_ENV=production

FROM runtime AS harness
LABEL org.opencontainers.image.description="The load harness of mmap-range-server"
COPY --from=harness-build /app/package.json ./
COPY --from=harness-build /app/load ./load
COPY --from=harness-build /app/node_modules ./node_modules
COPY --from=harness-build /app/dist ./dist
USER node
ENTRYPOINT ["node", "/app/dist/load/main.js"]

FROM runtime AS service
COPY --from=service-build /app/package.json ./
COPY --from=service-build /app/node_modules ./node_modules
COPY --from=service-build /app/dist ./dist
COPY sample ./sample
COPY deploy/healthcheck.mjs ./healthcheck.mjs
# owned by the user, and with it a new volume and what this image writes there
RUN install -d -o node -g node /data /data-mmap /data-read
ENV ROOT=/data HOST=0.0.0.0 PORT=8080 WORKERS=auto
EXPOSE 8080
USER node
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["node", "/app/dist/main.js"]
