# The app's image from source, for where lab does not build it from its own executable: `docker compose build`, or a machine
# without a static lab. The last stage holds one file.
#
#   docker build -t lab-app:local .
#
# Without a registry of images or of crates: stack/offline/build.sh rust, first.

# Another base: any image with this Rust and a C compiler, on glibc.
ARG RUST_IMAGE=rust:1.95-bookworm
FROM ${RUST_IMAGE} AS build
# Another of Cargo.toml's profiles: fast, to try something out, compiles less.
ARG PROFILE=release
WORKDIR /src
# Dependencies alone, against an empty crate without tests: the layer holds for as long as these files do.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN sed -i '/^\[\[test\]\]/,$d' Cargo.toml \
    && mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo build --profile ${PROFILE} --locked
COPY . .
# The sources may be older than the empty crate's results. RUSTFLAGS would lose static linking (.cargo/config.toml).
RUN find src -name '*.rs' -exec touch {} + \
    && env -u RUSTFLAGS cargo build --profile ${PROFILE} --locked --bin lab \
    && cp target/*/${PROFILE}/lab /lab \
    && ! readelf -W -l /lab | grep -q INTERP

FROM scratch
COPY --from=build /lab /lab
USER 65532:65532
EXPOSE 8000
ENV APP_LISTEN=0.0.0.0:8000
HEALTHCHECK --interval=1s --timeout=2s --retries=30 CMD ["/lab", "app", "--health"]
ENTRYPOINT ["/lab", "app"]
