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
# Dependencies alone, in an empty crate: the layer is valid for as long as these files are.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p /dependencies/src && echo 'fn main() {}' >/dependencies/src/main.rs \
    && awk 'BEGIN { print "[package]\nname = \"lab\"\nversion = \"0.0.0\"\nedition = \"2024\"" } \
        /^\[/ { on = /^\[profile/ } /^# Of tests alone/ { on = 0 } /^\[workspace.dependencies\]/ { on = 1; $0 = "[dependencies]" } \
        on && !/^lab-/' Cargo.toml >/dependencies/Cargo.toml \
    && cp -r Cargo.lock .cargo /dependencies && cd /dependencies \
    && CARGO_TARGET_DIR=/src/target cargo build --profile ${PROFILE}
COPY . .
# The sources may be older than the empty crate's results. RUSTFLAGS would lose static linking (.cargo/config.toml).
RUN find src crates -name '*.rs' -exec touch {} + \
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
