# Builds with compilers, runs without. amd64 and arm64.
#   docker build .                     the service
#   docker build --target harness .    the load harness, with the service that it measures
#
# The version of Node is exact. For an image that can be built again byte by byte, pin what the tags meant on the day
# of the build, too (`docker buildx imagetools inspect node:24.21.0-bookworm` shows the digest):
#   docker build --build-arg BUILD_IMAGE=node:24.21.0-bookworm@sha256:… \
#                --build-arg RUN_IMAGE=node:24.21.0-bookworm-slim@sha256:… .
ARG BUILD_IMAGE=node:24.21.0-bookworm
ARG RUN_IMAGE=node:24.21.0-bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY load/package.json ./load/
RUN npm ci
COPY scripts ./scripts
COPY tsconfig.json ./
COPY src ./src
COPY page ./page
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

# Of the official image what runs: no package manager, no headers, no manual, no program that makes its caller root.
FROM ${RUN_IMAGE} AS base
RUN rm -rf /usr/local/lib/node_modules /usr/local/include /usr/local/share/doc /usr/local/share/man /opt/yarn* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
      /usr/local/bin/docker-entrypoint.sh /usr/local/CHANGELOG.md /usr/local/README.md \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && install -d /app

# Copied, so that what was removed is in no layer below.
FROM scratch AS runtime
LABEL org.opencontainers.image.title="mmap-range-server" \
      org.opencontainers.image.description="HTTP byte ranges straight from memory-mapped files" \
      org.opencontainers.image.licenses="MIT"
COPY --from=base / /
WORKDIR /app
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NODE_ENV=production

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
# Ports are open inside the container; what of it can be reached is decided by what is published.
ENV ROOT=/data HOST=0.0.0.0 PORT=8080 OPS_HOST=0.0.0.0 OPS_PORT=9464 WORKERS=auto
EXPOSE 8080 9464
USER node
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["node", "/app/dist/main.js"]
