# Builds with compilers, runs without. amd64 and arm64.

FROM node:24-bookworm AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY scripts ./scripts
COPY tsconfig.json ./
COPY src ./src
COPY load* ./load/
RUN npm run build && npx tsc -b load
# What only a build needs goes: other people's packages, and what compiling the native module left behind.
RUN npm prune --omit=dev \
 && find node_modules/mmap-io/build ! -type d ! -path '*/build/Release/mmap-io.node' -delete \
 && find node_modules/echarts -type f ! -name package.json ! -path '*/dist/echarts.min.js' -delete && rm -r node_modules/zrender \
 && find node_modules -type d -empty -delete \
 && find dist node_modules \( -name '.tsbuildinfo' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' -o -name '*.md' \) -type f -delete \
 && rm -rf dist/test
# An image whose native module does not load must not come to be.
RUN node dist/main.js --version && node -e "require('mmap-io'); require('koffi')" && node dist/load/main.js --help > /dev/null

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="mmap-range-server" \
      org.opencontainers.image.description="HTTP byte ranges straight from memory-mapped files" \
      org.opencontainers.image.licenses="MIT"
# Package managers are not needed to run, and a scanner finds nothing in what is not there.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY sample ./sample
COPY deploy/healthcheck.mjs ./healthcheck.mjs
# owned by the user, and with it a new volume and what this image writes there
RUN install -d -o node -g node /data /data-mmap /data-read
ENV NODE_ENV=production ROOT=/data HOST=0.0.0.0 PORT=8080 WORKERS=auto
EXPOSE 8080
USER node
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["node", "/app/dist/main.js"]
