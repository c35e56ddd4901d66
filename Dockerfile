# The service as a static program in an image without anything else. make pins
# writes the digests of these images behind their tags.
ARG BUILD_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# Modules are a layer of their own. Where the build reaches no module proxy, run
# go mod vendor first: then it needs none.
COPY go.mod go.sum vendor/modules.tx[t] ./
RUN [ -f modules.txt ] || go mod download
COPY . .
# Which build this is; scripts/ldflags.sh has the same for programs.
ARG VERSION=
ARG COMMIT=
ARG DATE=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags nomsgpack,grpcnotrace \
  -ldflags="-s -w -X lanekeeper/pkg/version.version=${VERSION} -X lanekeeper/pkg/version.commit=${COMMIT} -X lanekeeper/pkg/version.date=${DATE}" \
  -o /lanekeeper .

FROM ${BASE_IMAGE}
COPY --from=build /lanekeeper /lanekeeper
# "nonroot", as a number: Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/lanekeeper"]
