# Builds the app's image from source, for `docker compose build` and for machines without a static lab. lab itself builds the
# image from its own executable. The final stage contains one file.
#
#   docker build -t lab-app:local .
#
# Without access to image and crate registries, first run stack/offline/build.sh rust.

# Base image: any image with this version of Rust and a C compiler, on glibc.
ARG RUST_IMAGE=rust:1.95-bookworm
FROM ${RUST_IMAGE} AS build
# A profile of Cargo.toml. `dev` compiles faster, for experiments.
ARG PROFILE=release
WORKDIR /src
# Builds the dependencies only, in an empty crate. The layer stays valid until these files change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p /dependencies/src && echo 'fn main() {}' >/dependencies/src/main.rs \
    && awk 'BEGIN { print "[package]\nname = \"lab\"\nversion = \"0.0.0\"\nedition = \"2024\"" } \
        /^\[/ { on = /^\[profile/ } /^# Test dependencies/ { on = 0 } /^\[workspace.dependencies\]/ { on = 1; $0 = "[dependencies]" } \
        on && !/^lab-/' Cargo.toml >/dependencies/Cargo.toml \
    && cp -r Cargo.lock .cargo /dependencies && cd /dependencies \
    && CARGO_TARGET_DIR=/src/target cargo build --profile ${PROFILE}
COPY . .
# The sources may be older than the results of the empty crate. RUSTFLAGS would override static linking (.cargo/config.toml).
RUN find src crates -name '*.rs' -exec touch {} + \
    && env -u RUSTFLAGS cargo build --profile ${PROFILE} --locked --bin lab \
    && cp "$(find target/*/ -maxdepth 2 -name lab -type f)" /lab \
    && ! readelf -W -l /lab | grep -q INTERP

FROM scratch
COPY --from=build /lab /lab
USER 65532:65532
EXPOSE 8000
ENV APP_LISTEN=0.0.0.0:8000
HEALTHCHECK --interval=1s --timeout=2s --retries=30 CMD ["/lab", "app", "--health"]
ENTRYPOINT ["/lab", "app"]
