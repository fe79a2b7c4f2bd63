# The builder has Deno; the image that runs has only the binary, C libraries and certificates.
FROM denoland/deno:2.9.6 AS build
WORKDIR /src
COPY deno.json deno.lock ./
COPY main.ts ./
COPY src ./src
# The compiler needs a deep stack for many npm packages.
RUN RUST_MIN_STACK=67108864 deno task compile && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/dist/dsproxy /usr/local/bin/dsproxy
# A new volume takes the owner of the directory that it covers: without this, only root could write to it.
COPY --from=build --chown=nonroot:nonroot /data /data
WORKDIR /data
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/dsproxy", "--ready"]
ENTRYPOINT ["/usr/local/bin/dsproxy"]
